"""The booted workstation of these tests, and a client on it that never stops trying."""

import json
import sys
import time
from pathlib import Path

import scenes
from drift import until
from scene.booted import Booted
from scene.machine import CHECKOUT

CONF = "/etc/salt-scene"
# Connects for ever, as a user without a grant; a line for each attempt. Without the pause it would take a processor.
LOOP = """
import socket, time
while True:
    time.sleep(0.001)
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
    """A booted client with the article's grants in force, and a loop that tries as somebody else.

    There is no backstop, which would hide what becomes of the guard.
    """

    def __init__(self, machine, mechanism="nftables"):
        self.mechanism = mechanism
        self.booted = Booted(machine)
        self.booted.boot()
        for name, uid in (*scenes.UIDS.items(), ("loop", scenes.STRANGER)):
            self.booted.run(["useradd", f"--uid={uid}", name])
        self.booted.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 client\n{scenes.ADDRESS} {scenes.HOST}\n")
        # The viewer is not what is on trial here.
        self.booted.run(["cp", "/usr/bin/true", "/usr/bin/remote-viewer"])
        self.booted.write("/srv/loop.py", LOOP)
        self.booted.write("/etc/systemd/system/loop.service", LOOP_UNIT)
        data = scenes.shipped()
        del data["spice"]["servers"]["mysrv"]["ca"]
        data["spice"]["firewall"] = {"backstop": False}
        if mechanism != "nftables":
            data["spice"]["firewall"]["backend"] = "iptables"
            variant = mechanism.removeprefix("iptables-")
            for program in ("iptables", "ip6tables"):
                self.booted.run(["update-alternatives", "--set", program, f"/usr/sbin/{program}-{variant}"])
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

    def reboot(self, at_once=False):
        """Switch off and on again, ``at_once`` as if the power was cut; the loop starts anew."""
        self.booted.off(at_once=at_once)
        self.booted.write("/var/log/loop", "")
        self.booted.boot()
        until(self.tried)

    def tried(self):
        """Return the loop's outcomes since the boot, or since :meth:`forget`."""
        return set(self.booted.read("/var/log/loop").splitlines())

    def forget(self):
        """Count what begins from now on; the attempt that is under way may have begun at another time."""
        for _ in range(2):
            self.booted.run(["truncate", "--size=0", "/var/log/loop"])
            until(self.tried)


def happens(workstation, *command):
    """Run a command; insist that the client never gets through, and is refused once the command is over.

    firewalld drops everything while it loads, resets as well, and takes its time for that.
    """
    workstation.forget()
    workstation.booted.run([*command])
    time.sleep(0.3)
    deadline = time.monotonic() + 60
    while "Connection refused" not in (tried := workstation.tried()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "through" not in tried and "Connection refused" in tried, (command, tried)


def holds(workstation, command, text):
    """Wait until what a command prints has a text: firewalld, for one, says that it is up before its rules are."""
    deadline = time.monotonic() + 60
    while text not in (printed := workstation.booted.run([*command]).stdout):
        assert time.monotonic() < deadline, printed
        time.sleep(0.1)
