"""The article's scene, whole: two real consoles over TLS, two users, and the state as pillar/ declares it."""

import contextlib
import os
import pty
import re
import select
import time
from pathlib import Path

import pytest
import yaml
from article.viewers import Viewer

from scene import Machine, Minion, connect, tls
from scene.consoles import Console
from scene.machine import CHECKOUT
from scene.requirements import need

HOST = "mysrv.anraconc.de"
PASSWORDS = {"myself": "correct horse", "mybro": "battery staple"}
ARTEFACTS = CHECKOUT / "build"


class Terminal:
    """A terminal in a machine in which a user runs one command; what it prints is in ``said``."""

    def __init__(self, machine, user, command, env=None):
        argv = [str(word) for word in machine.enter(command, user=user)]
        environment = machine.environment(user, {"TERM": "dumb", **(env or {})})
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, environment)
        self.said, self.code = "", None

    def read_until(self, pattern, timeout=60):
        """Read until what was printed matches a pattern, or the command has ended; return what was printed."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.said) and (left := deadline - time.monotonic()) > 0:
            if select.select([self.descriptor], [], [], left)[0]:
                try:
                    chunk = os.read(self.descriptor, 4096)
                except OSError:
                    break
                if not chunk:
                    break
                self.said += chunk.decode("utf-8", "replace")
        return self.said

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
    with Machine("client") as client, Machine("server") as server:
        connect(client, server, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        tls.create(server.path("/etc/pki/spice"), HOST)
        consoles = {
            name: Console(server, name, port, "/etc/pki/spice", secrets.get(name))
            for name, port in (("debianx", 20002), ("leaptest", 20004))
        }
        for name, uid in (("myself", 1021), ("mybro", 1022)):
            client.add_user(name, uid, PASSWORDS[name])
        client.add_user("visitor", 1023, "visitor")
        client.write("/etc/hosts", client.read("/etc/hosts") + f"192.168.2.2 {HOST}\n")
        client.write("/etc/pki/spice/ca-cert.pem", server.read("/etc/pki/spice/ca-cert.pem"))
        yield Office(client, server, Minion(client, **minion), consoles)


def shipped(**changes):
    """The pillar of this repository; ``changes`` are further parts of it."""
    data = yaml.safe_load((CHECKOUT / "pillar" / "spice.sls").read_text())
    data["spice"].update(changes)
    return data


@contextlib.contextmanager
def asking_nobody(**changes):
    """Open the office with the article's grants in force, except that sudo asks nobody for his password."""
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


@pytest.fixture
def artefacts() -> Path:
    """Where pictures are kept for whoever wants to look."""
    return ARTEFACTS
