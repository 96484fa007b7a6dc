"""Who may have a ticket: the same grants, times, loans and locks as on the desks, by names alone. Pure.

A KVM host need not know the desks' accounts. What it has to know are the members of the groups that grants name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from spicegrants.core.accounts import Account
from spicegrants.policy import compiler, decision
from spicegrants.policy.decision import Decision
from spicegrants.policy.loans_locks import USER, Loan, Lock, Temporary, unended
from spicegrants.policy.model import Grant, Policy, PortRange, join_ranges

# Stands for the UID and GID that the user has at their desk.
_UNKNOWN = -1


class Accounts(NamedTuple):
    """What a host knows of accounts.

    member
        Tells whether a user is a member of a group.

    spelled
        Returns a user's name as the system spells it: a directory may take several spellings. Of an unknown one the
        same.
    """

    member: Callable[[str, str], bool]
    spelled: Callable[[str], str]

    def same(self, name: str, user: str) -> bool:
        """Tell whether a name, as pillar or an administrator has it, is that of a user, as a desk has it."""
        return user == name or self.spelled(name) == user


def decide(policy: Policy, temporary: Temporary, accounts: Accounts, user: str, vm: str, moment: int) -> Decision:
    """Decide whether a user may open the console of a vm at a moment.

    temporary
        The loans and locks of this host.

    moment
        Seconds since 1970.
    """
    account = Account(user, _UNKNOWN, _UNKNOWN)
    # What was lent once says nothing of how sessions end now.
    lent = unended(temporary, decision.day_of(moment)).loans
    rights: tuple[Grant | Loan, ...] = (*policy.grants.values(), *lent)
    found = [compiler.access_by(account, right) for right in rights if right.vm == vm and _means(right, user, accounts)]
    if not found:
        return Decision(False)
    access = functools.reduce(compiler.joined, found)
    lock = _lock_on(temporary, accounts, user, vm)
    return decision.judge(policy, access, moment) if lock is None else decision.denial(access, lock)


def _means(right: Grant | Loan, user: str, accounts: Accounts) -> bool:
    if isinstance(right, Loan) or right.group is None:
        return right.user is not None and accounts.same(right.user, user)
    if user in right.left_out or not accounts.member(user, right.group):
        return False
    return not any(accounts.same(name, user) for name in right.left_out)


def _lock_on(temporary: Temporary, accounts: Accounts, user: str, vm: str) -> Lock | None:
    """Return a lock that denies a user a vm, by whatever spelling of their name; ``None`` if there is none."""
    names = [lock.name for lock in temporary.locks if lock.about == USER and accounts.same(lock.name, user)]
    return temporary.lock_on(names[0] if names else user, vm)


def guarded(policy: Policy, minion: str) -> tuple[PortRange, ...]:
    """Return the ports that a minion guards: all that its servers declare."""
    return join_ranges(port for server in policy.servers.values() if server.minion == minion for port in server.ports)


def end_of(policy: Policy, decided: Decision) -> int | None:
    """Return when sessions that are opened now must end, in seconds since 1970; ``None`` for no end that is known."""
    access, until = decided.access, decided.until
    if access is None or until is None or access.on_end == "cut":
        return until
    return None if access.grace is None else until + access.grace
