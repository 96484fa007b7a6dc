"""Atomic file access for root: never half a file, never for a moment with a wrong owner or mode."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from spicegrants.core.entries import Directory, Entry, File, Link, Other
from spicegrants.core.errors import SystemFault

_ACL = "system.posix_acl_access"
# linux/posix_acl_xattr.h: version, then (tag, permissions, id) of each entry.
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
LARGEST = 16 * 1024 * 1024
# So many files are flushed one by one, when several are written.
_FEW = 16
# Temporary files, which are left behind if the run is killed. Neither sudo nor systemd reads a file of such a name.
_TEMPORARY = re.compile(r"\.spice-grant\.[0-9a-f]{12}")


def _acl(reader: int) -> bytes:
    entries = (
        (_USER_OBJ, 6, _NOBODY),
        (_USER, 4, reader),
        (_GROUP_OBJ, 0, _NOBODY),
        (_MASK, 4, _NOBODY),
        (_OTHER, 0, _NOBODY),
    )
    return struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _reader(descriptor: int) -> int | None:
    """Return the UID that an ACL of our form lets read; -1 for an ACL of another form; ``None`` without one."""
    try:
        value = os.getxattr(descriptor, _ACL)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise
    fields = [struct.unpack_from("<HHI", value, offset) for offset in range(4, len(value) - 7, 8)]
    users = [number for tag, _, number in fields if tag == _USER]
    return users[0] if len(users) == 1 and value == _acl(users[0]) else -1


def read(path: str) -> Entry | None:
    """Return the entry at a path, links not followed; ``None`` if there is none."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SystemFault(f"{path} cannot be read: {error}") from error
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Directory(mode, status.st_gid, status.st_uid)
    try:
        if stat.S_ISLNK(status.st_mode):
            return Link(os.readlink(path))
        if not stat.S_ISREG(status.st_mode):
            return Other("special file")
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            # Another file may have come into its place meanwhile: what was opened counts.
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Other("special file")
            # No more memory than it needs, and one byte to notice that it grew.
            content = stream.read(min(status.st_size, LARGEST) + 1)
            mode = stat.S_IMODE(status.st_mode)
            return File(content, mode, status.st_gid, status.st_uid, _reader(stream.fileno()))
    except OSError as error:
        raise SystemFault(f"{path} cannot be read: {error}") from error


def read_text(path: str) -> bytes | None:
    """Return the content of one of our files; ``None`` if there is none."""
    entry = read(path)
    if entry is None:
        return None
    if not isinstance(entry, File):
        raise SystemFault(f"{path} is not a regular file")
    return entry.content


