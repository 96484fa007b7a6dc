"""Connection files, launcher menu and viewers of the viewer layer."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Directory, Entry, File, difference
from spicegrants.core.paths import CONFIG, CONNECTIONS, CONTACT, KNOWN_HOSTS, LAUNCHER, MENUS, OPENER, connection_file
from spicegrants.policy import wording
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState, by_user
from spicegrants.policy.loans_locks import Loan
from spicegrants.policy.model import Grant
from spicegrants.schedule.intervals import ALWAYS, Windows
from spicegrants.viewer import desk
from spicegrants.viewer.connection_text import connection_text

# A vm, and the grants by which somebody has it.
Locked = tuple[str, tuple[str, ...]]
# Ours alone, parents first: what else is in them goes.
DIRECTORIES = (CONFIG, CONNECTIONS, MENUS)
VIEWER_MODE = 0o750
# Programs that open SPICE or VNC consoles as well; found ones are reported, the firewall stops them all the same.
OTHERS = (
    "/usr/bin/spicy",
    "/usr/bin/virt-viewer",
    "/usr/bin/virt-manager",
    "/usr/bin/gnome-boxes",
    "/usr/bin/gnome-connections",
    "/usr/bin/vinagre",
    "/usr/bin/remmina",
    "/usr/bin/krdc",
    "/usr/bin/vncviewer",
    "/var/lib/flatpak/app/org.virt_manager.virt-viewer",
    "/var/lib/flatpak/app/org.gnome.Boxes",
)


def menu_text(desired: DesiredState, accesses: Iterable[Access], locked: Iterable[Locked] = ()) -> str:
    """Return the menu of one user, which the launcher reads: their consoles, when these are open, and what to start.

    Of a locked console it says that it is, and nothing with which it could be opened.
    """
    policy = desired.policy
    consoles: dict[str, dict[str, Any]] = {
        vm: {"locked": True, "grants": grants, "windows": ""} for vm, grants in locked
    }
    consoles.update((access.vm, _unlocked(desired, access)) for access in accesses)
    for vm, console in consoles.items():
        contact = policy.contact(vm, console["grants"])
        if contact is not None:
            console["contact"] = contact
    start = {"opener": OPENER} if desired.confined else {"group": policy.viewer.group, "viewer": policy.viewer.paths[0]}
    menu = {**start, "consoles": consoles}
    return json.dumps(menu, sort_keys=True) + "\n"


def _unlocked(desired: DesiredState, access: Access) -> dict[str, Any]:
    """Return what a menu says of a console that is open, or opens at some time."""
    windows = desired.times(access).opened
    console: dict[str, Any] = {
        "password": not access.nopasswd,
        "grants": access.grants,
        "windows": None if windows == ALWAYS else _windows_text(windows),
    }
    if windows != ALWAYS:
        # In which the administrator sees them.
        console["zone"] = wording.zone_of(desired.policy, access) or "UTC"
    if not desired.confined:
        console["file"] = connection_file(access.vm)
    return console


# They are most of a menu, and many consoles share theirs.
@functools.lru_cache(maxsize=4096)
def _windows_text(windows: Windows) -> str:
    """Spell windows in seconds since 1970: ``1795456800-1795471200 1795543200-1795557600``."""
    return " ".join(f"{start}-{end}" for start, end in windows)


def _menus(desired: DesiredState) -> dict[str, File]:
    """Return the menus by path, also of those who have locked consoles only: they are to read why they may not."""
    free, locked = by_user(desired.accesses), _locked(desired)
    return {f"{MENUS}/{uid}": _menu(desired, uid, free.get(uid, ()), locked.get(uid, ())) for uid in _listed(desired)}


def _listed(desired: DesiredState) -> Iterable[int]:
    """Return the UIDs of those who have a menu."""
    return {**by_user(desired.accesses), **_locked(desired)}


def _locked(desired: DesiredState) -> dict[int, tuple[Locked, ...]]:
    """Return what is locked, by UID."""
    locked = by_user(access for access, _ in desired.locked)
    return {uid: tuple((access.vm, access.grants) for access in accesses) for uid, accesses in locked.items()}


def _still_locked(desired: DesiredState, menu: Entry | None) -> tuple[Locked, ...]:
    """Return what a menu says is locked, as far as there are locks, and the grants behind it.

    What is stored does not say who has what is locked.
    """
    if not isinstance(menu, File) or not desired.temporary.locks:
        return ()
    rights: tuple[Grant | Loan, ...] = (*desired.policy.grants.values(), *desired.temporary.loans)
    behind = {right.name: right.vm for right in rights if right.vm in desired.policy.vms}
    try:
        consoles = json.loads(menu.content)["consoles"]
        named = {vm: tuple(each["grants"]) for vm, each in consoles.items() if each.get("locked") is True}
        still = {vm: tuple(name for name in names if behind.get(name) == vm) for vm, names in named.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # It is not as a run wrote it.
        return ()
    return tuple((vm, names) for vm, names in still.items() if names)


def paths(desired: DesiredState) -> list[str]:
    """Return the paths of :func:`desired_entries`, in its order."""
    vms = sorted({access.vm for access in desired.accesses})
    menus = (f"{MENUS}/{uid}" for uid in _listed(desired))
    told = (*_contact(desired), *_known_hosts(desired))
    return [*DIRECTORIES, LAUNCHER, *told, *desk.PATHS, OPENER, *map(connection_file, vms), *menus]


def desired_entries(desired: DesiredState, launcher: bytes, opener: bytes = b"") -> dict[str, Entry]:
    """Return the desired files and directories by path, parents first.

    launcher
        The launcher's program text.

    opener
        The program that starts confined viewers.
    """
    gid = desired.gid
    entries: dict[str, Entry] = {
        CONFIG: Directory(0o755),
        CONNECTIONS: Directory(0o750, gid),
        MENUS: Directory(0o711),
        LAUNCHER: File(launcher, 0o755),
        **_contact(desired),
        **_known_hosts(desired),
        **desk.entries(),
    }
    if desired.confined:
        entries[OPENER] = File(opener, 0o755)
    for name in sorted({access.vm for access in desired.accesses}):
        entries[connection_file(name)] = File(connection_text(desired, name).encode(), 0o640, gid)
    return {**entries, **_menus(desired)}


def _known_hosts(desired: DesiredState) -> dict[str, Entry]:
    """Return the file by which the opener knows the KVM hosts that it asks for tickets; nothing if it asks none."""
    keys = [(name, server.host_key) for name, server in desired.policy.servers.items() if server.host_key]
    text = "".join(f"{name} {key}\n" for name, key in sorted(keys))
    return {KNOWN_HOSTS: File(text.encode(), 0o644)} if keys else {}


class Program(NamedTuple):
    """Owner, group and mode of a viewer."""

    uid: int
    gid: int
    mode: int


class ViewerLive(NamedTuple):
    """The present state of the viewer layer on the system.

    members
        Users in the viewer's group, by membership or by primary group.

    programs
        Viewers by path.

    entries
        Entries by path at the places of our files and directories, and everything else in our own directories.

    overrides
        By path of a viewer: owner, group and mode that package upgrades keep; ``None`` if they are the package's.
        ``None`` instead of the mapping if the system has no such mechanism.

    lendable
        Whether others may give themselves the group: its administrators, or people who know its password.
    """

    members: tuple[str, ...]
    programs: Mapping[str, Program]
    entries: Mapping[str, Entry]
    overrides: Mapping[str, tuple[str, str, int] | None] | None = None
    lendable: bool = False


class ViewerPlan(NamedTuple):
    """Changes in words, and the actions to take; ``write`` has the entries to write by path, parents first."""

    changes: tuple[Change, ...]
    create_group: bool = False
    strip: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    write: Mapping[str, Entry] = MappingProxyType({})
    remove: tuple[str, ...] = ()
    seal: bool = False


def plan_files(desired: DesiredState, live: ViewerLive, launcher: bytes, opener: bytes = b"") -> ViewerPlan:
    """Compare the desired state with the system."""
    group = desired.policy.viewer.group
    create = desired.gid is None
    changes = [Change("viewer", f"creates group {group}")] if create else []
    changes += [Change("viewer", f"takes {name} out of group {group}") for name in live.members]
    if live.lendable:
        changes.append(Change("viewer", f"takes administrators and password from group {group}"))
    program = None if desired.gid is None else Program(0, desired.gid, VIEWER_MODE)
    programs = tuple(path for path, live_rights in live.programs.items() if live_rights != program)
    for path in programs:
        changes.append(Change("viewer", f"restricts {path} to root:{group} {VIEWER_MODE:04o}"))
    restricted = ("root", group, VIEWER_MODE)
    overrides = tuple(path for path, live_rights in (live.overrides or {}).items() if live_rights != restricted)
    for path in overrides:
        changes.append(Change("viewer", f"keeps owner and mode of {path} over package upgrades"))
    entries = desired_entries(desired, launcher, opener)
    write = {}
    for path, entry in entries.items():
        what = difference(entry, live.entries.get(path))
        if what:
            write[path] = entry
            changes.append(_entry_change(desired, path, what))
    remove = tuple(path for path in sorted(live.entries, reverse=True) if path not in entries)
    for path in remove:
        changes.append(_entry_change(desired, path, "removes"))
    return ViewerPlan(
        changes=tuple(changes),
        create_group=create,
        strip=live.members,
        programs=programs,
        overrides=overrides,
        write=write,
        remove=remove,
        seal=live.lendable,
    )


class ClosingPlan(NamedTuple):
    """Changes in words, paths to remove, and by path files that say less than before."""

    changes: tuple[Change, ...]
    remove: tuple[str, ...]
    write: Mapping[str, File]


def plan_closing(desired: DesiredState | None, entries: Mapping[str, Entry]) -> ClosingPlan:
    """Compare our own directories with the most that may be there.

    Nothing is added, and a connection file that somebody may still use stays as it is. So does what a menu says of
    locked consoles.

    desired
        The desired state, beyond which nothing may be there; ``None`` if nothing may be there.
    """
    vms = {connection_file(access.vm) for access in desired.accesses} if desired else set()
    lists = _closing_menus(desired, entries) if desired else {}
    for_all = {**_contact(desired), **_known_hosts(desired)} if desired else {}
    kept = {*DIRECTORIES, *for_all, *vms, *lists}
    remove = tuple(path for path in sorted(entries, reverse=True) if path not in kept)
    write = {
        path: entry
        for path, entry in lists.items()
        if isinstance(live := entries.get(path), File) and live.content != entry.content
    }
    changes = [_entry_change(desired, path, "removes") for path in remove]
    changes += [_entry_change(desired, path, "rewrites") for path in sorted(write)]
    return ClosingPlan(tuple(changes), remove, write)


def _closing_menus(desired: DesiredState, entries: Mapping[str, Entry]) -> dict[str, File]:
    """Return the menus that may stay, by path."""
    free, locked = by_user(desired.accesses), _locked(desired)
    readers = (entry.reader for entry in entries.values() if isinstance(entry, File) and entry.reader is not None)
    kept = {}
    for uid in dict.fromkeys((*_listed(desired), *readers)):
        path = f"{MENUS}/{uid}"
        theirs = {**dict(_still_locked(desired, entries.get(path))), **dict(locked.get(uid, ()))}
        if uid in free or theirs:
            kept[path] = _menu(desired, uid, free.get(uid, ()), theirs.items())
    return kept


def _menu(desired: DesiredState, uid: int, accesses: Iterable[Access], locked: Iterable[Locked] = ()) -> File:
    return File(menu_text(desired, accesses, locked).encode(), 0o640, 0, reader=uid)


def _contact(desired: DesiredState) -> dict[str, Entry]:
    """Return the file with whom all may ask, also those who have no menu; none if nobody is named."""
    contact = desired.policy.viewer.contact
    return {} if contact is None else {CONTACT: File(f"{contact}\n".encode(), 0o644)}


def _entry_change(desired: DesiredState | None, path: str, verb: str) -> Change:
    behind = desired.once(_behind_removed if verb == "removes" else _behind_written) if desired else {}
    return Change("viewer", f"{verb} {path}", tuple(sorted(behind.get(path, ()))))


def _behind_written(desired: DesiredState) -> dict[str, set[str]]:
    """Return the grants behind each file, by path; behind a list of consoles also those of the run before."""
    locked = (access for access, _ in desired.locked)
    return _behind((*desired.accesses, *locked, *desired.previous), desired.accesses)


def _behind_removed(desired: DesiredState) -> dict[str, set[str]]:
    return _behind((*desired.accesses, *desired.previous), desired.previous)


def _behind(listed: Iterable[Access], connected: Iterable[Access]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for access in listed:
        found.setdefault(f"{MENUS}/{access.uid}", set()).update(access.grants)
    for access in connected:
        found.setdefault(connection_file(access.vm), set()).update(access.grants)
    return found
