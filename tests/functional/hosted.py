"""The scene of the host's half: a KVM host, two desks, a machine that nobody manages, and real consoles.

Salt runs on the host and on the desks, each with the same pillar. Nothing here speaks for the half itself: desks ask by
SSH, and who tries a console does so by the protocol.
"""

import contextlib
import copy
import json
import signal
import subprocess
import sys
import time

from functional.office import only
from scene import HostSite, need
from scene.hostsite import ADDRESS, DESK_KEY, MINION
from scenes import GROUP

PROGRAMS = ("qemu-system-x86_64", "remote-viewer", "Xvfb", "import", "openssl", "bwrap", "ssh", "ss", "xdotool")
PROGRAMS += ("nft", "sudo", "visudo", "cvtsudoers", "ip", "useradd")
# Consoles: their ports and colours.
CONSOLES = {"debianx": (20002, "green"), "books": (20003, "magenta")}
USERS = {"anne": 1031, "ben": 1032, "eve": 1033}
DESKS = {"desk-1": "192.168.2.21", "desk-2": "192.168.2.22"}
STRANGER = "laptop"
STRANGERS = {STRANGER: "192.168.2.23"}
STORE, RUN = "/var/lib/spice-host", "/run/spice-host"
KEYS = f"{STORE}/home/.ssh/authorized_keys"
KNOWN_HOSTS = "/etc/spice-grant/known_hosts"
TABLE = ["nft", "-nj", "list", "table", "inet", "spice_host"]
# A password whose end is past.
ENDED = "1970-01-02T00:00:00"
# What a console answers to a link message: spice/error_codes.h.
IN, DENIED = "0", "7"
# Speaks the first words of SPICE's protocol over TLS, as a main channel, and says how that went. The link header and
# message: spice/protocol.h. Goes on until its standard input ends.
LINK = """
import socket, ssl, struct, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

def exactly(sock, count):
    found = b""
    while len(found) < count:
        more = sock.recv(count - len(found))
        if not more:
            raise ConnectionAbortedError("closed")
        found += more
    return found

address, port, ticket = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    sock = context.wrap_socket(socket.create_connection((address, port), 20))
    # Minor version 2, a new session's main channel, and that it authenticates as of old.
    body = struct.pack("<IBBIIIII", 0, 1, 0, 1, 1, 18, 0b1011, 0b1001)
    sock.sendall(struct.pack("<4sIII", b"REDQ", 2, 2, len(body)) + body)
    reply = exactly(sock, struct.unpack("<4sIII", exactly(sock, 16))[3])
    key = serialization.load_der_public_key(reply[4:166])
    digest = hashes.SHA1()
    secret = key.encrypt(ticket.encode() + bytes(1), padding.OAEP(padding.MGF1(digest), digest, None))
    sock.sendall(struct.pack("<I", 1) + secret)
    print(*struct.unpack("<I", exactly(sock, 4)), flush=True)
except ConnectionRefusedError:
    print("refused", flush=True)
except OSError as error:
    print("reset" if isinstance(error, (ConnectionError, ssl.SSLEOFError)) else error, flush=True)
else:
    sys.stdin.read()
"""
# As a relay on the host: what comes to a port goes on to a console.
RELAY = """
import socket, sys, threading
def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for each in (one, other):
        each.close()
with socket.create_server(("", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    while True:
        near, _ = server.accept()
        try:
            far = socket.create_connection((sys.argv[2], int(sys.argv[3])), 5)
        except OSError as error:
            print(type(error).__name__, flush=True)
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()
"""


