"""Private mounts, which only the calling thread and its children see."""

from __future__ import annotations

import ctypes
import os

_NEW_MOUNTS = 0x00020000
_BIND = 4096
_REMOUNT = 32
_RECURSIVE_PRIVATE = 16384 | 262144
_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_DETACH = 2


def own_namespace() -> None:
    """Give the calling thread a mount namespace of its own: what it mounts from now on appears nowhere else."""
    _system_call(_libc().unshare(_NEW_MOUNTS))
    _system_call(_libc().mount(b"none", b"/", None, _RECURSIVE_PRIVATE, None))


def in_memory(directory: str) -> None:
    """Mount an empty tmpfs of root's over a directory."""
    _system_call(_libc().mount(b"tmpfs", directory.encode(), b"tmpfs", _NOSUID_NODEV_NOEXEC, b"mode=0755"))


def uncover(directory: str) -> None:
    """Take away what was mounted last over a directory, with all that is mounted in it."""
    _system_call(_libc().umount2(directory.encode(), _DETACH))


def bind(descriptor: int, path: str) -> None:
    """Bind-mount what a descriptor refers to at a path, whatever has become of the path by which it was opened."""
    _system_call(_libc().mount(f"/proc/self/fd/{descriptor}".encode(), path.encode(), None, _BIND, None))


def nothing_at(path: str) -> None:
    """Hide a file: bind-mount an empty one over it."""
    _system_call(_libc().mount(b"/dev/null", path.encode(), None, _BIND, None))


def bind_data(descriptor: int, path: str) -> None:
    """Bind-mount a directory so that nothing in it can be executed or mapped as code, whoever owns it."""
    bind(descriptor, path)
    _system_call(_libc().mount(None, path.encode(), None, _BIND | _REMOUNT | _NOSUID_NODEV_NOEXEC, None))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
