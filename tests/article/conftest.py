"""The article's scene, whole: two real consoles over TLS, two users, and the state as pillar/ declares it."""

import contextlib
import os
import pty
import re
import select
import time
from pathlib import Path

import pytest
from article.viewers import Viewer

import scenes
from scene import Minion
from scene.machine import CHECKOUT
from scene.requirements import need
from scenes import shipped

PASSWORDS = {"myself": "correct horse", "mybro": "battery staple", "visitor": "visitor"}
ARTEFACTS = CHECKOUT / "build"


class Terminal:
    """A terminal in a machine in which a user runs one command; what it prints is in ``said``."""

    def __init__(self, machine, user, command, env=None):
        argv = [str(word) for word in machine.enter(command, user=user)]
        environment = machine.environment(user, {"TERM": "dumb", **(env or {})})
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, environment)
        self.output, self.code = "", None

    def read_until(self, pattern, timeout=60):
        """Read until what was printed matches a pattern, or the command has ended; return what was printed."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.output) and (left := deadline - time.monotonic()) > 0:
            if select.select([self.descriptor], [], [], left)[0]:
                try:
                    chunk = os.read(self.descriptor, 4096)
                except OSError:
                    break
                if not chunk:
                    break
                self.output += chunk.decode("utf-8", "replace")
        return self.output

    def type(self, line):
        """Type a line."""
        os.write(self.descriptor, f"{line}\n".encode())

    def end(self, timeout=60):
        """Wait for the command's own end and return its exit code."""
        self.read_until(r"(?!)", timeout)
        deadline = time.monotonic() + timeout
        while self.code is None and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return self.code

    def close(self):
        """Hang up, which ends what still runs."""
        os.close(self.descriptor)
        if self.code is None:
            os.waitpid(self.pid, 0)


class Office:
    """The client with its minion, and the server's consoles by name."""

    def __init__(self, client, server, minion, consoles):
        self.client, self.server, self.minion, self.consoles = client, server, minion, consoles
        self.pillar = None

    def terminal(self, user, command, env=None):
        """Return a terminal in which a user runs a command on the client."""
        return Terminal(self.client, user, command, env)

    def apply(self):
        """Make a run with the office's own pillar, and insist that all went well."""
        self.minion.set_pillar(self.pillar)
        (state,) = self.minion.state().values()
        assert state["result"] is True, state["comment"]


@contextlib.contextmanager
def opened(secrets=None, **minion):
    """Open the office; nothing was applied yet.

    ``secrets`` are the consoles' passwords, by vm, where they have some; ``minion`` goes to :class:`scene.Minion`.
    """
    secrets = secrets or {}
    need("qemu-system-x86_64", "remote-viewer", "Xvfb", "import", "openssl", "nft", "sudo", "visudo", "cvtsudoers")
    ARTEFACTS.mkdir(exist_ok=True)
    with scenes.pair() as (client, server, _):
        scenes.trust(client, server)
        consoles = {vm: scenes.console(server, vm, password=secrets.get(vm)) for vm in scenes.CONSOLES}
        scenes.people(client, stranger="visitor", passwords=PASSWORDS)
        yield Office(client, server, Minion(client, **minion), consoles)


@contextlib.contextmanager
def asking_nobody(**changes):
    """Open the office with the article's grants in force, except that sudo asks nobody for a password."""
    pillar = shipped(**changes)
    for grant in pillar["spice"]["grants"].values():
        grant["nopasswd"] = True
    with opened() as office:
        office.pillar = pillar
        office.apply()
        yield office


@pytest.fixture(scope="module")
def office():
    """The office after ``salt-call --local state.apply spice``, in the recipe's own, direct form."""
    with opened() as office:
        office.minion.set_pillar(shipped(viewer={"confine": False}))
        office.minion.salt_call("state.apply", "spice", "--retcode-passthrough")
        yield office


@pytest.fixture
def unasked():
    """The article's grants in force as the repository ships them; ``pillar`` is what holds."""
    with asking_nobody() as office:
        yield office


@pytest.fixture
def viewers(unasked):
    """Two users, each before their own console."""
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


@pytest.fixture
def artefacts() -> Path:
    """Where pictures are kept for whoever wants to look."""
    return ARTEFACTS
