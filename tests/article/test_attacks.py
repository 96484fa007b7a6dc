"""What a viewer is to its own user, with the real viewer on a desktop: in the direct form, and confined.

Attacks on it, also with the recipe, are in tests/attacks.
"""

import contextlib
import subprocess

import pytest
from article.conftest import asking_nobody

from drift import until
from scene.desktop import Desktop
from scene.requirements import need

STAMP = "/home/myself/stamp"


@pytest.fixture(scope="module", params=["direct", "confined"])
def scene(request):
    """The office in one of the two forms; and which form it is."""
    need("bwrap")
    with asking_nobody(viewer={"confine": request.param == "confined"}) as office:
        office.client.write(STAMP, "")
        yield office, request.param


class Stage:
    """A desktop of myself's."""

    def __init__(self, office):
        self.office = office
        self.desktop = Desktop(office.client, "myself")
        self.processes = []

    def stop(self):
        """End it, and take away what attacks left."""
        for process in self.processes:
            process.kill_tree()
        self.desktop.stop()
        self.office.client.run(["rm", "-rf", "/home/myself/.config", "/home/myself/.local", "/home/myself/.cache"])

    def view(self, **kw):
        """Open the console by rviewer and wait until it shows; return the process."""
        process = self.desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        self.processes.append(process)
        assert self.desktop.shows(self.office.consoles["debianx"].rgb)
        return process

    def viewer(self):
        """Process ID of the viewer, as the machine counts."""
        return self.office.client.run(["pgrep", "--uid", "myself", "remote-viewer"]).stdout.split()[0]


@contextlib.contextmanager
def staged(office):
    """A stage that is cleared afterwards."""
    made = Stage(office)
    try:
        yield made
    finally:
        made.stop()


def test_its_user_does_not_own_a_namespace_that_it_runs_in(scene):
    """Who owns a user namespace may do anything to what is in it: there is none but the machine's own."""
    office, form = scene
    with staged(office) as stage:
        stage.view()
        kinds = {
            kind: office.client.run(["sh", "-c", f"readlink /proc/{stage.viewer()}/ns/{kind} /proc/1/ns/{kind}"]).stdout
            for kind in ("user", "net", "mnt", "pid", "ipc")
        }
    shared = {kind for kind, words in kinds.items() if len(set(words.split())) == 1}
    assert shared == ({"user", "net"} if form == "confined" else set(kinds))


def test_nothing_that_the_viewer_makes_gets_the_group(scene):
    """In the direct form it leaves files with the viewer's group in the user's home; confined it cannot write there."""
    office, form = scene
    with staged(office) as stage:
        stage.view()
        found = office.client.run(["find", "/home", "-group", "spicegrp"]).stdout.split()
    assert (found == []) is (form == "confined")


def _no_viewer(office):
    """Whether the user's viewer is gone. What started it may go on, to tell them why."""
    return office.client.run(["pgrep", "--uid", "myself", "remote-viewer"], check=False).returncode == 1


@pytest.mark.parametrize("scene", ["confined"], indirect=True)
def test_a_viewer_that_is_made_to_dump_its_memory_leaves_nothing(scene):
    """The user may end it, by whatever signal: there is no core, and with sudo gone no viewer either.

    In the direct form limits are the user's own.
    """
    office, _ = scene
    with staged(office) as stage:
        stage.view()
        office.client.run(["kill", "-ABRT", stage.viewer()], user="myself")
        until(lambda: _no_viewer(office))
        names = ["(", "-name", "core", "-o", "-name", "core.[0-9]*", ")"]
        assert office.client.run(["find", "/", "-xdev", *names, "-size", "+1M", "-newer", STAMP]).stdout == ""
    with staged(office) as stage:
        stage.view()
        opener = office.client.run(["pgrep", "--full", "spice-grant/open debianx"]).stdout.split()
        office.client.run(["kill", "-KILL", opener[-1]])
        until(lambda: _no_viewer(office))
