"""Lookup of users and groups in the system's name service."""

from __future__ import annotations

import contextlib
import grp
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from spicegrants.core.accounts import Account, Group, Unasked
from spicegrants.core.paths import GROUPS
from spicegrants.host import disk, nss, subgid

_K = TypeVar("_K")
_V = TypeVar("_V")


class Accounts(NamedTuple):
    """Users and groups by name, names that read as numbers or could not be looked up, and names of all groups."""

    users: Mapping[str, Account]
    groups: Mapping[str, Group]
    numeric_names: frozenset[str]
    unasked: Unasked = Unasked()
    group_names: frozenset[str] = frozenset()


def read(users: Iterable[str], groups: Iterable[str], earlier: Mapping[str, int]) -> Accounts:
    """Look up users and groups.

    users, groups
        Names to look up one by one where enumerating does not show them, as with SSSD.

    earlier
        UIDs by name of users who had access before; they are looked up as well.

    Members by primary group are those that the name service enumerates. Where enumeration shows a name twice, the first
    entry counts, as in a lookup by name.
    """
    found: dict[str, Account] = {}
    for each in pwd.getpwall():
        found.setdefault(each.pw_name, _account(each))
    everything = grp.getgrall()
    entries, silent = _groups(groups)
    names = {*users, *earlier}
    for group in entries.values():
        names.update(group.gr_mem)
    missing: set[str] = set()
    for name in names - set(found):
        entry = _user(name)
        if entry is None:
            missing.add(name)
            continue
        found[name] = _account(entry)
        # Somebody else may be found by its UID.
        holder = _user(entry.pw_uid)
        if holder is not None:
            found.setdefault(holder.pw_name, _account(holder))
    asking = nss.Sources("passwd")
    unasked = {name: why for name in sorted(missing) if (why := asking.hindrance(name))}
    subgids = subgid.ranges()
    known = {name: _group(name, entry, found, everything, subgids) for name, entry in entries.items()}
    numeric = frozenset(name for name in (*found, *entries, *(entry.gr_name for entry in everything)) if name.isdigit())
    why = next(iter((*unasked.values(), *silent.values())), "")
    holders = by_uid(earlier[name] for name in unasked if name in earlier)
    hidden = Unasked(frozenset(unasked), frozenset(silent), why, holders)
    return Accounts(found, known, numeric, hidden, frozenset(entry.gr_name for entry in everything))


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _groups(names: Iterable[str]) -> tuple[dict[str, grp.struct_group], dict[str, str]]:
    """Return groups by name, and by name why a group, or some of its members, cannot be known."""
    sources = nss.Sources("group")
    found: dict[str, grp.struct_group] = {}
    silent: dict[str, str] = {}
    for name in names:
        entry = _look_up(grp.getgrnam, name)
        if entry is not None:
            found[name] = entry
        why = sources.hindrance(name) if entry is None or sources.merging else None
        if why:
            silent[name] = why
    return found, silent


def _group(
    name: str,
    entry: grp.struct_group,
    users: Mapping[str, Account],
    everything: Iterable[grp.struct_group],
    subgids: Iterable[subgid.Range],
) -> Group:
    """Return a group with its members, other groups of its GID, and users who can map that."""
    gid = entry.gr_gid
    primary = (user.name for user in users.values() if user.gid == gid)
    twins = {
        other.gr_name: Group(other.gr_name, gid, tuple(other.gr_mem))
        for other in everything
        if other.gr_gid == gid and other.gr_name not in (name, entry.gr_name)
    }
    owners = {each.owner for each in subgids if each.first <= gid < each.end}
    # Root has every group anyway.
    mapping = (user.name for user in users.values() if user.uid and not owners.isdisjoint((user.name, str(user.uid))))
    members = tuple(sorted({*entry.gr_mem, *primary}))
    return Group(name, gid, members, tuple(sorted(twins.values())), tuple(sorted(mapping)))


def stands(group: str) -> bool:
    """Tell whether /etc/group has a line for a group, whatever the name service says."""
    lines = (disk.read_site(GROUPS) or b"").splitlines()
    return any(line.startswith(f"{group}:".encode()) for line in lines)


def uids(also: object) -> dict[str, int]:
    """Return the UIDs of all users by name.

    also
        A name to look up by itself, where enumerating does not show it; anything but text is none.
    """
    found: dict[str, int] = {}
    for entry in pwd.getpwall():
        found.setdefault(entry.pw_name, entry.pw_uid)
    if isinstance(also, str) and "\0" not in also and (single := _user(also)) is not None:
        found[also] = single.pw_uid
    return found


def with_shells() -> list[tuple[Account, str]]:
    """Return all users that the name service enumerates, each with its shell."""
    return [(_account(entry), entry.pw_shell) for entry in pwd.getpwall()]


def by_uid(uids: Iterable[int]) -> dict[int, str]:
    """Return the names of existing users by UID."""
    found = {uid: _user(uid) for uid in uids}
    return {uid: entry.pw_name for uid, entry in found.items() if entry is not None}


# What was found meanwhile, by name or UID; ``None`` outside of :func:`users_asked_once`.
_found: dict[object, pwd.struct_passwd | None] | None = None


@contextlib.contextmanager
def users_asked_once() -> Iterator[None]:
    """Look up each user once at most, and take the answer again: a directory service may take its time for each.

    Groups are looked up each time: one may be made meanwhile.
    """
    global _found
    before, _found = _found, {}
    try:
        yield
    finally:
        _found = before


def _user(what: str | int) -> pwd.struct_passwd | None:
    """Return the entry of a user by name or UID; ``None`` if there is none, for whatever reason."""
    if _found is not None and what in _found:
        return _found[what]
    entry = _look_up(pwd.getpwnam, what) if isinstance(what, str) else _look_up(pwd.getpwuid, what)
    if _found is not None:
        _found[what] = entry
    return entry


def _look_up(function: Callable[[_K], _V], what: _K) -> _V | None:
    """Return the entry that a function of pwd or grp finds; ``None`` if it finds none, for whatever reason."""
    with contextlib.suppress(KeyError):
        return function(what)
    return None


def gid(group: str) -> int | None:
    """Return the GID of a group; ``None`` if there is no such group."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    return None
