"""Wording of times and decisions, in the zone that the policy names."""

from __future__ import annotations

from collections.abc import Iterable

from spicegrants.policy.access import Access, Term
from spicegrants.policy.decision import Decision
from spicegrants.policy.model import Policy
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import FIRST, LAST


def term(policy: Policy, when: Term) -> str:
    """Say when one grant is open: ``by schedule evenings until Wed 2027-03-31 00:00 Europe/Berlin``."""
    words = []
    if when.schedules:
        words.append(f"by schedule {' or '.join(when.schedules)}")
    if when.start != FIRST:
        words.append(f"from {instants.words(when.start, policy.time.zone)}")
    if when.end != LAST:
        words.append(f"until {instants.words(when.end, policy.time.zone)}")
    return " ".join(words) or "always"


def terms(policy: Policy, several: Iterable[Term]) -> str:
    """Say when an access by several grants is open."""
    return ", or ".join(dict.fromkeys(term(policy, each) for each in several))


def decision(policy: Policy, decided: Decision) -> str:
    """Say what holds, and what changes next: ``closed; opens Tue 2026-11-24 08:00 Europe/Berlin``."""
    if decided.lock is not None:
        reason = f" ({decided.lock.reason})" if decided.lock.reason else ""
        return f"locked: {decided.lock.words}{reason}"
    if decided.access is None:
        return "closed"
    state = "open" if decided.open else "closed, though what is open may go on" if decided.lasting else "closed"
    if decided.until is None:
        return state
    moment = instants.words(decided.until, zone_of(policy, decided.access))
    return f"{state} until {moment}" if decided.open else f"{state}; opens {moment}"


def zone_of(policy: Policy, access: Access) -> str | None:
    """Return the zone for times that are shown: the policy's, else that of a schedule behind an access."""
    zones = (policy.schedules[name].zone for term in access.terms for name in term.schedules)
    return policy.time.zone or next(zones, None)
