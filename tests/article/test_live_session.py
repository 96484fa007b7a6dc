"""A grant that is removed ends what the real viewer shows, and nobody else's."""

import subprocess
import time

import pytest

from scene import need
from scene.desktop import Desktop

# What is promised: seconds from the end of the run that removes a grant.
PROMISED = 2
SOCKETS = ["ss", "--no-header", "--tcp", "--numeric", "--extended", "state", "established"]


class Viewer:
    """The viewer that a user started by rviewer, and so by the real sudo rule, on a desktop of his own."""

    def __init__(self, office, user, vm, display):
        self.office, self.account = office, office.client.account(user)
        self.desktop = Desktop(office.client, user, display=display)
        self.process = self.desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.vm, self.console = vm, office.consoles[vm]

    def shows(self):
        """Whether the desktop shows the console."""
        return self.desktop.shows(self.console.rgb, timeout=0)

    def waits_until_it_shows(self):
        """Wait for the console's picture and for a window with its name."""
        assert self.desktop.shows(self.console.rgb)
        self.desktop.wait_window(self.vm)

    def connections(self):
        """Local ports of its connections to the console, of those that are established."""
        lines = self.office.client.run([*SOCKETS, "dst", f":{self.console.port}"]).stdout.splitlines()
        return {line.split()[2] for line in lines if f"uid:{self.account['uid']}" in line.split()}

    def ends(self, seconds):
        """Whether it leaves within the time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self):
        """End desktop and viewer."""
        self.process.kill_tree()
        self.desktop.stop()


@pytest.fixture
def viewers(unasked):
    """Two users, each before his own console."""
    need("ss", "xdotool", "xmessage")
    found = []
    try:
        for display, (user, vm) in enumerate((("myself", "debianx"), ("mybro", "leaptest"))):
            found.append(Viewer(unasked, user, vm, display))
        for viewer in found:
            viewer.waits_until_it_shows()
        yield found
    finally:
        for viewer in found:
            viewer.stop()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_viewer_loses_its_session_and_the_other_users_goes_on(unasked, viewers, artefacts, busy):
    """No input and a picture that does not change, or a mouse that never rests: within the promised time it is over.

    Its user is told why, the other one sees nothing of it.
    """
    revoked, kept = viewers
    before = kept.connections()
    assert revoked.connections() and before
    mouse = moving(revoked.desktop) if busy else None
    assert mouse is None or mouse.poll() is None
    del unasked.pillar["spice"]["grants"]["myself-debianx"]
    unasked.apply()
    end = time.monotonic() + PROMISED
    assert revoked.ends(end - time.monotonic()), "the viewer still runs"
    assert revoked.connections() == set()
    assert not revoked.shows() and not any("debianx" in title for title in revoked.desktop.windows())
    revoked.desktop.wait_window("SPICE console closed")
    revoked.desktop.screenshot(artefacts / f"session-ended-{'busy' if busy else 'idle'}.png")
    time.sleep(1)
    assert kept.process.poll() is None
    assert kept.connections() == before and kept.shows()
    assert not any("closed" in title for title in kept.desktop.windows())
    if mouse:
        mouse.kill_tree()


def test_viewers_go_on_through_a_run_that_takes_nothing_from_them(unasked, viewers):
    """A third user's grant comes and goes: the very same connections are open afterwards."""
    before = [viewer.connections() for viewer in viewers]
    unasked.pillar["spice"]["grants"]["visitor-debianx"] = {"user": "visitor", "vm": "debianx"}
    unasked.apply()
    del unasked.pillar["spice"]["grants"]["visitor-debianx"]
    unasked.apply()
    time.sleep(1)
    assert [viewer.connections() for viewer in viewers] == before
    assert all(viewer.shows() and viewer.process.poll() is None for viewer in viewers)


def moving(desktop):
    """Return a process that moves the mouse over the viewer's window all the time."""
    there_and_back = ["mousemove", "400", "300", "sleep", "0.05", "mousemove", "600", "400", "sleep", "0.05"]
    return desktop.popen(["xdotool", *there_and_back * 200], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
