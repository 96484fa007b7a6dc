"""Access reports: who may open what, and when, as the plain data that the execution module returns."""

from __future__ import annotations

from typing import Any

from spicegrants.policy import decision as policy_decision
from spicegrants.policy import wording
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.policy.model import ABOUT
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import DAY, clip


def entries(desired: DesiredState, moment: int) -> list[dict[str, Any]]:
    """Return every access, locked ones too, with the decision on it at a moment."""
    decisions = [(access, policy_decision.judge(desired.policy, access, moment)) for access in desired.accesses]
    decisions += [(access, policy_decision.denial(access, lock)) for access, lock in desired.locked]
    decisions.sort(key=lambda each: (each[0].user, each[0].vm))
    return [_entry(desired, access, decision) for access, decision in decisions]


def _entry(desired: DesiredState, access: Access, decision: policy_decision.Decision) -> dict[str, Any]:
    policy = desired.policy
    return {
        "user": access.user,
        "uid": access.uid,
        "vm": access.vm,
        "server": policy.vms[access.vm].server,
        "addresses": list(desired.addresses(access)),
        "port": desired.port(access),
        "nopasswd": access.nopasswd,
        "open": decision.open,
        "state": wording.decision(policy, decision),
        "grants": behind(desired, access),
        "groups": sorted({policy.grants[name].group for name in access.grants if name in policy.grants} - {None}),
    }


def behind(desired: DesiredState, access: Access) -> dict[str, dict[str, Any]]:
    """Return the grants and loans behind an access: when each is open, and its metadata."""
    policy = desired.policy
    return {
        name: {
            "when": wording.term(policy, term),
            **(_about(policy.grants[name]) if name in policy.grants else {"loan": True, **_reason(desired.loan(name))}),
        }
        for name, term in zip(access.grants, access.terms)
    }


def _about(grant) -> dict[str, str]:
    return {field: getattr(grant, field) for field in ABOUT if getattr(grant, field)}


def _reason(entry: Loan | Lock) -> dict[str, str]:
    return {"reason": entry.reason} if entry.reason else {}


def loans(temporary: Temporary, zone: str | None, moment: int) -> list[dict[str, Any]]:
    """Return the loans that have not ended; moments are in a time zone."""
    lock_on = temporary.denying()
    return [
        {
            "user": loan.user,
            "vm": loan.vm,
            "from": instants.words(loan.start, zone),
            "until": instants.words(loan.end, zone),
            "left": instants.spell_duration(loan.end - moment),
            "locked": lock_on(loan.user, loan.vm) is not None,
            **_reason(loan),
        }
        for loan in temporary.loans
        if loan.end > moment
    ]


def locks(temporary: Temporary, zone: str | None) -> list[dict[str, Any]]:
    """Return all locks; moments are in a time zone."""
    return [
        {"about": lock.words, "since": instants.words(lock.since, zone), **_reason(lock)} for lock in temporary.locks
    ]


def timeline(desired: DesiredState, user: str | None, start: int, days: int) -> list[dict[str, Any]]:
    """Return when a user, or everybody, may open what, in the order of time.

    Each entry is a stretch of time in which the same grants open a console.
    """
    end = start + days * DAY
    found = []
    for access in desired.accesses:
        if user in (None, access.user):
            about = behind(desired, access)
            for begin, stop, grants in stretches(desired, access, start, end):
                found.append((begin, access.user, access.vm, stop, {name: about[name] for name in grants}))
    zone = desired.policy.time.zone
    return [
        {
            "user": name,
            "vm": vm,
            "from": instants.words(begin, zone),
            "until": instants.words(stop, zone),
            "grants": grants,
        }
        for begin, name, vm, stop, grants in sorted(found, key=lambda row: row[:3])
    ]


def stretches(desired: DesiredState, access: Access, start: int, end: int) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return when an access is open between two moments, and by which grants."""
    edges = {start, end}
    for term in access.terms:
        opened = policy_decision.opened(desired.policy.schedules, term, (start, end))
        edges |= {edge for window in clip(opened, start, end) for edge in window}
    found: list[tuple[int, int, tuple[str, ...]]] = []
    ordered = sorted(edges)
    for begin, stop in zip(ordered, ordered[1:]):
        decision = policy_decision.judge(desired.policy, access, begin)
        if decision.open:
            if found and found[-1][1:] == (begin, decision.grants):
                begin = found.pop()[0]
            found.append((begin, stop, decision.grants))
    return found
