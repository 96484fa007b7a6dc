"""Files and directories as values: what must be there, what is there, what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class File:
    """A regular file of root's.

    gid
        Its group; ``None`` while that group does not exist yet.

    reader
        UID of the one user who may read it besides, by an access control list.
    """

    content: bytes
    mode: int
    gid: int | None = 0
    uid: int = 0
    reader: int | None = None


@dataclass(frozen=True)
class Directory:
    """A directory of root's."""

    mode: int
    gid: int | None = 0
    uid: int = 0


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Other:
    """Something that cannot be ours: a device, a pipe, a socket."""

    kind: str


Entry = Union[File, Directory, Link, Other]
_KINDS = {File: "file", Directory: "directory", Link: "symbolic link"}


def difference(desired: Entry, live: Entry | None) -> str | None:
    """Return the verb for what must be done: ``creates``, ``rewrites``, ...; ``None`` if nothing must."""
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
