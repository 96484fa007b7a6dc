"""Directory watches by inotify(7), for which Python's standard library has nothing."""

from __future__ import annotations

import ctypes
import io
import os
import struct

from spicegrants.core.errors import SystemFault
from spicegrants.drift.watch_list import Places, joined

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0xC0, 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR = 0x1000000
_GONE = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
_MASK = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_EVENT = struct.Struct("=iIII")
_BUFFER = 65536
# What our own runs write beside a file, before it takes the file's place.
_TEMPORARY = ".spice-grant."


class Inotify:
    """Watches on directories for names that matter. Editors replace files, so no file is watched itself."""

    def __init__(self) -> None:
        """Ask the kernel for a queue; raise :class:`~spicegrants.core.errors.SystemFault` if it refuses one."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            raise SystemFault(f"changes of files cannot be noticed: {os.strerror(ctypes.get_errno())}")
        self._queue = io.FileIO(descriptor)
        self._watches: dict[int, tuple[str, frozenset[str] | None]] = {}

    def watch(self, places: Places) -> tuple[bool, list[str]]:
        """Watch these directories from now on, and no others.

        If one is missing, its nearest parent is watched for the name that leads to it.

        Returns whether one was not watched before (then changes in it may have been missed), and what cannot be
        watched, in sentences.
        """
        watches: dict[int, tuple[str, frozenset[str] | None]] = {}
        hindrances = []
        for directory, names in places.items():
            try:
                number, path, wanted = self._nearest(directory, names)
            except OSError as error:
                hindrances.append(f"changes in {directory} are not noticed: {error.strerror}")
                continue
            known = watches.get(number)
            watches[number] = (path, joined(known[1], wanted) if known else wanted)
        fresh = not watches.keys() <= self._watches.keys()
        for number in self._watches.keys() - watches.keys():
            self._libc.inotify_rm_watch(self._queue.fileno(), number)
        self._watches = watches
        return fresh, hindrances

    def _nearest(self, directory: str, names: frozenset[str] | None) -> tuple[int, str, frozenset[str] | None]:
        while True:
            number = self._libc.inotify_add_watch(self._queue.fileno(), os.fsencode(directory), _MASK)
            if number >= 0:
                return number, directory, names
            code = ctypes.get_errno()
            parent, name = os.path.split(directory)
            if not isinstance(OSError(code, ""), (FileNotFoundError, NotADirectoryError)) or not name:
                raise OSError(code, os.strerror(code))
            directory, names = parent, frozenset({name})

    def changes(self) -> tuple[set[str], bool]:
        """Return the paths that changed since the last call, and whether the kernel had to drop some."""
        changed: set[str] = set()
        dropped = False
        while True:
            received = self._queue.read(_BUFFER)
            if not received:
                return changed, dropped
            for number, mask, name in _events(received):
                dropped = dropped or bool(mask & _OVERFLOW)
                if number in self._watches:
                    directory, names = self._watches[number]
                    if mask & _GONE:
                        changed.add(directory)
                    elif _matters(name, names):
                        changed.add(f"{directory.rstrip('/')}/{name}")

    def close(self) -> None:
        """Release the queue."""
        self._queue.close()


def _matters(name: str, names: frozenset[str] | None) -> bool:
    if names is None:
        return not name.startswith(_TEMPORARY)
    return name in names


def _events(received: bytes):
    """Yield watch, mask and name of each event."""
    offset = 0
    while offset < len(received):
        number, mask, _, length = _EVENT.unpack_from(received, offset)
        offset += _EVENT.size
        yield number, mask, os.fsdecode(received[offset : offset + length].rstrip(b"\0"))
        offset += length
