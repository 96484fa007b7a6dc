"""Context of a minion: what is stored, and a policy compiled against the system as it is."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
import time
from dataclasses import replace

from spicegrants.accounting import recorder_units
from spicegrants.core.changes import Change
from spicegrants.core.entries import Directory, File, Link, Other
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import CONNECTIONS, GROUPS, LAUNCHER, LOAD_GUARD, OPENER, RUN, STATE, SUDOERS
from spicegrants.expiry import clock_units
from spicegrants.firewall import boot as firewall_boot
from spicegrants.firewall.live import sockets
from spicegrants.firewall.nft import hotplug
from spicegrants.host import accounts, disk, run
from spicegrants.policy import closing, decision, state_file
from spicegrants.policy.compiler import DesiredState, compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.policy.live import resolve
from spicegrants.policy.model import Policy
from spicegrants.routing import boot as routing_boot
from spicegrants.schedule import instants
from spicegrants.sudo.live import tools
from spicegrants.viewer import desk
from spicegrants.viewer.live import confinement

# Files in directories that are not ours alone; from those that are, everything that does not belong there is removed.
_OURS = (*firewall_boot.PATHS, *hotplug.PATHS, *routing_boot.PATHS, *clock_units.PATHS, *recorder_units.PATHS)
_WRITTEN = (STATE, SUDOERS, LAUNCHER, *desk.PATHS, OPENER, *_OURS)
_SHARED = {parent for path in _WRITTEN for parent in (os.path.dirname(path), os.path.dirname(os.path.dirname(path)))}
# Programs that root runs: at boot, by systemd, for a user who opens a console.
_PROGRAMS = os.path.dirname(LOAD_GUARD)
# Seconds after which a temporary file in RUN is a leftover: notes there are written without the lock, in a moment.
_UNFINISHED_FOR = 60


def stored(known: Policy | None = None) -> state_file.Stored:
    """Return what the last run stored on this minion. Needs root.

    known
        As for :func:`spicegrants.policy.state_file.load`.
    """
    run.as_root()
    return state_file.load(disk.read_text(STATE), known)


def exposed() -> list[Change]:
    """Return which of our files others than root could read or change, as changes that :func:`keep` makes."""
    found = []
    for path, mode in ((os.path.dirname(STATE), 0o700), (STATE, 0o600)):
        live = disk.read(path)
        if live is not None and (isinstance(live, (Link, Other)) or (live.uid, live.gid, live.mode) != (0, 0, mode)):
            found.append(Change("policy", f"restores owner and mode of {path}: root:root {mode:04o}"))
    if _loosened():
        found.append(Change("policy", f"restores owner and mode of {_PROGRAMS}: root:root 0755"))
    return found


def _loosened() -> bool:
    """Tell whether owner or mode of the directory of programs that root runs are not as they must be.

    Others than root may write there, then, or the programs' users may not look.
    """
    live = disk.read(_PROGRAMS)
    return isinstance(live, Directory) and live != Directory(0o755)


def exchangeable() -> list[str]:
    """Say where others than root could replace programs that root runs, which is the site's to mend.

    Sentences without a full stop.
    """
    directory = disk.replaceable(_PROGRAMS)
    if directory is None:
        return []
    return [f"others than root can exchange what root runs from {_PROGRAMS}: they may write in {directory}"]


def keep(what: state_file.Stored) -> None:
    """Store it, readable by root only; make the directory of programs that root runs writable by root only."""
    directory = os.path.dirname(STATE)
    disk.make_parents(directory)
    if disk.read(directory) != Directory(0o700):
        disk.make_directory(directory, Directory(0o700))
    if _loosened():
        disk.make_directory(_PROGRAMS, Directory(0o755))
    desired = File(state_file.dump(what), 0o600)
    if disk.read(STATE) != desired:
        disk.write(STATE, desired)


def unfinished() -> list[Change]:
    """Return what interrupted runs left half-way, as changes that :func:`sweep` makes."""
    return [Change("policy", f"removes {path}, left by an interrupted run") for path in _temporaries()]


def sweep() -> None:
    """Remove what interrupted runs left half-way. Only the run that holds the lock may call it."""
    for path in _temporaries():
        disk.remove(path)


def _temporaries() -> list[str]:
    found = [path for directory in sorted(_SHARED) for path in disk.temporaries(directory)]
    return found + disk.temporaries(RUN, _UNFINISHED_FOR)


def exists() -> bool:
    """Tell whether anything is stored."""
    run.as_root()
    return disk.read(os.path.dirname(STATE)) is not None


def forget() -> None:
    """Remove what is stored."""
    directory = os.path.dirname(STATE)
    for name in disk.names_in(directory):
        disk.remove(f"{directory}/{name}")
    disk.remove(directory)


def today() -> int | None:
    """Return the day for which times are to be worked out; ``None`` as long as the clock was never set."""
    now = int(time.time())
    return decision.day_of(now) if now >= instants.EARLIEST else None


def recalled(before: state_file.Stored | None = None, after: state_file.Stored | None = None) -> DesiredState:
    """Return the most that may be open, from what is stored alone: no account, name or certificate is looked up.

    before, after
        What was stored, and what of it stays. Default to what is stored.
    """
    before = before or stored()
    after = after or before
    group = after.the_policy.viewer.group
    doors: frozenset[closing.Door] = frozenset()
    if state_file.leaving(before):
        # Where that cannot be read, nothing goes on.
        with contextlib.suppress(SystemFault):
            doors = frozenset(connection.door for connection in sockets.connections())
    found = closing.desired(before, after, _gid(group), int(time.time()), doors, _confining())
    return found if found.gid is not None else replace(found, accesses=(), draining=())


def _gid(group: str) -> int | None:
    """Return the GID of the viewer's group, by our own files where accounts cannot be read; ``None`` for none."""
    # libc would wait for ever for data from a pipe.
    with contextlib.suppress(KeyError, OSError):
        if stat.S_ISREG(os.stat(GROUPS).st_mode):
            return grp.getgrnam(group).gr_gid
    held = disk.read(CONNECTIONS)
    return held.gid if isinstance(held, Directory) and held.gid else None


