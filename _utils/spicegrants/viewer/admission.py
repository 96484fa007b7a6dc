"""Admission to a console: decide from the stored state alone whether a user may open it now. Pure."""

from __future__ import annotations

from spicegrants.core.accounts import Account
from spicegrants.policy import wording
from spicegrants.policy.compiler import recalled
from spicegrants.policy.decision import decide, denial
from spicegrants.policy.state_file import Stored
from spicegrants.schedule.intervals import contains


def refusal(stored: Stored, gid: int, account: Account, vm: str, now: int) -> str | None:
    """Return why a user may not open a console at a moment; ``None`` if they may.

    Name and UID must both be those of the access: an account that got another account's UID has none of its grants.

    gid
        Of the viewer's group.

    now
        Seconds since 1970.
    """
    policy = stored.the_policy
    if policy.viewer.confine is False:
        return "consoles are not opened this way on this machine"
    if account.gid == gid:
        return "the viewer's group is your primary group"
    desired = recalled(stored, gid, now)
    decision = decide(desired, account.name, vm, now)
    access = decision.access
    if access is None or access.uid != account.uid or vm not in policy.vms:
        return "it is not granted to you"
    lock = stored.temporary.lock_on(account.name, vm)
    if lock is not None:
        decision = denial(access, lock)
    # Both must say so: what is worked out from the schedules, and the ranges that the other layers hold.
    if decision.open and contains(desired.times(access).opened, now):
        return None
    return f"it is {wording.decision(policy, decision)}"
