"""Reads and writes files of root's: never half a file, never for a moment with a wrong owner or mode."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import struct
from pathlib import Path

from spicegrants.errors import SystemFault
from spicegrants.files import Directory, Entry, File, Link, Other

_ACL = "system.posix_acl_access"
# linux/posix_acl_xattr.h: version, then (tag, permissions, id) of each entry.
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_LARGEST = 16 * 1024 * 1024


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
    """Return the one user whom an ACL of our form lets read; -1 if it is of another form; ``None`` without ACL."""
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
    """Return what is at a path, links not followed; ``None`` if nothing is."""
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
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            return File(stream.read(_LARGEST), mode, status.st_gid, status.st_uid, _reader(stream.fileno()))
    except OSError as error:
        raise SystemFault(f"{path} cannot be read: {error}") from error


def read_text(path: str) -> bytes | None:
    """Return the content of a file of ours; ``None`` if there is none."""
    entry = read(path)
    if entry is None:
        return None
    if not isinstance(entry, File):
        raise SystemFault(f"{path} is not a regular file")
    return entry.content


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, sorted; none if there is no such directory."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SystemFault(f"{directory} cannot be read: {error}") from error


def make_directory(path: str, wanted: Directory) -> None:
    """Make a directory, or give an existing one its owner and mode; parents must exist.

    It is made without rights for others and gets its group before its mode.
    """
    live = read(path)
    try:
        if live is not None and not isinstance(live, Directory):
            os.unlink(path)
            live = None
        if live is None:
            os.mkdir(path, 0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(descriptor, wanted.uid, wanted.gid)
            os.fchmod(descriptor, wanted.mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SystemFault(f"directory {path} cannot be made: {error}") from error


def write(path: str, wanted: File | Link) -> None:
    """Put a file in place in one step: temporary file beside it, owner, mode, content, fsync, rename. Or a link."""
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{secrets.token_hex(6)}"
    try:
        try:
            if isinstance(wanted, Link):
                os.symlink(wanted.target, temporary)
            else:
                _write_new(temporary, wanted)
            if isinstance(read(path), Directory):
                remove(path)
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_directory(os.path.dirname(path))
    except OSError as error:
        hint = " (the file system has no access control lists)" if error.errno == errno.EOPNOTSUPP else ""
        raise SystemFault(f"{path} cannot be written: {error}{hint}") from error


def _write_new(path: str, wanted: File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        os.fchown(descriptor, wanted.uid, wanted.gid)
        os.fchmod(descriptor, wanted.mode)
        if wanted.reader is not None:
            os.setxattr(descriptor, _ACL, _acl(wanted.reader))
        stream.write(wanted.content)
        stream.flush()
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


def prune(path: str) -> None:
    """Remove a directory if nothing is in it."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def make_parents(path: str) -> None:
    """Make the missing parents of a path, root's and readable by all."""
    for parent in reversed(Path(path).parents):
        if not parent.exists():
            make_directory(str(parent), Directory(0o755))
