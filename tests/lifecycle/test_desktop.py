"""Users who lose a live session are told why on their desktop; what they do there harms nobody but them."""

import json
import select
import signal
import subprocess
import time

import pytest

from scene import Desktop
from scene.desktop import SOCKETS
from scene.requirements import need

# Stands in for a desktop's notification daemon, on a real session bus: prints what it is told, and by what process.
DAEMON = """
import json, os, sys
from gi.repository import Gio, GLib

PARTS = "susssasa{sv}i"
TYPES = ["s", "u", "s", "s", "s", "as", "a{sv}", "i"]
NODE = Gio.DBusNodeInfo.new_for_xml(
    '<node><interface name="org.freedesktop.Notifications"><method name="Notify">'
    + "".join(f'<arg type="{kind}" direction="in"/>' for kind in TYPES)
    + '<arg type="u" direction="out"/></method><method name="GetServerInformation">'
    + '<arg type="s" direction="out"/>' * 4
    + "</method></interface></node>"
)

def process(bus, sender):
    asked = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixProcessID")
    (pid,) = bus.call_sync(*asked, GLib.Variant("(s)", (sender,)), None, 0, -1, None).unpack()
    with open(f"/proc/{pid}/status") as stream:
        found = dict(line.rstrip().split(":", 1) for line in stream)
    found["environment"] = open(f"/proc/{pid}/environ", "rb").read().decode().rstrip("\\0").split("\\0")
    found["files"] = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    return found

def called(bus, sender, path, interface, method, parameters, invocation):
    if method == "Notify":
        _, _, _, summary, body, *_ = parameters.unpack()
        print(json.dumps({"summary": summary, "body": body, "process": process(bus, sender)}), flush=True)
        invocation.return_value(GLib.Variant("(u)", (1,)))
    else:
        invocation.return_value(GLib.Variant("(ssss)", ("stand-in", "office", "1", "1.2")))

bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
bus.register_object("/org/freedesktop/Notifications", NODE.interfaces[0], called, None, None)
Gio.bus_own_name_on_connection(bus, "org.freedesktop.Notifications", 0, lambda *_: print("ready", flush=True), None)
GLib.MainLoop().run()
"""

# Stands in for a hostile desktop: stops whoever connects and what started it, says who that was, never answers.
SILENT = """
import os, signal, socket, struct, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
connection, _ = listener.accept()
pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
with open(f"/proc/{pid}/stat") as stream:
    parent = int(stream.read().rpartition(")")[2].split()[1])
for stopped in (pid, parent):
    os.kill(stopped, signal.SIGSTOP)
print(pid, parent, uid, gid, flush=True)
signal.pause()
"""

# Stands in for an X server; says so if anybody comes.
SPY = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
os.umask(0)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
listener.accept()
print("somebody came", flush=True)
"""

# Leaves its traces wherever it is loaded; the file's name says into what, and with whose rights.
PRELOADED = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    char path[256];
    snprintf(path, sizeof path, "/srv/caught/%s-%d-%d", program_invocation_short_name, geteuid(), getegid());
    close(open(path, O_CREAT | O_WRONLY, 0644));
}
"""
STARTED = "#!/bin/sh\ntouch /srv/caught/started-$(id -u)-$(id -g)\n"


def runtime_directory(client, user):
    """Make what systemd makes for a user who is logged in; return the place of the session bus."""
    account = client.machine.account(user)
    directory = f"/run/user/{account['uid']}"
    client.machine.run(["install", "-d", "-m", "0755", "/run/user"])
    client.machine.run(["install", "-d", "-m", "0700", "-o", user, "-g", str(account["gid"]), directory])
    return f"{directory}/bus"


