"""The record's file: events are appended, flushed to the disk, and read back.

One writer at a time: openers, runs and the recorder take turns by a lock that nobody but root can hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import itertools
import os
import re
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from spicegrants.core.entries import Directory
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import RECORD, RECORD_FILE, RUN
from spicegrants.host import disk, run
from spicegrants.policy.model import Audit
from spicegrants.record import events

_JOURNAL = "/run/systemd/journal/socket"
_LOCK = f"{RUN}/record.lock"
# Seconds to wait for another writer.
_PATIENCE = 5.0
# Debian's group of those who may read logs.
_READERS = "adm"
# The file is put aside when it has so many bytes; the total that is kept is a multiple of it.
_FILES = 8
_ASIDE = re.compile(r"events-([0-9]{8}T[0-9]{6})(?:-[0-9]+)?\.jsonl")
# Bytes in which a whole line fits.
_LINE = 65536
_REFUSALS = f"{RUN}/refusals"
# Refusals of one user that are written within so many seconds; what is more is counted.
_OFTEN, _WITHIN = 6, 60


def append(found: Iterable[Mapping[str, Any]], settings: Audit) -> None:
    """Append events to the file, flush it, and tell the journal.

    Raises :class:`~spicegrants.core.errors.SystemFault` if the file cannot be written. The journal is told all the
    same; that it cannot be is no error.
    """
    found = [*found]
    if not found or not settings.enabled:
        return
    try:
        with _alone():
            _append(found, settings)
    except OSError as error:
        raise SystemFault(f"{RECORD_FILE} cannot be written: {error}") from error
    finally:
        _tell(found)


def refused(what: Mapping[str, Any], settings: Audit) -> None:
    """Append the refusal of a user, but not more than some a minute; further ones are counted in the next one.

    Raises as :func:`append` does.
    """
    if not settings.enabled:
        return
    try:
        with _alone():
            count = _counted(int(what["uid"]), int(time.time()))
            if count:
                _append([{**what, "count": count} if count > 1 else what], settings)
    except OSError as error:
        raise SystemFault(f"{RECORD_FILE} cannot be written: {error}") from error
    finally:
        _tell([what])


def _counted(uid: int, now: int) -> int:
    """Return how many refusals of a user a line stands for that is written now; 0 for no line."""
    path = f"{_REFUSALS}/{uid}"
    _make_directory(_REFUSALS, Directory(0o700))
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b") as stream:
        start, written, left_out = _numbers(stream.read(64))
        if not start <= now < start + _WITHIN:
            start, written = now, 0
        told = written < _OFTEN
        stream.seek(0)
        stream.truncate()
        stream.write(f"{start} {written + told} {0 if told else left_out + 1}\n".encode())
    return left_out + 1 if told else 0


def _numbers(text: bytes) -> tuple[int, int, int]:
    words = text.split()
    if len(words) != 3 or not all(word.isdigit() for word in words):
        return 0, 0, 0
    return int(words[0]), int(words[1]), int(words[2])


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of all writers."""
    _make_directory(RUN, Directory(0o700))
    descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemFault("another writer of the record does not end") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _append(found: Iterable[Mapping[str, Any]], settings: Audit) -> None:
    gid = _readers()
    _make_directory(RECORD, Directory(0o750, gid))
    descriptor = os.open(RECORD_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise SystemFault(f"{RECORD_FILE} is a link or no regular file: nothing is written there")
        if (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (0, gid, 0o640):
            os.fchown(descriptor, 0, gid)
            os.fchmod(descriptor, 0o640)
        last = _last_line(descriptor, status.st_size) or _last_aside()
        # Half a line was being written as the machine went off: it stays, by itself.
        text = b"" if last.endswith(b"\n") or not last else b"\n"
        after = events.digest(last) if last else events.NOTHING
        for what in found:
            line = events.line(what, after)
            after = events.digest(line)
            text += line
        _write(descriptor, text)
        os.fsync(descriptor)
        if status.st_size + len(text) >= settings.size // _FILES:
            _put_aside(settings)
    finally:
        os.close(descriptor)


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _last_line(descriptor: int, size: int) -> bytes:
    start = max(0, size - _LINE)
    return (os.pread(descriptor, _LINE, start).splitlines(keepends=True) or [b""])[-1]


def _last_aside() -> bytes:
    """Return the last line of the file that was put aside last; empty if there is none."""
    paths = _aside()
    if not paths:
        return b""
    descriptor = os.open(paths[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _last_line(descriptor, os.fstat(descriptor).st_size).rstrip(b"\n") + b"\n"
    finally:
        os.close(descriptor)


def _put_aside(settings: Audit) -> None:
    """Put the file aside under the moment of now, and remove what is too old or too much."""
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = sum(path.startswith(f"{RECORD}/events-{name}") for path in _aside())
    os.rename(RECORD_FILE, f"{RECORD}/events-{name}{f'-{number}' if number else ''}.jsonl")
    kept = _aside()
    oldest = time.time() - settings.keep
    # A file's last line is as old as the file.
    old = [path for path in kept if os.lstat(path).st_mtime < oldest]
    for path in {*old, *kept[: -(_FILES - 1)]}:
        os.unlink(path)


def _aside() -> list[str]:
    """Return the files that were put aside, the oldest first."""
    found = [match for match in map(_ASIDE.fullmatch, disk.names_in(RECORD)) if match]
    return [f"{RECORD}/{match[0]}" for match in sorted(found, key=lambda match: (match[1], len(match[0]), match[0]))]


def _readers() -> int:
    try:
        return grp.getgrnam(_READERS).gr_gid
    except KeyError:
        return 0


def _make_directory(path: str, desired: Directory) -> None:
    if disk.read(path) != desired:
        disk.make_parents(path)
        disk.make_directory(path, desired)


def _tell(found: Iterable[Mapping[str, Any]]) -> None:
    """Send events to the journal, where there is one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        # Nobody who opens a console waits for a journal that is stuck.
        journal.settimeout(1)
        for what in found:
            journal.sendto(events.datagram(events.journal_fields(what)), _JOURNAL)


def forget() -> None:
    """Remove what writers need; the record stays."""
    for path in (_LOCK, *(f"{_REFUSALS}/{name}" for name in disk.names_in(_REFUSALS)), _REFUSALS):
        disk.remove(path)


def read(since: int = 0) -> events.Read:
    """Return the events from a moment on, the oldest first, and what is wrong with the files.

    since
        Seconds since 1970. Defaults to all that is kept.

    Raises :class:`~spicegrants.core.errors.SystemFault` if a file cannot be read, or is a link.
    """
    run.as_root()
    complaints: list[str] = []
    with contextlib.ExitStack() as stack:
        streams = []
        for path in [*_aside(), RECORD_FILE]:
            stream = _opened(path)
            if stream is None:
                continue
            stack.enter_context(stream)
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SystemFault(f"{path} is no regular file")
            if status.st_uid != 0 or status.st_mode & 0o022:
                complaints.append(f"{path}: others than root can change it")
            # Its last line is as old as the file.
            if path == RECORD_FILE or status.st_mtime >= since:
                streams.append(stream)
        found = events.read(itertools.chain.from_iterable(streams), since, RECORD)
    return found._replace(complaints=[*complaints, *found.complaints])


def _opened(path: str) -> BinaryIO | None:
    try:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemFault(f"{path} cannot be read: {error}") from error


class Tail:
    """The record as it grows: all events at first, then those that are new."""

    def __init__(self) -> None:
        self.stream: BinaryIO | None = None

    def new(self) -> list[dict[str, Any]]:
        """Return the events since the last call, the oldest first; those of files that were put aside at first only."""
        if self.stream is None:
            found = read().events
            self.stream = _opened(RECORD_FILE)
            if self.stream is not None:
                self.stream.seek(0, os.SEEK_END)
            return found
        found = events.read(self.stream).events
        current = _opened(RECORD_FILE)
        if current is not None and os.fstat(current.fileno()).st_ino != os.fstat(self.stream.fileno()).st_ino:
            # It was put aside meanwhile.
            self.stream.close()
            self.stream = current
            return found + events.read(current).events
        if current is not None:
            current.close()
        return found
