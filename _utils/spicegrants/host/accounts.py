"""Reads users and groups from the system's name service."""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Iterable

from spicegrants.inventory import Account, Group


def read(users: Iterable[str], groups: Iterable[str]) -> tuple[dict[str, Account], dict[str, Group], frozenset[str]]:
    """Look up users and groups.

    users, groups
        Names to look up one by one where enumerating does not show them, as with SSSD.

    Returns users by name, groups by name (members by primary group included, as far as the name service enumerates
    them), and the names that read as numbers.
    """
    found = {entry.pw_name: Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}
    entries = {entry.gr_name: entry for entry in grp.getgrall()}
    for name in groups:
        if name not in entries:
            _look_up(entries, grp.getgrnam, name)
    wanted = set(users)
    for name in groups:
        if name in entries:
            wanted.update(entries[name].gr_mem)
    for name in wanted - set(found):
        single: dict[str, pwd.struct_passwd] = {}
        _look_up(single, pwd.getpwnam, name)
        found.update({key: Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for key, entry in single.items()})
    known = {
        name: Group(
            name,
            entries[name].gr_gid,
            tuple(
                sorted(
                    {*entries[name].gr_mem, *(user.name for user in found.values() if user.gid == entries[name].gr_gid)}
                )
            ),
        )
        for name in groups
        if name in entries
    }
    return found, known, frozenset(name for name in (*found, *entries) if name.isdigit())


def names(also: object) -> frozenset[str]:
    """Return the names of all users.

    also
        A name to look up by itself, where enumerating does not show it; anything but text is none.
    """
    found: dict[str, pwd.struct_passwd] = {entry.pw_name: entry for entry in pwd.getpwall()}
    if isinstance(also, str) and "\0" not in also:
        _look_up(found, pwd.getpwnam, also)
    return frozenset(found)


def by_uid(uids: Iterable[int]) -> dict[int, str]:
    """Return the names of users by UID, of those that there are."""
    found: dict[int, str] = {}
    for uid in uids:
        with contextlib.suppress(KeyError):
            found[uid] = pwd.getpwuid(uid).pw_name
    return found


def _look_up(entries: dict, function, name: str) -> None:
    try:
        entries[name] = function(name)
    except KeyError:
        return
