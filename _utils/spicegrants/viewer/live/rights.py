"""Owner, group and mode of the viewers: read without following a link, set through a descriptor."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import LAUNCHER
from spicegrants.host import disk
from spicegrants.viewer.files import Program


def read(path: str) -> Program:
    """Return the rights of a viewer.

    Raises :class:`~spicegrants.core.errors.SystemFault` unless there is a viewer that only root could replace.
    """
    if path == LAUNCHER:
        raise SystemFault(f"spice:viewer:path: {path} is our launcher: name the viewer itself")
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        message = f"spice:viewer:path: no viewer {path} on this machine: install it first"
        raise SystemFault(message, [path]) from None
    except OSError as error:
        raise SystemFault(f"spice:viewer:path: {path} cannot be read: {error}") from error
    directory = disk.replaceable(path)
    if directory is not None:
        raise SystemFault(f"spice:viewer:path: others than root can replace {path}: they may write in {directory}")
    if not stat.S_ISREG(status.st_mode):
        raise SystemFault(f"spice:viewer:path: {path} is not a regular file: name the program itself, not a link to it")
    return Program(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


def read_or_none(path: str) -> Program | None:
    """Return the rights of a restricted viewer; ``None`` if it is gone, or replaced by what we never would restrict."""
    try:
        return read(path)
    except SystemFault:
        return None


def originals(programs: Mapping[str, Program]) -> dict[str, tuple[int, int, int]]:
    """Return owner, group and mode of viewers from before the first run; if restricted, as packages install them."""
    return {
        path: (each.uid, each.gid, each.mode) if each.mode & stat.S_IXOTH else (0, 0, 0o755)
        for path, each in programs.items()
    }


def put(path: str, uid: int, gid: int, mode: int) -> None:
    """Set the rights; raise :class:`~spicegrants.core.errors.SystemFault` if they cannot be set."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SystemFault(f"owner and mode of {path} cannot be set: {error}") from error
