"""Loans and locks of a KVM host: stored here alone, they hold whatever pillar says, and need no libvirt."""

from __future__ import annotations

import contextlib
import grp
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spicegrants.core.changes import as_dict
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import HOST_STATE
from spicegrants.core.reader import name_for
from spicegrants.host import accounts, disk, run
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import closing, enforcement, tickets
from spicegrants.policy import hints, loans_locks
from spicegrants.policy.loans_locks import USER, VM, Lock, Temporary

# Makes of a word of the command line what Salt made of it.
Read = Callable[[str], Any]
# Seconds that a program may take.
_PATIENCE = 20


def here() -> bool:
    """Tell whether this machine stores anything as a KVM host."""
    return disk.read(HOST_STATE) is not None


def lend(user: Any, vm: Any, duration: Any, reason: Any, read: Read) -> dict[str, Any]:
    """Lend a console of this host; return ``changes``, ``errors`` and ``warnings``."""

    def changed(kept: Stored, now: int) -> Temporary:
        policy, known = kept.the_policy, _known_users(kept, user)
        ours = policy.consoles_of(kept.minion)
        return loans_locks.lend(
            temporary=kept.temporary,
            policy=replace(policy, vms=ours),
            known=dict.fromkeys(known),
            now=now,
            user=name_for(user, known, read),
            vm=name_for(vm, ours, read),
            duration=duration,
            reason=reason,
            nopasswd=False,
        )

    return _enforced(changed)


def end_loan(user: Any, vm: Any, read: Read) -> dict[str, Any]:
    """End a loan of this host before its time; return what :func:`lend` returns."""

    def changed(kept: Stored, now: int) -> Temporary:
        users, vms = ({getattr(loan, field) for loan in kept.temporary.loans} for field in ("user", "vm"))
        vms |= set(kept.the_policy.vms)
        return loans_locks.end_loan(kept.temporary, name_for(user, users, read), name_for(vm, vms, read))

    return _enforced(changed)


def lock(kind: str, word: Any, reason: Any, read: Read) -> dict[str, Any]:
    """Deny what a word names, on this host; return what :func:`lend` returns.

    kind, word
        As :func:`~spicegrants.policy.loans_locks.about` returns them.
    """

    def changed(kept: Stored, now: int) -> Temporary:
        made = _about(kept, kind, word, read)._replace(reason=reason)
        return loans_locks.lock(kept.temporary, kept.the_policy, _known_users(kept, made.name), now, made)

    return _enforced(changed)


def unlock(kind: str, word: Any, read: Read) -> dict[str, Any]:
    """Take a lock of this host away; see :func:`lock`."""

    def changed(kept: Stored, now: int) -> Temporary:
        made = _about(kept, kind, word, read)
        return loans_locks.unlock(kept.temporary, kept.the_policy, _known_users(kept, made.name), made)

    return _enforced(changed)


def _about(kept: Stored, kind: str, word: Any, read: Read) -> Lock:
    known = {lock.name for lock in kept.temporary.locks if lock.about == kind}
    known |= _known_users(kept, word) if kind == USER else set(kept.the_policy.vms) if kind == VM else set()
    name = name_for(word, known, read)
    # As desks have it: a directory may take several spellings, and may be away when it counts.
    return Lock(kind, tickets.spelled(name) if kind == USER and isinstance(name, str) and name not in known else name)


def _known_users(kept: Stored, user: Any) -> set[str]:
    """Return the names that can be meant: of grants, loans, members of granted groups, and accounts of this host."""
    grants = kept.the_policy.grants.values()
    known = {grant.user for grant in grants if grant.user} | {loan.user for loan in kept.temporary.loans}
    for group in {grant.group for grant in grants if grant.group}:
        with contextlib.suppress(KeyError):
            known.update(grp.getgrnam(group).gr_mem)
    return known | accounts.uids(user).keys()


def _enforced(changed: Callable[[Stored, int], Temporary]) -> dict[str, Any]:
    """Store other loans and locks, and end the sessions that lose their right by that.

    It waits for no run, which itself may wait for libvirt.
    """
    run.as_root()
    with run.patience(_PATIENCE):
        run.afresh()
        now = int(time.time())
        try:
            found = closing.take(lambda kept: replace(kept, temporary=changed(kept, now)), test=False)
            locked = hints.locked(tickets.stored().temporary)
        except SystemFault as error:
            return enforcement.unknown(error, (), test=False)
    return {"changes": as_dict(found.changes), "errors": [*found.errors], "warnings": locked}
