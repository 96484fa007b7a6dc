"""A file that can be read once: it is emptied when whoever read it closes it.

A viewer sends files to its console at a word of its user's, who may drop any path on it. So what it must read itself
and he must not have, a password, is gone from its sight by then.
"""

from __future__ import annotations

import ctypes
import os
import select

from spicegrants.errors import SystemFault

_CLOSE_NOWRITE = 0x10
_BUFFER = 65536


class Once:
    """Empties a file, which nobody else writes, each time that a reader has closed it."""

    def __init__(self, path: str) -> None:
        """Watch from now on; raise :class:`~spicegrants.errors.SystemFault` if the kernel does not tell of it."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._path = path
        self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._queue < 0 or libc.inotify_add_watch(self._queue, os.fsencode(path), _CLOSE_NOWRITE) < 0:
            raise SystemFault(f"it cannot be noticed when {path} was read: {os.strerror(ctypes.get_errno())}")

    def heed(self, descriptor: int) -> bytes:
        """Do so until a pipe ends; return what came from the pipe."""
        received = []
        while True:
            ready = select.select([descriptor, self._queue], [], [])[0]
            if self._queue in ready:
                os.read(self._queue, _BUFFER)
                os.truncate(self._path, 0)
            if descriptor in ready:
                received.append(os.read(descriptor, _BUFFER))
                if not received[-1]:
                    os.close(self._queue)
                    return b"".join(received)
