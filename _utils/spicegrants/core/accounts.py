"""User accounts and groups, as values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Account(NamedTuple):
    """A user account: name, UID, and the GID of its primary group."""

    name: str
    uid: int
    gid: int


class Group(NamedTuple):
    """A group: name, GID, and the names of its members, those by primary group included.

    ``twins`` are other groups with the same GID, and so the same group to the kernel. ``mapping`` are the names of
    users to whom it is a subordinate GID: in a user namespace of theirs any program has it.
    """

    name: str
    gid: int
    members: tuple[str, ...] = ()
    twins: tuple[Group, ...] = ()
    mapping: tuple[str, ...] = ()


class Unasked(NamedTuple):
    """What the name service could not be asked for: names of users and of groups, and why.

    ``holders`` are the names of users by UID, of those UIDs that users whom nobody can be asked for had before.
    """

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    why: str = ""
    holders: Mapping[int, str] = MappingProxyType({})


NOTHING_UNASKED = Unasked()