def read_site(path: str) -> bytes | None:
    """Return the content of one of the site's files, which may be a link; ``None`` if there is none.

    Only regular files are read: nobody knows when something comes out of a pipe.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SystemFault(f"{path} is not a regular file")
            if status.st_size > LARGEST:
                raise SystemFault(f"{path} is too large: {status.st_size} bytes")
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SystemFault(f"{path} cannot be read: {error}") from error


def replaceable(path: str, links: int = 40) -> str | None:
    """Return a directory in which others than root can replace a path; ``None`` if there is none.

    Whom this runs as, where that is not root, is none of these others.

    All directories above the path count, and those above each link on the way.

    links
        How many links there may be. Beyond that, or if a directory cannot be looked at, raises
        :class:`~spicegrants.core.errors.SystemFault`.
    """
    for parent in _parents(path):
        try:
            status = os.lstat(parent)
            target = os.readlink(parent) if stat.S_ISLNK(status.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            # What is above is root's, so nobody else can make it.
            return None
        except OSError as error:
            raise SystemFault(f"{parent} cannot be looked at: {error}") from error
        if target is not None:
            if not links:
                raise SystemFault(f"{parent} leads through too many links")
            above = os.path.realpath(os.path.dirname(parent))
            found = replaceable(os.path.join(above, target, "entry"), links - 1)
        else:
            own = status.st_uid in (0, os.geteuid())
            found = parent if not own or status.st_mode & 0o022 else None
        if found is not None:
            return found
    return None


def _parents(path: str) -> list[str]:
    """Return all directories above a path, the root directory first."""
    found: list[str] = []
    while (parent := os.path.dirname(path)) != path:
        found.insert(0, parent)
        path = parent
    return found


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, sorted; none if there is no such directory."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SystemFault(f"{directory} cannot be read: {error}") from error


def own(directories: Sequence[str]) -> set[str]:
    """Return the entries of directories that are ours alone, and the first of these, which holds the others.

    A link in place of one of them is not followed: what lies behind it is not ours.
    """
    first = directories[0]
    found = {first} if read(first) is not None else set()
    for directory in directories:
        if all(isinstance(read(path), Directory) for path in (first, directory)):
            found.update(f"{directory}/{name}" for name in names_in(directory))
    return found


def temporaries(directory: str, age: int = 0) -> list[str]:
    """Return the temporary files in a directory. While nobody writes, an interrupted run left them.

    age
        Minimum age in seconds, for directories in which somebody may be writing. Defaults to any age.
    """
    found = [f"{directory}/{name}" for name in names_in(directory) if _TEMPORARY.fullmatch(name)]
    return [path for path in found if _old(path, age)] if age else found


def _old(path: str, age: int) -> bool:
    try:
        return os.lstat(path).st_mtime <= time.time() - age
    except FileNotFoundError:
        return False


def make_directory(path: str, desired: Directory) -> None:
    """Make a directory, or give an existing one its owner and mode; parents must exist.

    A new directory appears with its owner and mode. Until then others have no rights to it, and its group is set before
    its mode.
    """
    live = read(path)
    try:
        if isinstance(live, Directory):
            _set_rights(path, desired)
        else:
            with _put(path) as temporary:
                os.mkdir(temporary, 0o700)
                _set_rights(temporary, desired)
                if live is not None:
                    os.unlink(path)
    except OSError as error:
        raise SystemFault(f"directory {path} cannot be made: {error}") from error


def _set_rights(directory: str, desired: Directory) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _own_as(descriptor, desired)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own_as(descriptor: int, desired: File | Directory) -> None:
    if desired.gid is None:
        raise SystemFault("nothing is written for a group that does not exist")
    os.fchown(descriptor, desired.uid, desired.gid)
    os.fchmod(descriptor, desired.mode)


def write(path: str, desired: File | Link) -> None:
    """Write a file or link atomically: temporary file beside it, owner, mode, content, fsync, rename."""
    try:
        with _put(path) as temporary:
            if isinstance(desired, Link):
                os.symlink(desired.target, temporary)
            else:
                _write_new(temporary, desired)
            if isinstance(read(path), Directory):
                remove(path)
    except OSError as error:
        hint = " (the file system has no access control lists)" if error.errno == errno.EOPNOTSUPP else ""
        raise SystemFault(f"{path} cannot be written: {error}{hint}") from error


def write_all(entries: Mapping[str, File]) -> None:
    """Write several files, each atomically as :func:`write` does.

    Many are flushed together: all are on the disk under temporary names before the first takes its place.
    """
    if len(entries) <= _FEW:
        for path, desired in entries.items():
            write(path, desired)
        return
    try:
        with contextlib.ExitStack() as unfinished:
            temporaries = {path: _beside(path) for path in entries}
            for path, temporary in temporaries.items():
                unfinished.callback(_discard, temporary)
                _write_new(temporary, entries[path], flush=False)
            directories = {os.path.dirname(path) for path in entries}
            for directory in directories:
                _flush_file_system(directory)
            for path, temporary in temporaries.items():
                if isinstance(read(path), Directory):
                    remove(path)
                os.rename(temporary, path)
            unfinished.pop_all()
        for directory in directories:
            _sync_directory(directory)
    except OSError as error:
        raise SystemFault(f"files cannot be written: {error}") from error


def _beside(path: str) -> str:
    """Return a temporary path beside another."""
    return f"{os.path.dirname(path)}/.spice-grant.{os.urandom(6).hex()}"


def _discard(temporary: str) -> None:
    with contextlib.suppress(SystemFault):
        remove(temporary)


def _flush_file_system(directory: str) -> None:
    import ctypes

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _put(path: str) -> Iterator[str]:
    """Yield a temporary path beside another; rename it to that path, or remove it if anything fails."""
    temporary = _beside(path)
    try:
        yield temporary
        os.rename(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    _sync_directory(os.path.dirname(path))


def _write_new(path: str, desired: File, flush: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        _own_as(descriptor, desired)
        if desired.reader is not None:
            os.setxattr(descriptor, _ACL, _acl(desired.reader))
        stream.write(desired.content)
        stream.flush()
        if flush:
            os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove a file, a link, or an empty directory."""
    try:
        if isinstance(read(path), Directory):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SystemFault(f"{path} cannot be removed: {error}") from error


def attempted(steps: Iterable[Callable[[], None]]) -> tuple[str, ...]:
    """Run all steps, even if some fail; return the errors."""
    hindrances = []
    for step in steps:
        try:
            step()
        except SystemFault as error:
            hindrances.append(str(error))
    return tuple(hindrances)


def prune(path: str) -> None:
    """Remove a directory if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def make_parents(path: str) -> None:
    """Make the missing parents of a path, root's and readable by all."""
    parent = os.path.dirname(path)
    if not os.path.exists(parent):
        make_parents(parent)
        make_directory(parent, Directory(0o755))
