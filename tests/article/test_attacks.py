"""Attacks on the viewer by its own user, with the real viewer on a desktop: in the direct form, and confined.

What succeeds in the direct form is real. What is tried is code that the user brought: it tells as whom it runs, and
makes itself a program that keeps the viewer's group.
"""

import contextlib
import pathlib
import select
import subprocess
import sys

import pytest
from article.conftest import asking_nobody

from scene.desktop import Desktop
from scene.requirements import need

EVIL, KEPT = "/home/myself/evil.so", "/home/myself/kept"
SETTINGS = "/home/myself/.config/gtk-3.0/settings.ini"
PLUGIN = "/home/myself/.local/share/gstreamer-1.0/plugins/libgstevil.so"
# Prints what is told at a port, a line each.
_LISTEN = """
import socket
with socket.create_server(("127.0.0.1", 7777)) as server:
    print("listening", flush=True)
    while True:
        with server.accept()[0] as connection:
            print(connection.makefile().readline().strip(), flush=True)
"""


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """The attacker's code, as a shared object."""
    need("gcc")
    made = tmp_path_factory.mktemp("evil") / "evil.so"
    source = pathlib.Path(__file__).with_name("evil.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, source], check=True)
    return made.read_bytes()


@pytest.fixture(scope="module", params=["direct", "confined"])
def scene(request, evil):
    """The office in one of the two forms, with the attacker's code in myself's home; and which form it is."""
    need("bwrap", "xsettingsd")
    with asking_nobody(viewer={"confine": request.param == "confined"}) as office:
        office.client.write(EVIL, evil, mode=0o755, owner="myself")
        yield office, request.param


class Stage:
    """A desktop of myself's, and ears for his code."""

    def __init__(self, office):
        self.office = office
        self.desktop = Desktop(office.client, "myself")
        command = [sys.executable, "-I", "-S", "-c", _LISTEN]
        self.listener = office.client.popen(command, stdout=subprocess.PIPE, text=True)
        assert self.listener.stdout.readline() == "listening\n"
        self.processes = [self.listener]

    def stop(self):
        """End it, and take away what attacks left."""
        for process in self.processes:
            process.kill_tree()
        self.listener.stdout.close()
        self.desktop.stop()
        self.office.client.run(
            ["rm", "-rf", KEPT, "/home/myself/.config", "/home/myself/.local", "/home/myself/.cache"]
        )

    def write(self, path, content):
        """Write a file of myself's, its directories too."""
        directory = path.rpartition("/")[0]
        self.office.client.run(["mkdir", "-p", directory], user="myself")
        self.office.client.write(path, content, mode=0o755, owner="myself")

    def xsettings(self, modules):
        """Have a client of the display tell all programs on it which modules to load."""
        self.write("/home/myself/.xsettingsd", f'Gtk/Modules "{modules}"\n')
        command = ["xsettingsd", "-c", "/home/myself/.xsettingsd"]
        self.processes.append(self.desktop.popen(command, stderr=subprocess.PIPE, text=True))
        while "Took ownership" not in (said := self.processes[-1].stderr.readline()):
            assert said, "no settings on this display"

    def view(self, **kw):
        """Open the console by rviewer and wait until it shows; return the process."""
        process = self.desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        self.processes.append(process)
        assert self.desktop.shows(self.office.consoles["debianx"].rgb)
        return process

    def heard(self):
        """What the attacker's code told: pairs of UID and GID."""
        found = set()
        while select.select([self.listener.stdout], [], [], 1)[0]:
            found.add(tuple(map(int, self.listener.stdout.readline().split())))
        return found

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


def settings_ini(stage):
    stage.write(SETTINGS, f"[Settings]\ngtk-modules={EVIL}\n")
    stage.view()


def xsettings(stage):
    stage.xsettings(EVIL)
    stage.view()


def descriptor(stage):
    """The module is what standard input stands for."""
    stage.xsettings("/proc/self/fd/0")
    with open(stage.office.client.path(EVIL), "rb") as code:
        stage.view(stdin=code)


def gstreamer(stage):
    stage.write(PLUGIN, stage.office.client.path(EVIL).read_bytes())
    stage.view()


@pytest.mark.parametrize("attack", [settings_ini, xsettings, descriptor, gstreamer])
def test_code_of_the_user_in_the_viewer(scene, attack):
    """It runs with the viewer's group in the direct form, and keeps it; confined it never runs."""
    office, form = scene
    with staged(office) as stage:
        attack(stage)
        heard = stage.heard()
        left = office.client.run(["sh", "-c", f"test -e {KEPT} && {KEPT} -g"], user="myself", check=False).stdout
    gid = office.client.group_id("spicegrp")
    if form == "direct":
        assert (1021, gid) in heard and left == f"{gid}\n"
    else:
        assert heard == set() and left == ""


_PEEK = """
import ctypes, os, sys
pid = int(sys.argv[1])
read = []
for name in ("environ", "mem", "maps", "auxv"):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            stream.read(1)
            read.append(name)
    except OSError:
        pass
for name in ("root", "cwd", "exe", "fd/0", "ns/mnt"):
    try:
        os.stat(f"/proc/{pid}/{name}")
        read.append(name)
    except OSError:
        pass
if ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0:
    read.append("ptrace")
print(*read)
"""


def test_the_viewers_memory_is_not_the_users_to_read(scene):
    """By ptrace and /proc, in both forms: the group is not his. A viewer of his own he may look into."""
    office, _ = scene
    with staged(office) as stage:
        stage.view()
        command = ["/usr/bin/python3", "-IS", "-c", _PEEK]
        own = stage.desktop.popen(["sleep", "60"])
        stage.processes.append(own)
        mine = ""
        while not mine:  # it may not be what it becomes yet
            assert own.poll() is None
            mine = office.client.run(["pgrep", "--uid", "myself", "--exact", "sleep"], check=False).stdout.strip()
        assert "ptrace" in office.client.run([*command, mine], user="myself").stdout.split()
        assert office.client.run([*command, stage.viewer()], user="myself").stdout.split() == []


def test_its_user_does_not_own_a_namespace_that_it_runs_in(scene):
    """Who owns a user namespace may do anything to what is in it: there is none but the machine's own."""
    office, form = scene
    with staged(office) as stage:
        stage.view()
        kinds = {
            kind: office.client.run(["sh", "-c", f"readlink /proc/{stage.viewer()}/ns/{kind} /proc/1/ns/{kind}"]).stdout
            for kind in ("user", "net", "mnt", "pid", "ipc")
        }
    shared = {kind for kind, said in kinds.items() if len(set(said.split())) == 1}
    assert shared == ({"user", "net"} if form == "confined" else set(kinds))


def test_nothing_that_the_viewer_makes_gets_the_group(scene):
    """In the direct form it leaves files with the viewer's group in the user's home; confined it cannot write there."""
    office, form = scene
    with staged(office) as stage:
        stage.view()
        found = office.client.run(["find", "/home", "-group", "spicegrp"]).stdout.split()
    assert (found == []) is (form == "confined")


@pytest.mark.parametrize("scene", ["confined"], indirect=True)
def test_a_viewer_that_is_made_to_dump_its_memory_leaves_nothing(scene):
    """The user may end it, by whatever signal: there is no core, and with sudo gone no viewer either.

    In the direct form limits are the user's own.
    """
    office, _ = scene
    with staged(office) as stage:
        process = stage.view()
        office.client.run(["kill", "-ABRT", stage.viewer()], user="myself")
        assert process.wait(10) == 4
        assert office.client.run(["find", "/", "-xdev", "-name", "core*", "-size", "+1M", "-newer", EVIL]).stdout == ""
    with staged(office) as stage:
        process = stage.view()
        opener = office.client.run(["pgrep", "--full", "spice-grant/open debianx"]).stdout.split()
        office.client.run(["kill", "-KILL", opener[-1]])
        process.wait(10)
        assert office.client.run(["pgrep", "--uid", "myself", "remote-viewer"], check=False).returncode == 1
