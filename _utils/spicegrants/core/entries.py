"""Files, directories and links as values, and the difference between a desired and a live entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class File:
    """A regular file, root's by default.

    gid
        GID of its group; ``None`` while that group does not exist yet.

    reader
        UID of the one other user who may read it, by an access control list.
    """

    content: bytes
    mode: int
    gid: int | None = 0
    uid: int = 0
    reader: int | None = None


@dataclass(frozen=True)
class Directory:
    """A directory, root's by default."""

    mode: int
    gid: int | None = 0
    uid: int = 0


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Other:
    """An entry that cannot be ours: a device, a pipe, a socket."""

    kind: str


Entry = Union[File, Directory, Link, Other]
_KINDS = {File: "file", Directory: "directory", Link: "symbolic link"}


def difference(desired: Entry, live: Entry | None) -> str | None:
    """Return the verb for the change that is needed, as ``creates`` or ``rewrites``; ``None`` if none is."""
    if live is None:
        return "creates"
    if desired == live:
        return None
    if type(desired) is not type(live):
        kind = live.kind if isinstance(live, Other) else _KINDS[type(live)]
        return f"replaces the {kind} at"
    if isinstance(desired, Link):
        return "redirects"
    if isinstance(desired, File) and isinstance(live, File) and desired.content != live.content:
        return "rewrites"
    return "restores owner and mode of"
