"""What a run has changed, as the record tells it: the policy, loans, locks, or what somebody else had altered. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spicegrants.policy.loans_locks import Loan, Lock
from spicegrants.policy.state_file import Stored
from spicegrants.schedule import instants

Happening = tuple[str, dict[str, Any]]
LOAN, LOCK, POLICY, REPAIR = "loan", "lock", "policy", "repair"


def of_run(
    before: Stored, after: Stored, fingerprints: tuple[str | None, str | None], changes: list[str]
) -> list[Happening]:
    """Return what a run has changed, each as a kind of event and its fields.

    before, after
        What was stored.

    fingerprints
        Of the policies before and after it; ``None`` for no policy.

    changes
        All that it changed, in words.
    """
    found = [*_loans(before, after), *_locks(before, after)]
    if fingerprints[0] != fingerprints[1]:
        what = (
            "the policy changed" if all(fingerprints) else "a policy was set" if fingerprints[1] else "all was removed"
        )
        found.append((POLICY, {"what": what, "before": fingerprints[0], "after": fingerprints[1], "changes": changes}))
    elif before.accesses != after.accesses and not found:
        found.append((POLICY, {"what": "who may open what changed", "after": fingerprints[1], "changes": changes}))
    elif changes and not found:
        found.append((REPAIR, {"what": "what had been altered was restored", "changes": changes}))
    return found


def _loans(before: Stored, after: Stored) -> Iterator[Happening]:
    old, new = ({_key(loan): loan for loan in stored.temporary.loans} for stored in (before, after))
    for key, loan in new.items():
        if old.get(key) != loan:
            until = instants.iso(loan.end)
            yield LOAN, {**_of_loan(loan), "what": f"{loan.vm} is lent to {loan.user}", "until": until}
    for key, loan in old.items():
        if key not in new:
            yield LOAN, {**_of_loan(loan), "what": f"the loan of {loan.vm} to {loan.user} is over"}


def _key(loan: Loan) -> tuple[str, str]:
    return loan.user, loan.vm


def _of_loan(loan: Loan) -> dict[str, Any]:
    return {"user": loan.user, "uid": loan.uid, "vm": loan.vm, "reason": loan.reason}


def _locks(before: Stored, after: Stored) -> Iterator[Happening]:
    old, new = ({(lock.about, lock.name): lock for lock in stored.temporary.locks} for stored in (before, after))
    for key, lock in new.items():
        if key not in old:
            yield LOCK, {**_of_lock(lock), "what": f"{lock.words} is locked"}
    for key, lock in old.items():
        if key not in new:
            yield LOCK, {**_of_lock(lock), "what": f"{lock.words} is unlocked"}


def _of_lock(lock: Lock) -> dict[str, Any]:
    named = {lock.about: lock.name} if lock.name else {}
    return {**named, "reason": lock.reason}
