"""Access decisions: the one answer that rules, reports and the launcher are all made from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from spicegrants.policy.access import Access, Term, Times
from spicegrants.policy.loans_locks import Lock
from spicegrants.policy.model import Policy
from spicegrants.schedule import weekly
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import (
    ALWAYS,
    DAY,
    FIRST,
    LAST,
    NEVER,
    Range,
    Windows,
    clip,
    contains,
    lengthened,
    next_edge,
    overlap,
    union,
)
from spicegrants.schedule.weekly import Schedule

# How far back times are worked out: what drains after a window may do so for a day, in any time zone.
_BACK = 2 * DAY


def day_of(moment: int) -> int:
    """Return the start of a moment's day, UTC. Everything that is worked out on one day is the same."""
    return moment // DAY * DAY


def span(policy: Policy, day: int) -> Range:
    """Return the interval for which schedules are worked out on a day."""
    return day - _BACK, day + policy.time.horizon * DAY


def times(policy: Policy, access: Access, stretch: Range | None) -> Times:
    """Return the windows of an access within an interval, and those in which its sessions may go on.

    stretch
        The interval, from :func:`span`. ``None`` says that the time is not known: then only what has no times is open.
    """
    schedules = {name: policy.schedules[name] for term in access.terms for name in term.schedules}
    return _times(tuple(sorted(schedules.items())), access.terms, access.on_end, access.grace, access.within, stretch)


@functools.lru_cache(maxsize=4096)
def _times(
    schedules: tuple[tuple[str, Schedule], ...],
    terms: tuple[Term, ...],
    on_end: str,
    grace: int | None,
    within: Windows | None,
    stretch: Range | None,
) -> Times:
    known = dict(schedules)
    found = union(*(opened(known, term, stretch) for term in terms))
    if within is not None:
        found = overlap(found, within)
    if on_end == "cut" or found in (ALWAYS, NEVER):
        return Times(found)
    return Times(found, ALWAYS if grace is None else lengthened(found, grace))


def opened(schedules: Mapping[str, Schedule], term: Term, stretch: Range | None) -> Windows:
    """Return the windows of one grant or loan within an interval."""
    if not term.schedules:
        if (term.start, term.end) == (FIRST, LAST):
            return ALWAYS
        if stretch is None or term.end <= stretch[0]:
            return NEVER
        # Not with a clock that was never set: by that one it is long before.
        return ((max(term.start, EARLIEST), term.end),)
    if stretch is None:
        return NEVER
    by_schedule = union(*(weekly.windows(schedules[name], *stretch) for name in term.schedules))
    return clip(by_schedule, term.start, term.end)


class Decision(NamedTuple):
    """The decision whether a user may open a console at a moment.

    open
        Whether they may.

    lasting
        Whether their open sessions may go on though they may not open new ones.

    until
        When ``open`` changes next, as far as that is worked out; ``None`` if it does not.

    grants
        Names of the grants and loans that open it at that moment; all behind it where none does.

    access
        The access, locked or not; ``None`` if there is none.

    lock
        The lock that denies it, whatever the grants say.
    """

    open: bool
    lasting: bool = False
    until: int | None = None
    grants: tuple[str, ...] = ()
    access: Access | None = None
    lock: Lock | None = None


def decide(desired, user: str, vm: str, moment: int) -> Decision:
    """Decide whether a user may open the console of a vm at a moment.

    desired
        The desired state, a :class:`~spicegrants.policy.compiler.DesiredState`: the policy with its accounts, loans and
        locks.
    """
    access, lock = desired.access(user, vm)
    if access is None:
        return Decision(False)
    return judge(desired.policy, access, moment) if lock is None else denial(access, lock)


def denial(access: Access, lock: Lock) -> Decision:
    """Return the decision on an access that a lock denies."""
    return Decision(False, grants=access.grants, access=access, lock=lock)


def judge(policy: Policy, access: Access, moment: int) -> Decision:
    """Return the decision, at a moment, on an access that is not locked."""
    stretch = span(policy, day_of(moment))
    found = times(policy, access, stretch)
    is_open = contains(found.opened, moment)
    at_work = tuple(
        name
        for name, term in zip(access.grants, access.terms)
        if contains(opened(policy.schedules, term, stretch), moment)
    )
    until = next_edge(found.opened, moment)
    if until == stretch[1] and contains(times(policy, access, (stretch[0], until + 1)).opened, until):
        # Nothing ends there, it is only not worked out any further.
        until = None
    return Decision(is_open, not is_open and contains(found.lasting, moment), until, at_work or access.grants, access)
