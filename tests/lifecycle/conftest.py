"""A client with the article's grants in force, on IPv4 and IPv6, and a server that listens."""

import subprocess

import pytest

import scenes
from scene import Listener, Minion
from scene.requirements import need

# Connects, says so, then waits for whatever comes: an idle session.
SESSION = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.recv(64)
    print("open", flush=True)
    try:
        connection.recv(64)
    except OSError as error:
        print(error.strerror, flush=True)
"""

CONTROL = """\
Package: office-viewer
Version: {version}
Architecture: all
Maintainer: Office <office@example.org>
Description: a viewer
"""


class Client:
    """The client machine, its minion and its pillar."""

    def __init__(self, machine):
        self.machine = machine
        self.pillar = scenes.shipped()
        server = self.pillar["spice"]["servers"]["mysrv"]
        del server["ca"]
        server["addresses"] = [scenes.ADDRESS, scenes.ADDRESS6]
        scenes.people(machine)
        self.minion = Minion(machine, self.pillar)

    def apply(self):
        """Apply the state; return its one result."""
        self.minion.set_pillar(self.pillar)
        (state,) = self.minion.state().values()
        assert state["result"] is True, state["comment"]
        return state

    def plan(self):
        """Return what a run would change."""
        self.minion.set_pillar(self.pillar)
        (state,) = self.minion.state(test=True).values()
        assert state["result"] is not False, state["comment"]
        return state["changes"]

    def session(self, user, address, port, environment=()):
        """Return a process with an open, idle session; ``environment`` is what it says of itself, ``NAME=value``."""
        process = self.machine.popen(
            ["/usr/bin/env", *environment, "/usr/bin/python3", "-c", SESSION, address, port],
            user=user,
            group=scenes.GROUP,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout.readline() == "open\n"
        return process


class Package:
    """A viewer that comes from a package, made here and unpacked by dpkg itself."""

    path = "/usr/bin/office-viewer"

    def __init__(self, machine):
        self.machine = machine

    def install(self, version):
        """Build and install a version of the package, as an upgrade does."""
        self.machine.write("/srv/package/DEBIAN/control", CONTROL.format(version=version))
        self.machine.write(f"/srv/package{self.path}", f"#!/bin/sh\necho {version}\n", 0o755)
        self.machine.run(["dpkg-deb", "--root-owner-group", "--build", "/srv/package", "/srv/package.deb"])
        self.machine.run(["dpkg", "--install", "/srv/package.deb"])

    def rights(self):
        """Return GID and mode of the viewer."""
        return self.machine.stat(self.path).st_gid, self.machine.mode(self.path)

    def restricted(self):
        """Whether only the viewer's group may start it."""
        return self.rights() == (self.machine.group_id(scenes.GROUP), 0o750)


@pytest.fixture
def client():
    """A fresh client; nothing was applied yet."""
    need("nft", "sudo", "visudo", "cvtsudoers", "ss", "remote-viewer")
    with scenes.pair() as (machine, server, _), Listener(server, scenes.CONSOLES.values()):
        yield Client(machine)


@pytest.fixture
def package(client):
    """The package in its first version, its viewer declared in pillar."""
    need("dpkg-deb", "dpkg-statoverride")
    made = Package(client.machine)
    made.install(1)
    client.pillar["spice"]["viewer"] = {"path": made.path}
    return made
