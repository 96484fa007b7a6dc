"""The end of rviewer: whoever ends it ends its viewer, though nobody but root can signal what sudo started."""

import contextlib
import signal
import subprocess
import sys

import pytest

from drift import until
from functional.confined import ON_X, WITNESS, pillar, prepare, site_rule
from scene import need
from scenes import VIEWER

need("bwrap")
PILLAR = pillar()
PILLAR["spice"]["grants"]["myself-debianx"]["nopasswd"] = True
__all__ = ["prepare"]
IDLE = "#!/bin/sh\nexec sleep 1234\n"
# A session of its own with a terminal, in which a command is started.
TERMINAL = "import os, pty, sys; os.environ.update(DISPLAY=sys.argv[1]); sys.exit(pty.spawn(sys.argv[2:]))"
WAYS = {"TERM": signal.SIGTERM, "HUP": signal.SIGHUP, "INT": signal.SIGINT, "KILL": signal.SIGKILL}


def processes(office):
    """What of an opened console runs, by its command lines."""
    words = ("rviewer debianx", "/usr/local/lib/spice-grant/open", "bwrap", "sleep 1234", "sudo ")
    lines = office.client.run(["ps", "-ww", "-e", "-o", "pid=,args="]).stdout.splitlines()
    found = dict(line.strip().split(" ", 1) for line in lines)
    return {pid: line for pid, line in found.items() if any(word in line for word in words) and "pty.spawn" not in line}


@contextlib.contextmanager
def opened(office, terminal, path, text):
    """A console that is open: the process of ``rviewer``, in the machine."""
    before = office.client.read(path)
    office.client.run(["tee", path], input=text)
    command = ["rviewer", "debianx"]
    if terminal:
        command = [sys.executable, "-ISc", TERMINAL, ON_X["DISPLAY"], *command]
    process = office.client.popen(
        command, user="myself", env=ON_X, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: any("sleep 1234" in line and "bwrap" not in line for line in processes(office).values()))
        (launcher,) = [
            pid for pid, line in processes(office).items() if line.endswith("/usr/local/bin/rviewer debianx")
        ]
        yield launcher
    finally:
        process.kill_tree()
        office.client.run(["tee", path], input=before)


@pytest.mark.parametrize("settings", ["Defaults !use_pty", "Defaults use_pty"])
@pytest.mark.parametrize("terminal", [False, True], ids=["desktop", "terminal"])
@pytest.mark.parametrize("way", WAYS)
def test_a_confined_viewer_ends_with_rviewer(looked_at, settings, terminal, way):
    with site_rule(looked_at, settings), opened(looked_at, terminal, WITNESS, IDLE) as launcher:
        looked_at.client.run(["kill", f"-{way}", launcher], user="myself")
        until(lambda: not processes(looked_at))


def test_a_call_of_sudo_by_a_script_outlasts_the_script(looked_at):
    """The opener ends with rviewer, and with nothing else that called sudo."""
    text = looked_at.client.read(WITNESS)
    looked_at.client.run(["tee", WITNESS], input=IDLE)
    call = "sudo -n -u root /usr/local/lib/spice-grant/open debianx </dev/null >/dev/null 2>&1 &"
    try:
        looked_at.client.run(["sh", "-c", call], user="myself", env=ON_X)
        running = until(lambda: {p: line for p, line in processes(looked_at).items() if line.startswith("sleep")})
        assert running.keys() <= processes(looked_at).keys()
    finally:
        looked_at.client.run(["pkill", "-f", "sleep 1234"], check=False)
        looked_at.client.run(["tee", WITNESS], input=text)
    until(lambda: not processes(looked_at))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "KILL"])
def test_a_viewer_that_is_not_confined_ends_with_rviewer(looked_at, way):
    """It runs as the user, so that rviewer itself can end it, unless it is killed."""
    data = pillar(path=[WITNESS, VIEWER], confine=False)
    data["spice"]["grants"]["myself-debianx"]["nopasswd"] = True
    looked_at.applied(data)
    with opened(looked_at, False, WITNESS, IDLE) as launcher:
        looked_at.client.run(["kill", f"-{way}", launcher], user="myself")
        until(lambda: not processes(looked_at))