class Bus:
    """A user's session bus with the notification daemon on it."""

    def __init__(self, client, user):
        place = runtime_directory(client, user)
        address = f"unix:path={place}"
        self._daemon = start(
            client, user, ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address={address}"]
        )
        assert self._daemon.stdout.readline().startswith(address)
        command = ["/usr/bin/env", f"DBUS_SESSION_BUS_ADDRESS={address}", "/usr/bin/python3", "-c", DAEMON]
        self._witness = start(client, user, command)
        assert self._witness.stdout.readline() == "ready\n"

    def next(self):
        """Return the next message."""
        assert select.select([self._witness.stdout], [], [], 30)[0], "no message"
        return json.loads(self._witness.stdout.readline())


def start(client, user, command):
    return client.machine.popen(command, user=user, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture
def granted(client):
    """The article's grants in force, on a client that can notify."""
    need("notify-send", "dbus-daemon", "setpriv", "timeout", "setsid")
    client.apply()
    return client


def revoke(client, user):
    """Make the run that takes a user's grants away."""
    grants = client.pillar["spice"]["grants"]
    for name in [name for name, grant in grants.items() if grant["user"] == user]:
        del grants[name]
    return client.apply()


def test_user_is_told_why_the_session_ended(granted):
    """Once, however many connections the viewer had; mybro hears nothing until the other grant is gone."""
    mine, mybros = Bus(granted, "myself"), Bus(granted, "mybro")
    for _ in range(2):
        granted.session("myself", "192.168.2.2", 20002)
    granted.session("mybro", "fd00:2::2", 20004)
    revoke(granted, "myself")
    revoke(granted, "mybro")
    first, other = mine.next(), mybros.next()
    assert first["summary"] == "SPICE console closed"
    assert first["body"] == "Your access to the console of VM debianx was removed."
    assert other["body"] == "Your access to the console of VM leaptest was removed."


def test_message_is_sent_with_the_users_own_rights(granted):
    """By a process that has nothing of root's, nothing of the run's, and not the viewer's group."""
    # A member by mistake: drift that the run takes away, and that must not lend the message the group either.
    granted.machine.run(["gpasswd", "--add", "myself", "spicegrp"])
    bus = Bus(granted, "myself")
    granted.session("myself", "192.168.2.2", 20002)
    revoke(granted, "myself")
    process = bus.next()["process"]
    assert process["Name"].strip() == "notify-send"
    assert process["Uid"].split() == ["1021"] * 4
    assert process["Gid"].split() == [str(granted.machine.account("myself")["gid"])] * 4
    assert process["Groups"].split() == []
    assert process["NoNewPrivs"].strip() == "1"
    assert {int(process[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Amb")} == {0}
    assert {path for path in process["files"] if path.startswith("/")} == {"/dev/null"}
    assert {line.partition("=")[0] for line in process["environment"]} == {
        "PATH",
        "HOME",
        "LC_ALL",
        "TZ",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
    }


def test_what_the_viewer_says_of_itself_is_not_believed(granted):
    """An environment full of traps: none is stepped into, and the message arrives where the desktop really is."""
    need("gcc")
    machine = granted.machine
    machine.run(["install", "-d", "-m", "1777", "/srv/caught"])
    machine.run(["gcc", "-shared", "-fPIC", "-o", "/srv/trap.so", "-x", "c", "-"], input=PRELOADED)
    for path in ("/srv/trap", "/home/myself/bin/notify-send", "/home/myself/bin/setpriv", "/home/myself/bin/xmessage"):
        machine.write(path, STARTED, 0o755)
    bus = Bus(granted, "myself")
    traps = {
        "PATH": "/home/myself/bin",
        "LD_PRELOAD": "/srv/trap.so",
        "DBUS_SESSION_BUS_ADDRESS": "unixexec:path=/srv/trap",
        "XDG_RUNTIME_DIR": "/home/myself",
        "DISPLAY": ":0 --exec /srv/trap",
        "WAYLAND_DISPLAY": "/srv/trap",
        "XAUTHORITY": "/etc/shadow",
        "GTK_MODULES": "/srv/trap.so",
        "GIO_EXTRA_MODULES": "/srv",
    }
    granted.session("myself", "192.168.2.2", 20002, [f"{name}={value}" for name, value in traps.items()])
    group = machine.group_id("spicegrp")
    itself = {f"python3-1021-{group}"}
    assert caught(machine) == itself, "the trap does not work"
    revoke(granted, "myself")
    assert bus.next()["body"] == "Your access to the console of VM debianx was removed."
    assert caught(machine) == itself


def caught(machine):
    return set(machine.run(["ls", "/srv/caught"]).stdout.split())


def test_hostile_desktop_holds_nothing_up(granted):
    """A bus that stops whoever calls, and never answers: the run ends without it, and root's timeout waits for it."""
    place = runtime_directory(granted, "myself")
    bus = start(granted, "myself", ["/usr/bin/python3", "-c", SILENT, place])
    assert bus.stdout.readline() == "ready\n"
    session = granted.session("myself", "192.168.2.2", 20002)
    revoke(granted, "myself")
    pid, parent, uid, gid = bus.stdout.readline().split()
    assert (uid, int(gid)) == ("1021", granted.machine.account("myself")["gid"])
    assert session.wait(60) == 0
    assert state(granted.machine, pid) == state(granted.machine, parent) == "T"
    (watch,) = granted.machine.run(["pgrep", "--exact", "timeout", "--uid", "root"]).stdout.split()
    # What its time being over means; the user has no right to stop it, or to send it anything.
    assert granted.machine.run(["env", "kill", watch], user="myself", check=False).returncode != 0
    granted.machine.run(["kill", watch])
    deadline = time.monotonic() + 60
    while state(granted.machine, parent):
        assert time.monotonic() < deadline, "the message still hangs"
        time.sleep(0.1)


def state(machine, pid):
    """Return the letter that the kernel has for a process; none if it is gone."""
    return machine.run(["ps", "-o", "stat=", "-p", pid], check=False).stdout.strip()[:1]


def test_dialog_where_nobody_takes_notifications(granted):
    """On the user's own X display, and on none that somebody else serves."""
    need("Xvfb", "xmessage", "xwininfo")
    machine = granted.machine
    machine.run(["install", "-d", "-m", "1777", SOCKETS])
    spy = start(granted, "mybro", ["/usr/bin/python3", "-c", SPY, f"{SOCKETS}/X0"])
    assert spy.stdout.readline() == "ready\n"
    with Desktop(machine, "myself", display=1) as mine, Desktop(machine, "mybro", display=2) as mybros:
        granted.session("myself", "192.168.2.2", 20002)
        revoke(granted, "myself")
        mine.wait_window("SPICE console closed")
        assert mybros.windows() == []
    spy.send_signal(signal.SIGTERM)
    assert spy.stdout.read() == ""


@pytest.mark.parametrize("lacking", ["/usr/bin/notify-send", "/usr/bin/setsid", "/usr/bin/python3", None])
def test_nothing_is_said_where_nothing_can_be(granted, lacking):
    """No program, or no desktop: the session ends all the same, and the run succeeds."""
    session = granted.session("myself", "192.168.2.2", 20002)
    if lacking:
        runtime_directory(granted, "myself")
        granted.machine.run(["rm", lacking])
    revoke(granted, "myself")
    assert session.wait(60) == 0


def test_session_of_an_account_that_is_gone_ends(granted):
    """There is nobody left to be told: what makes the run fail is the grant alone."""
    runtime_directory(granted, "myself")
    session = granted.session("myself", "192.168.2.2", 20002)
    granted.machine.run(["userdel", "--force", "myself"])
    (state,) = granted.minion.state().values()
    assert [line for line in state["comment"].splitlines() if not line.startswith("Note")] == [
        "Not all of it is enforced:",
        "spice:grants:myself-debianx:user: no user 'myself' on this machine",
    ]
    assert session.wait(60) == 0
