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

    ``twins`` are other groups with the same GID: to the kernel they are the same group. ``mapping`` names the users to
    whom the GID is a subordinate one: in a user namespace of theirs, any program can have it.
    """

    name: str
    gid: int
    members: tuple[str, ...] = ()
    twins: tuple[Group, ...] = ()
    mapping: tuple[str, ...] = ()


class Unasked(NamedTuple):
    """Names of users and groups that could not be looked up in the name service, and why.

    ``holders`` maps UIDs that such users had before to the names of the users who have them now.
    """

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    why: str = ""
    holders: Mapping[int, str] = MappingProxyType({})


NOTHING_UNASKED = Unasked()
