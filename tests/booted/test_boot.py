"""From the first moment of the network on: real boots of a real Debian, with a client that never stops trying."""

import json
import sys
import time
from pathlib import Path

import pytest
import yaml

from scene import Listener, Machine, connect
from scene.booted import Booted
from scene.machine import CHECKOUT
from scene.requirements import need

CONF = "/etc/salt-scene"
# Connects for ever, as a user without a grant; a line for each attempt.
LOOP = """
import socket
while True:
    with socket.socket() as connection:
        connection.settimeout(1)
        try:
            connection.connect(("192.168.2.2", 20002))
            print("through" if connection.recv(16) else "cut", flush=True)
        except OSError as error:
            print(error.strerror, flush=True)
"""
# From the moment on at which the network may come up, before everything else that waits for it.
LOOP_UNIT = """
[Unit]
DefaultDependencies=no
After=network-pre.target
[Service]
ExecStart=/usr/bin/setpriv --reuid=1023 --regid=1023 --clear-groups /usr/bin/python3 /srv/loop.py
StandardOutput=append:/var/log/loop
[Install]
WantedBy=sysinit.target
"""


class Workstation:
    """A booted client with the article's grants in force, and a loop that tries as somebody else."""

    def __init__(self, machine):
        self.booted = Booted(machine)
        self.booted.boot()
        for name, uid in (("myself", 1021), ("mybro", 1022), ("loop", 1023)):
            self.booted.run(["useradd", f"--uid={uid}", name])
        # The viewer is not what is on trial here.
        self.booted.run(["cp", "/usr/bin/true", "/usr/bin/remote-viewer"])
        self.booted.write("/srv/loop.py", LOOP)
        self.booted.write("/etc/systemd/system/loop.service", LOOP_UNIT)
        data = yaml.safe_load((CHECKOUT / "pillar" / "spice.sls").read_text())
        del data["spice"]["servers"]["mysrv"]["ca"]
        dirs = {f"{kind}_dirs": [str(CHECKOUT / f"_{kind.rstrip('s')}s")] for kind in ("states", "utils")}
        options = {
            "id": "client",
            "file_client": "local",
            "master_type": "disable",
            "enable_fqdns_grains": False,
            "module_dirs": [str(CHECKOUT / "_modules")],
            **dirs,
            "file_roots": {"base": [str(CHECKOUT / "salt")]},
            "pillar_roots": {"base": ["/srv/pillar"]},
        }
        self.booted.write(f"{CONF}/minion", json.dumps(options))
        self.booted.write("/srv/pillar/top.sls", "base:\n  '*': [spice]\n")
        self.booted.write("/srv/pillar/spice.sls", json.dumps(data))
        self.salt("state.apply", "spice", "--retcode-passthrough")
        self.booted.run(["systemctl", "enable", "--now", "loop.service"])

    def salt(self, *words):
        """Run salt-call, whose code is not even there unless called: no minion runs on this machine."""
        salt_call = Path(sys.executable).with_name("salt-call")
        return self.booted.run([str(salt_call), "--local", "-c", CONF, *words])

    def reboot(self):
        """Switch off and on again; the loop starts anew."""
        self.booted.off()
        self.booted.write("/var/log/loop", "")
        self.booted.boot()
        time.sleep(0.5)

    def tried(self):
        """Return the loop's outcomes since the boot, or since :meth:`forget`."""
        return set(self.booted.read("/var/log/loop").splitlines())

    def forget(self):
        """Count from now on."""
        self.booted.run(["truncate", "--size=0", "/var/log/loop"])
        time.sleep(0.3)


@pytest.fixture(scope="module")
def server():
    """What listens behind the guarded ports."""
    need("debootstrap", "systemd-nspawn", "nft", "nsenter", "pgrep")
    with Machine("server") as machine:
        yield machine


@pytest.fixture(scope="module")
def workstation(server):
    """The booted client."""
    with Machine("client") as machine:
        connect(machine, server, ["192.168.2.22/24"], ["192.168.2.2/24"])
        with Listener(server, range(20001, 20011)):
            yield Workstation(machine)


def test_loop_gets_through_without_the_unit(workstation):
    """The trial itself: with the unit taken away, the same loop gets through. So it would be seen."""
    workstation.booted.run(["systemctl", "mask", "--runtime", "spice-grant.service"])
    workstation.booted.run(["systemctl", "disable", "spice-grant.service"])
    try:
        workstation.reboot()
        assert "through" in workstation.tried()
    finally:
        report = workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout
    assert "creates /etc/systemd/system/sysinit.target.wants/spice-grant.service" in report


def test_nothing_gets_through_from_the_first_moment(workstation):
    """No Salt, no name service, no master: the unit alone closes the ports before the network is up."""
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    proof = workstation.salt("spice_grant.verify", "--out=json").stdout
    assert json.loads(proof)["local"]["ok"]


@pytest.mark.parametrize("content", ["", "{broken", '{"nftables": [{"add": {"map": {"family": "inet"}}}]}'])
def test_corrupted_rules_leave_the_ports_closed(workstation, content):
    """If the stored rules cannot be loaded, a minimal set that rejects every guarded port is; the next run repairs."""
    workstation.booted.write("/var/lib/spice-grant/guard.json", content, 0o600)
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    report = workstation.salt("state.apply", "spice").stdout
    assert "stores the rules for the next boot" in report
    assert "opens 192.168.2.2 port 20002 to myself" in report


@pytest.mark.parametrize("verb", ["start", "reload", "restart", "stop"])
def test_guard_is_back_after_nftables_service(workstation, verb):
    """nftables.service flushes all tables at each of these; ours is loaded again at once, by its drop-in."""
    workstation.booted.run(["systemctl", verb, "nftables.service"])
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_broken_guard_does_not_break_the_site_firewall(workstation):
    """Whatever becomes of our files, nftables.service loads the site's own rules."""
    workstation.booted.write("/var/lib/spice-grant/guard.json", "{broken", 0o600)
    workstation.booted.run(["systemctl", "restart", "nftables.service"])
    assert "table inet filter" in workstation.booted.run(["nft", "list", "tables"]).stdout
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_flush_by_hand_is_repaired_by_the_next_run(workstation):
    """No unit sees 'nft flush ruleset' typed by root: the next run repairs it and says so."""
    workstation.booted.run(["nft", "flush", "ruleset"])
    assert "guards ports 20001-20010" in workstation.salt("state.apply", "spice").stdout
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_removing_takes_the_units_away(workstation):
    """spice_firewall.remove leaves neither units nor rules, and systemd knows."""
    workstation.salt("spice_firewall.remove")
    listed = workstation.booted.run(["systemctl", "list-unit-files", "spice-grant.service"], check=False).stdout
    assert "0 unit files" in listed
    assert "spice_grant" not in workstation.booted.run(["nft", "list", "tables"]).stdout
    assert workstation.booted.run(["ls", "/etc/systemd/system/nftables.service.d"], check=False).returncode != 0
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
