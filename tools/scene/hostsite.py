"""A KVM host that gives tickets, desks that may ask it, and machines that nobody manages: Salt on each but these."""

import contextlib
import socket
import subprocess
import time

from scene import tls
from scene.desktop import Desktop
from scene.kvmhost import KvmHost
from scene.machine import Machine, SceneError
from scene.minion import Minion
from scene.network import lan

MINION, HOST, ADDRESS = "kvm", "mysrv.anraconc.de", "192.168.2.2"
PKI = "/etc/pki/spice"
AUTHORITY = f"{PKI}/ca-cert.pem"
GIVE, SOCKET = "/usr/local/lib/spice-grant/give-tickets", "/run/spice-host/tickets"
LOG = "/var/log/give-tickets.log"
DESK_KEY = "/var/lib/spice-grant/desk_key"
PATIENCE = 60


class HostSite:
    """All of it, joined by one network, with what pillar declares in force. It ends with the block.

    addresses
        Those of the other machines, by name.

    desks
        Which of them are desks.

    consoles
        TLS port and colour by vm.

    users
        UIDs by name: each has an account on each of these machines.

    grants
        As in pillar.

    more
        Further parts of the pillar.
    """

    def __init__(self, addresses, desks, consoles, users, grants, **more):
        self.addresses, self.names, self.consoles = addresses, tuple(desks), dict(consoles)
        with contextlib.ExitStack() as stack:
            self.host = stack.enter_context(Machine(MINION))
            self.machines = {name: stack.enter_context(Machine(name)) for name in addresses}
            others = ((machine, f"{addresses[name]}/24") for name, machine in self.machines.items())
            lan((self.host, f"{ADDRESS}/24"), *others)
            tls.create(self.host.path(PKI), HOST)
            self.kvm = stack.enter_context(KvmHost(self.host, PKI))
            # Each can be opened by anybody: so it is where nobody has done anything yet.
            self.rgb = {name: self.kvm.define(name, colour, tlsPort=port) for name, (port, colour) in consoles.items()}
            for machine in self.machines.values():
                machine.write("/etc/hosts", machine.read("/etc/hosts") + f"{ADDRESS} {HOST}\n")
                machine.write(AUTHORITY, self.host.read(AUTHORITY))
                for name, uid in users.items():
                    machine.add_user(name, uid)
            self.minions = {name: stack.enter_context(Minion(self.machines[name], {})) for name in desks}
            self.minion = stack.enter_context(Minion(self.host, {}, id=MINION))
            self._stack, self._service = stack.pop_all(), None
        server = {"host": HOST, "addresses": [ADDRESS], "ports": "20001-20010", "ca": AUTHORITY}
        self.pillar = {
            "spice": {
                "servers": {"mysrv": {**server, "minion": MINION, "host_key": self.kvm.host_key}},
                "vms": {name: {"server": "mysrv", "tls_port": port} for name, (port, _) in consoles.items()},
                "grants": grants,
                "desks": {},
                **more,
            }
        }
        try:
            self._first_runs()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """End everything."""
        self._stack.close()

    def _first_runs(self):
        """As the way there is described: the desks make their keys, the host gets to know them, domains restart."""
        entries = {}
        for name, minion in self.minions.items():
            minion.set_pillar(self.pillar)
            _held(minion.state())
            key = self.machines[name].read(f"{DESK_KEY}.pub").split()
            entries[name] = {"addresses": [self.addresses[name]], "key": " ".join(key[:2])}
        self.pillar["spice"]["desks"] = entries
        # Domains that run are to be restarted, so this run has not all in order.
        self.minion.set_pillar(self.pillar)
        self.minion.state("spice.host")
        for name in self.consoles:
            self.kvm.restart(name)
        _held(self.minion.state("spice.host"))
        self.serve()

    # The service, which systemd keeps elsewhere

    def serve(self, *words):
        """Start what gives tickets; ``words`` are a script of Python's, and its arguments, that runs it."""
        with open(self.host.path(LOG), "ab") as stream:
            command = ["/usr/bin/python3", *(words or ["-IS"]), GIVE]
            self._service = self.host.popen(command, stdout=stream, stderr=stream)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._service.poll() is not None or time.monotonic() > deadline:
                raise SceneError(f"nothing gives tickets: {self.said()}")
            time.sleep(0.05)

    def _answers(self):
        """Tell whether somebody takes what is asked: a socket that is only there may be left by one that was killed."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.host.path(SOCKET)))
            except OSError:
                return False
            return True

    def said(self):
        """What it has said."""
        return self.host.read(LOG)

    def has_ended(self):
        """Whether what gives tickets has ended by itself."""
        return self._service.poll() is not None

    def end_service(self):
        """Kill what gives tickets, as far as it runs."""
        self._service.kill_tree()
        self._service.wait()
        self.host.run(["rm", "-f", SOCKET])

    @contextlib.contextmanager
    def viewer(self, desk, user, vm, display=0):
        """A user who opens a console by rviewer, on a desktop of their own: yields both."""
        with Desktop(self.machines[desk], user, display=display) as desktop:
            process = desktop.popen(["rviewer", vm], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                yield desktop, process
            finally:
                process.kill_tree()
                process.stderr.close()


def _held(states):
    (state,) = states.values()
    if state["result"] is not True:
        raise SceneError(state["comment"])