def _confining() -> bool:
    """Tell whether runs have viewers run confined: if so, the opener exists."""
    return isinstance(disk.read(OPENER), File)


def compiled(
    policy: Policy | None = None, kept: state_file.Stored | None = None, day: int | None = None, asking: bool = True
) -> DesiredState:
    """Compile a policy against the current accounts and addresses.

    policy
        Defaults to the one that is stored on this minion.

    kept
        What :func:`stored` returned, where the caller has it already. Its loans and locks count.

    day
        The day for which times are worked out. Defaults to that of the last run: what the layers hold comes from there.

    asking
        Whether servers' names are resolved; otherwise those that are known keep the addresses of the last run.
    """
    kept = kept or stored()
    policy = policy or kept.the_policy
    users = [grant.user for grant in policy.grants.values() if grant.user]
    users += [loan.user for loan in kept.temporary.loans]
    groups = {grant.group for grant in policy.grants.values() if grant.group} | {policy.viewer.group}
    known = accounts.read(users, sorted(groups), {access.user: access.uid for access in kept.accesses})
    if policy.viewer.group in known.unasked.groups and kept.group == policy.viewer.group and not kept.made_group:
        # One that we did not make may be the name service's own: we make no other in its place.
        raise SystemFault(f"nobody can tell whether there is a group {kept.group!r}: {known.unasked.why}")
    addresses, unresolved = resolve.addresses(policy, kept.addresses, asking)
    authorities, unread = resolve.authorities(policy)
    leaving = state_file.leaving(kept)
    sessions = frozenset(connection.door for connection in sockets.connections()) if leaving else frozenset()
    passwords, unusable = resolve.passwords(policy)
    findings = (*unresolved, *unread, *unusable)
    # Not tried where it does not matter.
    unconfinable = "" if policy.viewer.confine is False else confinement.hindrance()
    inventory = Inventory(
        users=known.users,
        groups=known.groups,
        numeric_names=known.numeric_names,
        addresses=addresses,
        authorities=authorities,
        passwords=passwords,
        sessions=sessions,
        unconfinable=unconfinable,
        findings=findings,
        unasked=known.unasked,
        group_names=known.group_names,
        **tools.traits(),
    )
    day = day or kept.day or today()
    before = kept.policy.grants if kept.policy else {}
    return compile_policy(
        policy=policy,
        inventory=inventory,
        previous=kept.accesses,
        leaving=leaving,
        temporary=kept.temporary,
        now=int(time.time()),
        day=day,
        before=before,
    )
