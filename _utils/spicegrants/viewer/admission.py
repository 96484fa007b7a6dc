"""Admission to a console: decide from the stored state alone whether a user may open it now. Pure."""

from __future__ import annotations

from spicegrants.core.accounts import Account
from spicegrants.core.languages import ENGLISH, say
from spicegrants.policy import wording
from spicegrants.policy.compiler import recalled
from spicegrants.policy.decision import Decision, decide, denial
from spicegrants.policy.loans_locks import USER, VM, Lock
from spicegrants.policy.model import Policy
from spicegrants.policy.state_file import Stored
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import contains


def refusal(stored: Stored, gid: int, account: Account, vm: str, now: int, language: str = ENGLISH) -> str | None:
    """Return why a user may not open a console at a moment; ``None`` if they may.

    Name and UID must both be those of the access: an account that got another account's UID has none of its grants.

    gid
        Of the viewer's group.

    now
        Seconds since 1970.

    language
        Language of the answer.
    """
    policy = stored.the_policy
    if policy.viewer.confine is False:
        return say(language, "consoles are not opened this way on this machine")
    if account.gid == gid:
        return say(language, "the viewer's group is your primary group")
    desired = recalled(stored, gid, now)
    decision = decide(desired, account.name, vm, now)
    access = decision.access
    if access is None or access.uid != account.uid or vm not in policy.vms:
        return say(language, "it is not granted to you")
    lock = stored.temporary.lock_on(account.name, vm)
    if lock is not None:
        decision = denial(access, lock)
    # Both must say so: what is worked out from the schedules, and the ranges that the other layers hold.
    if decision.open and contains(desired.times(access).opened, now):
        return None
    return _why(policy, decision, language)


def whom(stored: Stored, account: Account, vm: str, language: str = ENGLISH) -> str:
    """Return whom a user may ask about a console; of one that is not theirs they learn nothing."""
    mine = (access for access in stored.accesses if (access.user, access.uid, access.vm) == (*account[:2], vm))
    access, policy = next(mine, None), stored.the_policy
    named = policy.viewer.contact if access is None else policy.contact(vm, access.grants)
    return named or say(language, "your administrator")


def _why(policy: Policy, decision: Decision, language: str) -> str:
    """Say what closes a console that is granted, and when it opens."""
    if decision.lock is not None:
        return say(language, "it is locked: {what}", what=_locked(decision.lock, language))
    closed = say(language, "it is closed")
    if decision.lasting:
        closed = say(language, "it is closed, though what is open may go on")
    # As far as the schedules are concerned it may be open, beyond what is worked out.
    if decision.access is None or decision.until is None or decision.open:
        return closed
    days = say(language, "Mon Tue Wed Thu Fri Sat Sun")
    when = instants.words(decision.until, wording.zone_of(policy, decision.access), days)
    return say(language, "{closed}; opens {when}", closed=closed, when=when)


def _locked(lock: Lock, language: str) -> str:
    what = say(language, "everything")
    if lock.about == USER:
        what = say(language, "user {name}", name=lock.name)
    elif lock.about == VM:
        what = say(language, "vm {name}", name=lock.name)
    return f"{what} ({lock.reason})" if lock.reason else what
