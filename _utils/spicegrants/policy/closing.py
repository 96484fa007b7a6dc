"""Closing first: the rights that a run takes away before it reads anything else. Pure.

It needs only what is stored and declared. Nothing here ever opens anything: of what is stored some goes, and the rest
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Union

from spicegrants.core.accounts import Account
from spicegrants.policy import decision, state_file
from spicegrants.policy.access import Access, Term
from spicegrants.policy.compiler import DesiredState, draining, going_on, term
from spicegrants.policy.facts import Inventory
from spicegrants.policy.loans_locks import Loan, Temporary, is_loan
from spicegrants.policy.model import Grant, Policy
from spicegrants.policy.state_file import Stored
from spicegrants.schedule.intervals import NEVER, overlap, union

Door = tuple[int, str, int]
Right = Union[Grant, Loan]
Pair = tuple[str, Term]
Place = tuple[str, int]


def certain(stored: Stored, requested: Stored) -> Stored:
    """Return what is stored without the rights that certainly ended, whatever the system says.

    This is what a run takes away first. A right that is declared under another name, or for another group, may be the
    same: that is left to the run itself.

    stored
        What is enforced now; it has a policy.

    requested
        What is to be enforced: policy, loans and locks; and the current day.
    """
    if (requested.policy, requested.temporary) == (stored.policy, stored.temporary):
        return stored
    return _less(stored, requested, _certain)


def provable(stored: Stored, requested: Stored) -> Stored:
    """Return what is stored without any right that cannot be shown to stay, for a run that cannot go on.

    stored, requested
        As for :func:`certain`.
    """
    addresses = {name: _addresses(requested.the_policy, name, found) for name, found in stored.addresses.items()}
    return replace(_less(stored, requested, _provable), addresses=addresses)


def takes_away(before: Stored, after: Stored) -> bool:
    """Tell whether somebody may open less than before."""
    return (before.accesses, before.addresses, before.temporary) != (after.accesses, after.addresses, after.temporary)


def remembered(after: Stored, desired: DesiredState) -> Stored:
    """Return what to store while no more than ``after`` is open, with where open sessions may go on."""
    return replace(after, draining=desired.draining)


def lost_doors(was: DesiredState, desired: DesiredState) -> set[Door]:
    """Return the doors that somebody may open less than before: UID, address and port."""
    staying = {
        (access.uid, address, desired.port(access)): desired.times(access).opened
        for access in desired.accesses
        for address in desired.addresses(access)
    }
    found = set()
    for access in was.accesses:
        opened = was.times(access).opened
        doors = [(access.uid, address, was.port(access)) for address in was.addresses(access)]
        found |= {door for door in doors if overlap(opened, staying.get(door, NEVER)) != opened}
    return found | {(drain.uid, drain.address, drain.port) for drain in set(was.draining) - set(desired.draining)}


def desired(
    before: Stored, after: Stored, gid: int | None, now: int, sessions: Iterable[Door], confined: bool
) -> DesiredState:
    """Return the most that the layers may hold, from what is stored alone.

    before, after
        What was stored, and what of it stays.

    gid
        GID of the viewer's group.

    now
        Seconds since 1970.

    sessions
        Doors of open sessions: UID, address and port.

    confined
        Whether the rules in force run viewers confined.
    """
    known = {access.user: Account(access.user, access.uid, -1) for access in before.accesses}
    known.update((drain.user, Account(drain.user, drain.uid, -1)) for drain in before.draining)
    inventory = Inventory(
        known,
        {},
        addresses=after.addresses,
        sessions=frozenset(sessions),
        unconfinable="" if confined else "they are not confined on this machine",
    )
    state = DesiredState(
        after.the_policy,
        inventory,
        gid,
        after.accesses,
        previous=before.accesses,
        leaving=going_on(state_file.leaving(before), after.temporary, now),
        temporary=after.temporary,
        now=now,
        day=after.day,
    )
    return replace(state, draining=draining(state))


def _less(
    stored: Stored, requested: Stored, keep: Callable[[Stored, Stored, Access, list[Grant]], Access | None]
) -> Stored:
    temporary, fresh = _temporary(stored.temporary, requested.temporary), _fresh(stored, requested)
    lock_on = temporary.denying()
    accesses = [
        keep(stored, requested, access, _new(stored, fresh, access))
        for access in stored.accesses
        if lock_on(access.user, access.vm) is None
    ]
    staying = tuple(access for access in accesses if access is not None)
    behind = {name for access in staying for name in access.grants}
    free = {name for access in staying if access.nopasswd for name in access.grants}
    policy, declared = stored.the_policy, requested.the_policy.grants
    grants = {
        name: _asking(grant, declared.get(name), name in free)
        for name, grant in policy.grants.items()
        if name in behind or declared.get(name) == grant
    }
    return replace(
        stored,
        policy=replace(policy, grants=grants),
        accesses=staying,
        temporary=temporary,
        day=stored.day or (requested.day if any(access.within for access in staying) else None),
    )


def _asking(grant: Grant, other: Grant | None, free: bool) -> Grant:
    """Return a grant for which sudo asks for a password if the one declared now does.

    free
        Whether sudo asks no password of somebody who has it; for a grant that is no longer declared.
    """
    if other is not None and _same(grant, other):
        free = other.nopasswd
    return grant._replace(nopasswd=grant.nopasswd and free)


def _temporary(stored: Temporary, requested: Temporary) -> Temporary:
    """Return the locks of both, and the loans that both have, within the limits of both."""
    by_name = {loan.name: loan for loan in requested.loans}
    loans = (
        loan._replace(start=max(loan.start, by_name[loan.name].start), end=min(loan.end, by_name[loan.name].end))
        for loan in stored.loans
        if loan.name in by_name
    )
    locks = {(lock.about, lock.name): lock for lock in (*stored.locks, *requested.locks)}
    return Temporary(tuple(loans), tuple(locks[key] for key in sorted(locks)))


def _addresses(policy: Policy, name: str, found: tuple[str, ...]) -> tuple[str, ...]:
    """Return the addresses of a server that its declaration still names; all if it names none."""
    server = policy.servers.get(name)
    if server is None or not server.addresses:
        return found
    return tuple(address for address in found if address in server.addresses)


def _is_there(stored: Stored, requested: Stored, name: str) -> bool:
    """Tell whether a vm's console is declared to be where it was: server, host, port, and an address that is left."""
    old, declared = stored.the_policy, requested.the_policy
    vm, other = old.vms[name], declared.vms.get(name)
    if other is None or (vm.server, vm.tls_port) != (other.server, other.tls_port):
        return False
    hosts = {policy.servers[vm.server].host for policy in (old, declared)}
    return len(hosts) == 1 and bool(_addresses(declared, vm.server, stored.addresses.get(vm.server, ())))


