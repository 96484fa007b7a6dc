"""Mounts on which users may leave files, and the output of find there, which a search reads. Pure.

Names of files are whatever a user chooses: they are bytes, and are shown quoted only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# File systems without files of users, or whose files nobody can start: not searched, and not worth a word.
_PSEUDO = frozenset(
    (
        *("autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts"),
        *("efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore", "resctrl", "rpc_pipefs"),
        *("securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs"),
    )
)
# Beside those that the kernel has for block devices: what lies in memory, or on devices by another way.
_LOCAL = frozenset(("aufs", "bcachefs", "devtmpfs", "overlay", "ramfs", "tmpfs", "zfs"))
# Here a user can make something that looks like another file system, and is none that is mounted.
_SUBVOLUMES = frozenset(("btrfs", "bcachefs"))
_GLOB = re.compile(rb"([*?\[\]\\])")
# What find prints of each file: kind, mode, owner, size, device, inode, and at last its path.
FORMAT = "%y %m %U %G %s %D %i %p\\0"
_LONGEST = 1000


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo; see proc(5)."""

    point: bytes
    root: bytes
    device: str
    kind: str
    options: frozenset[str] = frozenset()
    upper: bytes | None = None


class FoundFile(NamedTuple):
    """A file found by a search."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    device: int
    inode: int
    path: bytes


def mounts(text: bytes) -> list[Mount]:
    """Return the mounts in the text of /proc/self/mountinfo; of several at one point, only the last is visible."""
    found: dict[bytes, Mount] = {}
    for line in text.splitlines():
        fields = line.split(b" ")
        end = fields.index(b"-", 6)
        options = dict(option.partition(b"=")[::2] for option in fields[end + 3].split(b","))
        upper = options.get(b"upperdir")
        point, kind = _unescaped(fields[4]), fields[end + 1].decode(errors="replace")
        flags = frozenset(fields[5].decode(errors="replace").split(","))
        found.pop(point, None)
        found[point] = Mount(
            point, _unescaped(fields[3]), fields[2].decode(), kind, flags, None if upper is None else _unescaped(upper)
        )
    return list(found.values())


def _unescaped(text: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), text)


def block_kinds(text: str) -> frozenset[str]:
    """Return the file systems for block devices in the text of /proc/filesystems.

    Those that a program serves are left out.
    """
    kinds = (line.split("\t") for line in text.splitlines())
    return frozenset(name for mark, name in kinds if mark != "nodev" and not name.startswith("fuse"))


def local(known: Iterable[Mount], block: frozenset[str]) -> tuple[list[Mount], list[Mount]]:
    """Return the mounts to search, and those not searched although they may hold users' files: network mounts, FUSE."""
    searched, skipped = [], []
    for mount in known:
        if mount.kind in block or mount.kind in _LOCAL:
            searched.append(mount)
        elif mount.kind not in _PSEUDO:
            skipped.append(mount)
    return searched, skipped


def twice(mount: Mount, others: Iterable[Mount]) -> Iterator[bytes]:
    """Yield paths at which a mount's files may be visible as well, by way of another mount of the same device."""
    for other in others:
        inside = mount.root if other.root == b"/" else mount.root[len(other.root) :]
        below = other.root == b"/" or mount.root == other.root or mount.root.startswith(other.root + b"/")
        if other != mount and other.device == mount.device and below:
            yield (other.point.rstrip(b"/") + inside).rstrip(b"/") or b"/"


def expression(mount: Mount, known: Iterable[Mount], gid: int, sizes: Iterable[int]) -> list[bytes]:
    """Return the arguments with which find lists set-GID files of a group, and files of some sizes.

    find stays on the mount. Where a user may create a subvolume, which is a device of its own, mounts below are left
    out by their paths instead.
    """
    words = [mount.point, b"-ignore_readdir_race"]
    if mount.kind in _SUBVOLUMES:
        below = mount.point.rstrip(b"/") + b"/"
        for other in known:
            if other.point != mount.point and other.point.startswith(below):
                words += [b"-path", _GLOB.sub(rb"\\\1", other.point), b"-prune", b"-o"]
    else:
        words.append(b"-xdev")
    words += [b"-type", b"f", b"(", b"-gid", str(gid).encode(), b"-perm", b"-2000"]
    for size in sorted(set(sizes)):
        words += [b"-o", b"-size", f"{size}c".encode()]
    return [*words, b")", b"-printf", FORMAT.encode()]


def files_in(printed: bytes) -> Iterator[FoundFile]:
    """Yield the files in find's output; a last entry that was cut short is left out."""
    for entry in printed.split(b"\0")[:-1]:
        kind, mode, *numbers, path = entry.split(b" ", 7)
        uid, gid, size, device, inode = map(int, numbers)
        yield FoundFile(kind.decode(), int(mode, 8), uid, gid, size, device, inode, path)


def quoted(path: bytes) -> str:
    """Spell a path as one printable line; no two paths are spelled alike, except very long ones.

    Unprintable bytes, bytes that are no UTF-8, and backslashes are written as in C: ``\\n`` is ``\\x0a``.
    """
    text = "".join(
        character
        if character.isprintable() and character != "\\"
        else "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in path.decode("utf-8", "surrogateescape")
    )
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(path)} bytes)"
