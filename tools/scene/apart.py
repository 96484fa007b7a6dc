"""Packages that a machine unpacks for itself: on the host nothing of them is installed, and so nothing starts."""

from scene.machine import CHECKOUT
from scene.requirements import unavailable

# Where set-up puts them, in a directory for each.
ARCHIVES = CHECKOUT / "build" / "packages"


def unpack(machine, name, *programs):
    """Unpack the packages of a name in a machine; where the host has them installed, so has the machine already.

    No script of theirs is run but those before the unpacking: no account is made, and no service started.

    programs
        What the machine must have then; otherwise the calling test, or its module, is skipped.
    """
    archives = sorted(ARCHIVES.glob(f"{name}/*.deb"))
    if archives:
        force = ["--force-conflicts", "--force-depends", "--force-unsafe-io"]
        machine.run(["dpkg", "--unpack", "--no-triggers", *force, *archives])
    for program in programs:
        if machine.run(["sh", "-c", 'command -v "$1"', "sh", program], check=False).returncode != 0:
            unavailable(f"needs {program}, by {name} in build/packages: make setup, as root")