class Site(HostSite):
    """All of it, with what pillar declares in force."""

    def __init__(self):
        need(*PROGRAMS)
        grants = {f"{user}-books": {"user": user, "vm": "books", "nopasswd": True} for user in ("anne", "ben")}
        grants["ben-debianx"] = {"user": "ben", "vm": "debianx", "nopasswd": True}
        super().__init__({**DESKS, **STRANGERS}, DESKS, CONSOLES, USERS, grants)
        self.desks, self.stranger = self.machines, self.machines[STRANGER]
        self.host.add_user("eve", USERS["eve"])

    # Salt

    def changed(self, **parts):
        """A copy of the site's pillar with some parts replaced."""
        return {"spice": {**copy.deepcopy(self.pillar["spice"]), **parts}}

    def without(self, *grants):
        """A copy of the site's pillar without some grants."""
        kept = self.pillar["spice"]["grants"].items()
        return self.changed(grants={name: grant for name, grant in kept if name not in grants})

    def apply(self, pillar=None, *, test=False):
        """Run ``state.apply spice.host`` on the host, with another pillar if one is given; return its result."""
        self.minion.set_pillar(pillar or self.pillar)
        return only(self.minion.state("spice.host", test=test))

    def applied(self, pillar=None):
        """Apply, and insist that all went well; return the result."""
        result = self.apply(pillar)
        assert result["result"] is True, result
        return result

    def sessions(self):
        """Who has which console, as the host says it, and whether the ticket still opens it."""
        found = self.minion.call("spice_host.sessions")
        return {(each["vm"], each["user"], each["desk"], each["opening"]) for each in found}

    def afresh(self):
        """Begin with no session, no ticket and the site's own pillar."""
        self.end_service()
        self.host.run(["rm", "-f", f"{RUN}/sessions.json"])
        self.host.run(["nft", "delete", "table", "inet", "spice_host"], check=False)
        self.applied()
        self.serve()

    # Asking

    def ssh(self, where, *words, options=(), key=DESK_KEY, input=b"", env=None):
        """Have root of a machine call the host by SSH, as the opener does, with further options and words.

        Returns the exit code, and what was printed and complained, as text.
        """
        fixed = {
            "BatchMode": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": "mysrv",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": KNOWN_HOSTS,
        }
        given = [f"-o{name}={value}" for name, value in fixed.items()]
        command = ["ssh", "-F", "none", "-i", key, *options, *given, "-l", "spice-ticket", "--", ADDRESS, *words]
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with self.machine(where).popen(command, env=env, **streams) as process:
            try:
                said, complained = process.communicate(input, timeout=60)
            except subprocess.TimeoutExpired:
                process.kill_tree()
                raise
        return process.returncode, said.decode(errors="replace"), complained.decode(errors="replace")

    def ask(self, desk, user, vm, request="open"):
        """Have a desk ask for a ticket; return the answer. A desk that has asked too often waits."""
        while True:
            code, said, complained = self.ssh(desk, request, input=f"{user} {vm}\n".encode())
            assert code == 0, complained
            answer = json.loads(said)
            if answer.get("refusal") != "too_many":
                return answer
            time.sleep(1)

    def ticket(self, desk, user, vm):
        """Have a desk get a ticket; return it."""
        answer = self.ask(desk, user, vm)
        assert "ticket" in answer, answer
        return answer["ticket"]

    def machine(self, name):
        """The host, a desk or the stranger's machine, by its name."""
        return self.host if name == MINION else self.desks[name]

    # Consoles

    @contextlib.contextmanager
    def linked(self, where, vm, ticket, *, address=ADDRESS, port=None, user=None):
        """Somebody on a machine who speaks with a console; yields what it answers, and the process.

        On a desk it is whom that desk's own guard lets through, as its root can arrange.
        """
        if where in DESKS:
            user = user or ("anne" if vm == "books" else "ben")
        group = GROUP if where in DESKS else None
        place = [address, CONSOLES[vm][0] if port is None else port]
        process = self.machine(where).popen(
            [sys.executable, "-I", "-c", LINK, *place, ticket],
            user=user,
            group=group,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill_tree()
            process.stdin.close()
            process.stdout.close()

    def link(self, where, vm, ticket, **kw):
        """Speak with a console; return what it answers: :data:`IN`, :data:`DENIED`, ``refused`` or ``reset``."""
        with self.linked(where, vm, ticket, **kw) as (answer, _):
            return answer

    def password_end(self, vm):
        """When the password of a running console ends, as libvirt says it."""
        printed = self.kvm.virsh("dumpxml", "--security-info", vm).stdout
        return printed.partition("passwdValidTo='")[2].partition("'")[0]

    def elements(self, name):
        """Elements of one of the kernel's sets; ``None`` without it, as in a listing while the table is made anew."""
        listed = json.loads(self.host.run(TABLE, check=False).stdout or "{}").get("nftables", [])
        for entry in listed:
            if entry.get("set", {}).get("name") == name:
                found = entry["set"].get("elem", [])
                return {tuple(each["elem"]["val"]["concat"] if "elem" in each else each["concat"]) for each in found}
        return None

    def connections(self, vm):
        """Open connections to a console, as the host's kernel lists them."""
        command = ["ss", "-HtnO", "state", "established", "sport", "=", f":{CONSOLES[vm][0]}"]
        return self.host.run(command).stdout.splitlines()

    @contextlib.contextmanager
    def port_open_to(self, where, vm):
        """A console's port open to a machine by somebody's hand, so that its password alone decides."""
        place = f"{{ {self.addresses[where]} . {CONSOLES[vm][0]} }}"
        self._service.send_signal(signal.SIGSTOP)
        try:
            for name in ("opening4", "open4"):
                self.host.run(["nft", "add", "element", "inet", "spice_host", name, place])
            yield
        finally:
            for name in ("opening4", "open4"):
                self.host.run(["nft", "delete", "element", "inet", "spice_host", name, place])
            self._service.send_signal(signal.SIGCONT)

    def shut(self, vm):
        """Whether nothing opens a console: neither a port nor a password."""
        port = CONSOLES[vm][0]
        return self.password_end(vm) == ENDED and not any(place[1] == port for place in self.elements("opening4"))


def said(desktop, process):
    """What a user reads in the end: rviewer's own line, once its dialog is closed; and its exit code."""
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline, f"rviewer goes on, with {desktop.windows()}"
        if any("SPICE console" in title for title in desktop.windows()):
            desktop.run(["xdotool", "key", "Return"])
        time.sleep(0.5)
    return process.returncode, process.stderr.read()