def _certain(stored: Stored, requested: Stored, access: Access, fresh: list[Grant]) -> Access | None:
    new = [grant for grant in fresh if grant.group or grant.user == access.user]
    return _remainder(stored, requested, access, new)[0]


def _provable(stored: Stored, requested: Stored, access: Access, fresh: list[Grant]) -> Access | None:
    if not _is_there(stored, requested, access.vm):
        return None
    grants = stored.the_policy.grants
    groups = {grants[name].group for name in access.grants if name in grants} - {None}
    new = [grant for grant in fresh if grant.user == access.user or grant.group in groups]
    found, rights = _remainder(stored, requested, access, new)
    return found and _limited(stored, requested, found, rights)


def _remainder(
    stored: Stored, requested: Stored, access: Access, new: list[Grant]
) -> tuple[Access | None, list[Right]]:
    """Return what stays of an access, and the rights that may be behind it from now on."""
    sure = _staying(stored, requested, access, False)
    rights: list[Right] = [right for name, _ in sure if (right := _right(requested, name)) is not None]
    rights += new
    return _by(access, _staying(stored, requested, access, True) if new else sure, rights), rights


def _staying(stored: Stored, requested: Stored, access: Access, new: bool) -> list[Pair]:
    """Return those names and terms of an access that still mean the same user, or group, and vm.

    new
        Whether a new grant may replace grants that are gone; these then stay as well.
    """
    return [
        (name, when)
        for name, when in zip(access.grants, access.terms)
        if (_same(_right(stored, name), _right(requested, name)) and not _leaves_out(requested, name, access.user))
        or (new and not is_loan(name))
    ]


def _leaves_out(requested: Stored, name: str, user: str) -> bool:
    grant = requested.the_policy.grants.get(name)
    return grant is not None and user in grant.left_out


def _right(stored: Stored, name: str) -> Right | None:
    if is_loan(name):
        return next((loan for loan in stored.temporary.loans if loan.name == name), None)
    return stored.the_policy.grants.get(name)


def _same(one: Right | None, other: Right | None) -> bool:
    return one is not None and other is not None and _meaning(one) == _meaning(other)


def _meaning(right: Right) -> tuple[str | None, str | None, str]:
    return right.user, None if isinstance(right, Loan) else right.group, right.vm


def _fresh(stored: Stored, requested: Stored) -> dict[Union[str, Place], list[Grant]]:
    """Return the grants that are new or changed, by the names of their vms, and by where these are."""
    known, declared = stored.the_policy.grants, requested.the_policy
    found: dict[Union[str, Place], list[Grant]] = {}
    for grant in declared.grants.values():
        if not _same(known.get(grant.name), grant) or grant.left_out != known[grant.name].left_out:
            for key in (grant.vm, _place(declared, grant.vm)):
                found.setdefault(key, []).append(grant)
    return found


def _new(stored: Stored, fresh: Mapping[Union[str, Place], list[Grant]], access: Access) -> list[Grant]:
    """Return the grants of an access's vm, or of one at the same place, that may be new to its user."""
    found = [*fresh.get(access.vm, ()), *fresh.get(_place(stored.the_policy, access.vm), ())] if fresh else []
    return [grant for grant in found if access.user not in grant.left_out and not _had(stored, grant, access)]


def _had(stored: Stored, grant: Grant, access: Access) -> bool:
    """Tell whether a grant meant the same before, and did not leave out this user."""
    before = stored.the_policy.grants.get(grant.name)
    return before is not None and _same(before, grant) and access.user not in before.left_out


def _place(policy: Policy, name: str) -> Place:
    vm = policy.vms[name]
    return vm.server, vm.tls_port


def _by(access: Access, pairs: Sequence[Pair], rights: Iterable[Right]) -> Access | None:
    """Return an access reduced to some of its names and terms; ``None`` if there are none.

    rights
        Rights that may be behind it from now on: sudo asks for a password if it does for all of them.
    """
    if not pairs:
        return None
    names, terms = zip(*pairs)
    free = access.nopasswd and any(right.nopasswd for right in rights)
    return access._replace(grants=names, terms=terms, nopasswd=free)


def _limited(stored: Stored, requested: Stored, access: Access, rights: Iterable[Right]) -> Access | None:
    """Return an access limited to the times at which declared rights open it as well; ``None`` for never."""
    policy, schedules, day = stored.the_policy, requested.the_policy.schedules, stored.day or requested.day
    stretch = None if day is None else decision.span(policy, day)
    opened = decision.times(policy, access, stretch).opened
    remaining = overlap(opened, union(*(decision.opened(schedules, term(right), stretch) for right in rights)))
    if remaining == opened:
        return access
    return access._replace(within=remaining) if remaining else None
