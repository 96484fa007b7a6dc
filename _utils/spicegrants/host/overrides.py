"""Owner and mode that outlive package upgrades, by dpkg-statoverride(1), on systems that have it."""

from __future__ import annotations

import shutil

from spicegrants.errors import LiveStateUnreadable
from spicegrants.host import run


def supported() -> bool:
    """Tell whether this system's packages are dpkg's."""
    return shutil.which("dpkg-statoverride", path=run.SEARCH) is not None


def read(path: str) -> tuple[str, str, int] | None:
    """Return owner, group and mode that dpkg gives a file; ``None`` if those of its package."""
    done = run.attempt(["dpkg-statoverride", "--list", path])
    if done.returncode == 1 and not done.stderr:
        return None
    words = done.stdout.split()
    if done.returncode or len(words) != 4:
        raise LiveStateUnreadable(
            f"dpkg-statoverride --list {path} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return words[0], words[1], int(words[2], 8)


def write(path: str, owner: str, group: str, mode: int) -> None:
    """Have dpkg give a file owner, group and mode from now on, in place of what it was told before."""
    if read(path) is not None:
        remove(path)
    run.run(["dpkg-statoverride", "--add", owner, group, f"{mode:04o}", path])


def remove(path: str) -> None:
    """Have dpkg use the package's own owner and mode again."""
    run.run(["dpkg-statoverride", "--remove", path])
