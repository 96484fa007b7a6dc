"""Drift as somebody causes it on the machine that a test runs on, and the state that it is to be repaired to."""

import subprocess
import time
from pathlib import Path

import scenes

GROUP, VIEWER, SUDOERS = scenes.GROUP, Path(scenes.VIEWER), Path(scenes.SUDOERS)
FIGHTS = Path("/run/spice-grant/fights")
CLOCK = Path("/usr/local/lib/spice-grant/clock")
# What a look says that finds programs made of older code.
RECORDER = "/usr/local/lib/spice-grant/recorder"
REWRITTEN = [
    f"firewall: rewrites {CLOCK}",
    "viewer: rewrites /usr/local/lib/spice-grant/open",
    f"audit: rewrites {RECORDER}",
]
TABLE = ["nft", "--stateless", "list", "table", "inet", "spice_grant"]
# By kind: what somebody does, the layer, and words of what is then changed.
KINDS = {
    "element deleted": (
        ["nft", "delete element inet spice_grant grants4 { 1021 . %(gid)s . 192.168.2.2 . 20002 }"],
        "firewall",
        "myself-debianx: firewall: opens 192.168.2.2 port 20002 to myself",
    ),
    "rule added": (
        ["nft", "insert rule inet spice_grant output accept"],
        "firewall",
        "firewall: restores chain output: 1 rule(s) that do not belong there",
    ),
    "sudoers edited": (
        ["sh", "-c", f"echo 'visitor ALL=(ALL) ALL' >>{SUDOERS}"],
        "sudo",
        f"sudo: restores {SUDOERS}, which was edited",
    ),
    "viewer's mode changed": (
        ["chmod", "0755", str(VIEWER)],
        "viewer",
        f"viewer: restricts {VIEWER} to root:{GROUP} 0750",
    ),
    "user put into the group": (
        ["usermod", "--append", "--groups", GROUP, "visitor"],
        "viewer",
        f"viewer: takes visitor out of group {GROUP}",
    ),
}


def until(condition, seconds=90):
    """Wait until a condition holds; return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def output(*command):
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def group_line():
    """The viewer's group as the system knows it."""
    return output("getent", "group", GROUP).strip()


class Workstation:
    """What must not be different for long."""

    def __init__(self):
        self.good = self.content()

    @staticmethod
    def content():
        """What is enforced now; nothing while a table is not there."""
        table = subprocess.run(TABLE, capture_output=True, text=True, check=False).stdout
        return table, SUDOERS.read_text(), VIEWER.stat().st_mode & 0o7777, group_line()

    def intact(self):
        """Whether all is as it was."""
        return self.content() == self.good

    def tamper(self, kind):
        """Do what somebody might do, and not for the third time."""
        FIGHTS.unlink(missing_ok=True)
        self.again(kind)

    @staticmethod
    def again(kind):
        """Do it, however often it was done before."""
        subprocess.run([word % {"gid": group_line().split(":")[2]} for word in KINDS[kind][0]], check=True)


def listens():
    """The sockets of processes that have joined the netlink group of nftables: one, if the beacon runs."""
    rows = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return [row[-1] for row in rows if row[1] == "12" and int(row[3], 16) & 1 << 6]


def settled(seconds=5):
    """Wait until the beacon has neither begun anew nor looked for so long.

    Salt loads its modules anew some time after it was asked to, and more than once; a new beacon begins with a look.
    """

    def state():
        return listens(), FIGHTS.stat().st_mtime_ns if FIGHTS.exists() else None

    end = time.monotonic() + 90
    seen, since = state(), time.monotonic()
    while time.monotonic() - since < seconds or not seen[0]:
        assert time.monotonic() < end, "the beacon does not come to rest"
        time.sleep(0.1)
        if (found := state()) != seen:
            seen, since = found, time.monotonic()
