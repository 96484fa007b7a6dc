"""A week as rows of bars: what is drawn of who may open what, and when, for people who look at it on paper.

Days are whole ones of the policy's zone, so one may have 23 or 25 hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from spicegrants.audit import access_report
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import Lock, is_loan
from spicegrants.policy.model import ABOUT
from spicegrants.schedule import instants, weekly
from spicegrants.schedule.intervals import DAY

# More is no picture any more.
LONGEST = 31
# Kinds of bars; a session lies over the others.
WINDOW, LOAN, LOCK = KINDS = "window", "loan", "lock"
SESSION = "session"
# Hours at which a day is divided.
_HOURS = (6, 12, 18)
_START = "%Y-%m-%d"


class Bar(NamedTuple):
    """A stretch of time in seconds since 1970, of a kind, and lines that say what it is."""

    kind: str
    start: int
    end: int
    words: tuple[str, ...]


class Mark(NamedTuple):
    """A date on which a schedule is not as its weekday says, whether it opens then, and lines that say so."""

    start: int
    end: int
    opens: bool
    words: tuple[str, ...]


class Row(NamedTuple):
    """One console: a user and a vm, with its bars, marks and sessions in the order of time."""

    user: str
    vm: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    sessions: tuple[Bar, ...] = ()


class Day(NamedTuple):
    """A local date, as ``2026-11-24``: when it starts and ends, and when it is 6, 12 and 18 o'clock."""

    date: str
    start: int
    end: int
    hours: tuple[int, ...]


class Week(NamedTuple):
    """All that is drawn: of which machine, in which zone, as it is enforced at which moment, its days and its rows."""

    machine: str
    zone: str
    now: int
    days: tuple[Day, ...]
    rows: tuple[Row, ...]

    @property
    def start(self) -> int:
        """Return the start of its first day."""
        return self.days[0].start

    @property
    def end(self) -> int:
        """Return the end of its last day."""
        return self.days[-1].end


def drawn(desired: DesiredState, machine: str, user: str | None, moment: int, count: int) -> Week:
    """Return the days from that of a moment on, with each console of a user, or of everybody; locked ones too.

    Rows are sorted by user and vm.
    """
    zone = instants.shown_zone(desired.policy.time.zone)
    days = days_from(moment, zone, count)
    every: list[tuple[Access, Lock | None]] = [(access, None) for access in desired.accesses]
    every += desired.locked
    every.sort(key=lambda each: (each[0].user, each[0].vm))
    shown = Week(machine, zone, desired.now, days, ())
    rows = tuple(_row(desired, shown, access, lock) for access, lock in every if user in (None, access.user))
    return shown._replace(rows=rows)


def days_from(moment: int, zone: str, count: int) -> tuple[Day, ...]:
    """Return so many days of a zone, that of a moment first."""
    local = instants.local(moment, zone)
    # The local date in days since 1970-01-01.
    first = instants.seconds(local.strftime(_START)) // DAY
    found: list[Day] = []
    # A zone that changes sides of the date line leaves a date out.
    for day in range(first, first + count + 2):
        start, end = weekly.at_hour(day, 0, zone), weekly.at_hour(day + 1, 0, zone)
        if start < end and len(found) < count:
            hours = tuple(weekly.at_hour(day, hour, zone) for hour in _HOURS)
            found.append(Day(instants.iso(day * DAY)[:10], start, end, hours))
    return tuple(found)


def days_until(moment: int, zone: str, count: int) -> tuple[Day, ...]:
    """Return so many days of a zone, that of a moment last."""
    (last,) = days_from(moment, zone, 1)
    # From noon to noon no change of the clock makes another day of it.
    return days_from((last.start + last.end) // 2 - (count - 1) * DAY, zone, count)


def _row(desired: DesiredState, week: Week, access: Access, lock: Lock | None) -> Row:
    behind = access_report.behind(desired, access)
    end = week.end
    bars: list[Bar] = []
    if lock is not None:
        end = min(max(week.start, lock.since), week.end)
    found = access_report.stretches(desired, access, week.start, end) if week.start < end else []
    for kind in (WINDOW, LOAN):
        for start, stop, names in _by_kind(found, kind):
            sentence = f"{access.user} may open {access.vm}"
            reasons = [_grant(name, behind[name]) for name in names]
            bars.append(Bar(kind, start, stop, (sentence, _when(week, start, stop), *reasons)))
    if lock is not None and end < week.end:
        bars.append(Bar(LOCK, end, week.end, _denied(week, access, lock, behind)))
    return Row(access.user, access.vm, tuple(bars), tuple(_marks(desired, week, access)))


def _by_kind(stretches: list[tuple[int, int, tuple[str, ...]]], kind: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return the stretches that loans open, or grants; such as touch and are opened by the same are one."""
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for start, stop, names in stretches:
        mine = tuple(name for name in names if is_loan(name) is (kind == LOAN))
        if mine and found and found[-1][1:] == (start, mine):
            found[-1] = (found[-1][0], stop, mine)
        elif mine:
            found.append((start, stop, mine))
    return found


def _when(week: Week, start: int, end: int) -> str:
    """Say from when until when; at the edges of what is drawn it may go on."""
    first, last = (instants.words(moment, week.zone) for moment in (start, end))
    earlier = " or earlier" if start == week.start else ""
    later = " or later" if end == week.end else ""
    return f"from {first}{earlier} until {last}{later}"


def _grant(name: str, about: Mapping[str, Any]) -> str:
    """Say which grant or loan it is, when it is open, and what was said of it."""
    said = "".join(f"; {field} {about[field]}" for field in ABOUT if field in about)
    return f"{'loan' if is_loan(name) else f'grant {name}'}, {about['when']}{said}"


def _denied(week: Week, access: Access, lock: Lock, behind: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    reason = f" (reason {lock.reason})" if lock.reason else ""
    sentence = f"{access.user} may not open {access.vm}: {lock.words} is locked{reason}"
    since = f"since {instants.words(lock.since, week.zone)}, until it is unlocked"
    return sentence, since, *(f"denied: {_grant(name, about)}" for name, about in behind.items())


def _marks(desired: DesiredState, week: Week, access: Access) -> list[Mark]:
    found = set()
    for term in access.terms:
        for name in term.schedules:
            for special in weekly.specials(desired.policy.schedules[name], week.start, week.end):
                if special.start < term.end and term.start < special.end:
                    state = "also open" if special.opens else "closed"
                    words = f"schedule {name}: {state} on {special.date}, an exception"
                    found.add(Mark(special.start, special.end, special.opens, (words,)))
    return sorted(found)
