"""Outcome of a run in one line: who gets a console and who loses one. Pure, and linear in the number of accesses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from spicegrants.core.reader import quote
from spicegrants.policy import decision
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import DAY, LAST, NEVER, Range, Windows, clip, overlap, union
from spicegrants.schedule.weekly import Schedule

# How many users, and consoles of each, are named; of the others their number is.
MOST = 4

Right = tuple[str, int, str]


class Outcome(NamedTuple):
    """Rights that come, go, get other hours, and whose console is elsewhere: user, UID and vm, sorted."""

    opens: list[Right]
    closes: list[Right]
    changes: list[Right]
    moves: list[Right]


def compare(before: DesiredState | None, after: DesiredState) -> Outcome:
    """Compare who may open what, now or at any time to come, before and after a run.

    before
        What was enforced; ``None`` if nothing was.
    """
    now = after.now
    had, has = _standing(before, now), _standing(after, now)
    outcome = Outcome(sorted(has.keys() - had.keys()), sorted(had.keys() - has.keys()), [], [])
    if before is None:
        return outcome
    ends = [decision.span(state.policy, state.day)[1] for state in (before, after) if state.day is not None]
    end = min(ends, default=LAST)
    same = before.policy.schedules == after.policy.schedules
    for right in sorted(had.keys() & has.keys()):
        old, new = had[right], has[right]
        times = before.times(old).opened, after.times(new).opened
        later = not (same and old.terms == new.terms)
        if _differ(*times, now, end) or (later and _later(before, old, end) != _later(after, new, end)):
            outcome.changes.append(right)
        if (before.addresses(old), before.port(old)) != (after.addresses(new), after.port(new)):
            outcome.moves.append(right)
    return outcome


def sentence(before: DesiredState | None, after: DesiredState) -> str:
    """Say in one line what :func:`compare` finds, without a full stop.

    As ``opens 2 consoles for 1 user (mybro: books, leaptest), closes nothing``.
    """
    opens, closes, changes, moves = compare(before, after)
    parts = []
    if opens or closes:
        parts += [f"opens {_counted(opens)}", f"closes {_counted(closes)}"]
    if changes:
        parts.append(f"changes the hours of {_counted(changes)}")
    if moves:
        parts.append(f"follows {_counted(moves)} to another place")
    return ", ".join(parts) or "nobody gets or loses a console"


def _standing(state: DesiredState | None, now: int) -> dict[Right, Access]:
    """Return the accesses that have not ended."""
    return {
        (access.user, access.uid, access.vm): access
        for access in (state.accesses if state else ())
        if any(term.end > now for term in access.terms) and (access.within is None or clip(access.within, now, LAST))
    }


def _differ(old: Windows, new: Windows, start: int, end: int) -> bool:
    # Mostly these are the same, and many accesses share them.
    return old != new and clip(old, start, end) != clip(new, start, end)


def _later(state: DesiredState, access: Access, start: int) -> dict[Schedule | None, Windows]:
    """Return when an access is open once windows are no longer worked out: by which schedules, without their names."""
    found: dict[Schedule | None, list[Range]] = {}
    for term in access.terms:
        if term.end > start:
            rules: set[Schedule | None] = {_nameless(state.policy.schedules[name], start) for name in term.schedules}
            for rule in rules or (None,):
                found.setdefault(rule, []).append((max(term.start, start), term.end))
    joined = {rule: union(tuple(spans)) for rule, spans in found.items()}
    free = joined.get(None, NEVER)
    return {rule: spans for rule, spans in joined.items() if rule is None or overlap(free, spans) != spans}


def _nameless(schedule: Schedule, start: int) -> Schedule:
    """Return a schedule without its name, and without the dates that are over by a moment in any zone."""
    first = instants.iso(start - 2 * DAY)[:10]
    exceptions, additions = (
        tuple(dates for dates in many if dates.rpartition("/")[2] >= first)
        for many in (schedule.exceptions, schedule.additions)
    )
    return schedule._replace(name="", exceptions=exceptions, additions=additions, worked=None)


def _counted(rights: Iterable[Right]) -> str:
    """Count consoles and users, and name some: ``2 consoles for 1 user (anne: books, web)``."""
    consoles: dict[str, list[str]] = {}
    for user, _, vm in rights:
        consoles.setdefault(user, []).append(vm)
    if not consoles:
        return "nothing"
    vms = {vm for names in consoles.values() for vm in names}
    return f"{_number(len(vms), 'console')} for {_number(len(consoles), 'user')} ({_named(consoles)})"


def _named(consoles: Mapping[str, list[str]]) -> str:
    found = [f"{_shown(user)}: {_some(vms)}" for user, vms in list(consoles.items())[:MOST]]
    return "; ".join([*found, *_rest(len(consoles))])


def _some(vms: list[str]) -> str:
    return ", ".join([*map(_shown, vms[:MOST]), *_rest(len(vms))])


def _rest(count: int) -> list[str]:
    return [f"{count - MOST:,} more"] if count > MOST else []


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _shown(name: str) -> str:
    """Return a name, and one that could be anything else quoted."""
    return name if name.isprintable() and name else quote(name)
