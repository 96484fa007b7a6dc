"""A KVM host that boots: from the first moment of the network on, with a machine beside it that never stops trying.

libvirt and sshd are programs here that do nothing: what holds the ports needs neither.
"""

import json
import sys
import time
from pathlib import Path

import pytest
from unit.build import DESK_KEY, HOST_KEY

import scenes
from drift import until
from scene import need
from scene.booted import Booted
from scene.machine import CHECKOUT

CONF, PORT = "/etc/salt-scene", 20003
PORTS, TICKETS = "spice-host-ports.service", "spice-host.service"
# What a console is here: it answers whoever gets there, from the moment on at which the network may come up.
ANSWER = """
import socket
with socket.create_server(("", 20003)) as server:
    while True:
        server.accept()[0].close()
"""
ANSWER_UNIT = """
[Unit]
DefaultDependencies=no
After=network-pre.target
[Service]
ExecStart=/usr/bin/python3 /srv/answer.py
[Install]
WantedBy=sysinit.target
"""
# Connects from another machine for ever; a line for each attempt.
LOOP = """
import socket, sys, time
while True:
    time.sleep(0.001)
    try:
        socket.create_connection((sys.argv[1], 20003), 1).close()
        print("through", flush=True)
    except OSError as error:
        print(error.strerror or "nobody", flush=True)
"""
PILLAR = {
    "spice": {
        "servers": {
            "mysrv": {
                "host": "mysrv.anraconc.de",
                "addresses": [scenes.OWN_ADDRESS],
                "ports": "20001-20010",
                "minion": "kvm1",
                "host_key": HOST_KEY,
            }
        },
        "vms": {"books": {"server": "mysrv", "tls_port": PORT}},
        "grants": {"anne": {"user": "anne", "vm": "books"}},
        "desks": {"desk-1": {"addresses": ["192.168.2.77"], "key": DESK_KEY}},
    }
}


class Station:
    """A booted KVM host, and a machine beside it that tries."""

    def __init__(self, machine, beside):
        self._beside = beside
        self.booted = Booted(machine)
        self.booted.boot()
        self.booted.write("/usr/bin/virsh", scenes.NO_DOMAINS, 0o755)
        self.booted.write("/usr/sbin/sshd", "#!/bin/sh\n", 0o755)
        self.booted.write("/srv/answer.py", ANSWER)
        self.booted.write("/etc/systemd/system/answer.service", ANSWER_UNIT)
        self.booted.run(["systemctl", "enable", "--now", "answer.service"])
        options = {
            "id": "kvm1",
            "file_client": "local",
            "master_type": "disable",
            "enable_fqdns_grains": False,
            **{f"{kind}_dirs": [str(CHECKOUT / f"_{folder}")] for kind, folder in FOLDERS.items()},
            "file_roots": {"base": [str(CHECKOUT / "salt")]},
            "pillar_roots": {"base": ["/srv/pillar"]},
        }
        self.booted.write(f"{CONF}/minion", json.dumps(options))
        self.booted.write("/srv/pillar/top.sls", "base:\n  '*': [spice]\n")
        self.booted.write("/srv/pillar/spice.sls", json.dumps(PILLAR))
        self._loop = None
        self.apply()

    def apply(self):
        """Run the state; its one error is that there is no domain."""
        salt_call = Path(sys.executable).with_name("salt-call")
        command = [str(salt_call), "--local", "-c", CONF, "state.apply", "spice.host", "--out=json"]
        (result,) = json.loads(self.booted.run(command, check=False).stdout)["local"].values()
        assert "there is no domain books" in result["comment"] and result["comment"].count("spice:vms") == 1, result
        return str(result["changes"])

    def try_again(self):
        """Begin to try, anew."""
        self.end()
        self._beside.write("/var/log/loop", "")
        with open(self._beside.path("/var/log/loop"), "ab") as stream:
            command = [sys.executable, "-I", "-S", "-c", LOOP, scenes.OWN_ADDRESS]
            self._loop = self._beside.popen(command, stdout=stream)

    def tried(self):
        """What has come of it: words, each once."""
        return set(self._beside.read("/var/log/loop").splitlines())

    def end(self):
        """Try no more."""
        if self._loop is not None:
            self._loop.kill_tree()
            self._loop.wait()

    def reboot(self):
        """Switch off and on again, with somebody trying all the time."""
        self.booted.off()
        self.try_again()
        self.booted.boot()
        until(lambda: self.tried() & {"through", "Connection refused"})

    def refused(self):
        """Whether whoever tries from now on is refused."""
        self.try_again()
        until(self.tried)
        return self.tried() == {"Connection refused"}

    def serves(self):
        """Whether what gives tickets answers."""
        return self.booted.run(["systemctl", "is-active", TICKETS], check=False).stdout == "active\n" and (
            self.booted.run(["test", "-S", "/run/spice-host/tickets"], check=False).returncode == 0
        )


FOLDERS = {"module": "modules", "states": "states", "utils": "utils"}


@pytest.fixture(scope="module")
def station():
    """The booted host, and who is beside it."""
    need("debootstrap", "systemd-nspawn", "nft", "nsenter", "pgrep")
    with scenes.pair(ipv6=False) as (machine, beside, _):
        made = Station(machine, beside)
        yield made
        made.end()


def test_whoever_tries_gets_through_without_the_unit(station):
    """The trial itself: with both units taken away the same loop gets through. So it would be seen."""
    station.booted.run(["systemctl", "disable", PORTS, TICKETS])
    station.reboot()
    assert "through" in station.tried()
    assert f"creates /etc/systemd/system/sysinit.target.wants/{PORTS}" in station.apply()
    assert station.refused()


def test_nobody_gets_through_from_the_first_moment(station):
    """No Salt, no libvirt, and before anything gives tickets; then that runs, and a run has nothing to do."""
    station.reboot()
    assert "through" not in station.tried()
    assert station.booted.run(["pgrep", "--full", "salt"], check=False).stdout == ""
    until(station.serves)
    assert station.apply() == "{}"
    assert station.refused()


def test_damaged_rules_leave_the_ports_shut(station):
    """What is loaded then stands in the script; what gives tickets makes the rules anew, and the next run the file."""
    for content in ("{broken", '{"nftables": []}'):
        station.booted.write("/var/lib/spice-host/ports.json", content, 0o600)
        station.reboot()
        assert "through" not in station.tried()
        until(station.serves)
        assert "rewrites /var/lib/spice-host/ports.json" in station.apply()


def test_what_gives_tickets_is_started_again(station):
    """Whatever kills it; and what it must not touch it cannot."""
    until(station.serves)
    before = station.booted.run(["systemctl", "show", "--property=MainPID", "--value", TICKETS]).stdout.strip()
    station.booted.run(["kill", "-KILL", before])
    pid = ["systemctl", "show", "--property=MainPID", "--value", TICKETS]
    until(lambda: station.booted.run(pid).stdout.strip() not in (before, "0") and station.serves())
    assert station.refused()
    (number,) = station.booted.run(pid).stdout.split()
    touched = station.booted.run(["nsenter", f"--target={number}", "--mount", "touch", "/etc/hosts"], check=False)
    assert "Read-only file system" in touched.stderr


@pytest.mark.parametrize("verb", ["restart", "stop"])
def test_rules_are_back_after_nftables_service(station, verb):
    """It flushes all tables; what gives tickets hears of that."""
    until(station.serves)
    station.booted.run(["systemctl", verb, "nftables.service"])
    until(lambda: "spice_host" in station.booted.run(["nft", "list", "tables"]).stdout)
    time.sleep(0.1)
    assert station.refused()
