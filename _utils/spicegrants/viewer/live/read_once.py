"""A file that can be read only once: it is emptied when its reader closes it, or before anybody opens it again.

A viewer sends files to its console at its user's word, and the user may drop any path on it. So a file with a password,
which the viewer must read but the user must not have, is gone from the viewer's sight by then.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Callable

from spicegrants.core.errors import SystemFault

_CLOSE_NOWRITE = 0x10
_BUFFER = 65536
# Of fanotify(7): close on exec, do not wait, and be asked; about each opening; yes.
_INIT_FLAGS, _ADD, _OPENING, _HERE = 1 | 2 | 4, 1, 0x10000, -100
_QUESTION, _ANSWER, _YES = struct.Struct("=IBBHQii"), struct.Struct("=iI"), 1


class Once:
    """Watcher that empties a file, which nobody else writes, each time that a reader has closed it.

    Even a user who can stop this process (at their terminal, or as owner of its control group) cannot keep the file
    full: where the kernel lets root be asked, as it does outside of containers, nobody can open the file while this
    process does not answer.
    """

    def __init__(self, path: str) -> None:
        """Watch the file from now on; raise :class:`~spicegrants.core.errors.SystemFault` if it is impossible."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._path = path
        self._opened = False
        self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._queue < 0 or libc.inotify_add_watch(self._queue, os.fsencode(path), _CLOSE_NOWRITE) < 0:
            raise SystemFault(f"it cannot be noticed when {path} was read: {os.strerror(ctypes.get_errno())}")
        self._gate = libc.fanotify_init(_INIT_FLAGS, os.O_RDONLY | os.O_CLOEXEC)
        if self._gate >= 0:
            libc.fanotify_mark(self._gate, _ADD, ctypes.c_uint64(_OPENING), _HERE, os.fsencode(path))

    def heed(self, descriptor: int, caller: int | None, ended: Callable[[], None]) -> bytes:
        """Empty the file at each close until a pipe ends; return the pipe's content.

        caller
            Descriptor of a process, pidfd_open(2).

        ended
            Called when that process has ended.
        """
        received = []
        heeded = [descriptor, self._queue, *([self._gate] if self._gate >= 0 else [])]
        callers = [] if caller is None else [caller]
        while True:
            ready = select.select([*heeded, *callers], [], [])[0]
            if self._queue in ready:
                os.read(self._queue, _BUFFER)
                os.truncate(self._path, 0)
            if self._gate in ready:
                self._let_in()
            if caller in ready:
                callers.clear()
                ended()
            if descriptor in ready:
                received.append(os.read(descriptor, _BUFFER))
                if not received[-1]:
                    for other in heeded[1:]:
                        os.close(other)
                    return b"".join(received)

    def _let_in(self) -> None:
        """Answer those who ask to open the file: let them in, after emptying it for all but the first."""
        for *_, descriptor, _ in _QUESTION.iter_unpack(os.read(self._gate, _BUFFER)):
            if self._opened:
                os.truncate(self._path, 0)
            self._opened = True
            os.write(self._gate, _ANSWER.pack(descriptor, _YES))
            os.close(descriptor)
