"""Weekly schedules: parsing from pillar, and expansion into windows.

A range of hours on a day becomes the shortest interval that holds every moment at which a clock in the schedule's zone
shows a time within it. Where the clock is put forward, a start or end that it skips is the moment of the skip. Where it
is put back, a start that comes twice is the first, an end that comes twice the second; but an end at the very hour to
which it is put back is the first, because after that nothing before the end comes again.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from spicegrants.core.reader import Node, complete, did_you_mean, quote
from spicegrants.schedule import zones
from spicegrants.schedule.intervals import DAY, Windows, clip, union

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")
_ONE_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.date(1970, 1, 1)


class Schedule(NamedTuple):
    """A weekly schedule in a time zone: validated, in the pillar's spelling.

    ``exceptions`` and ``additions`` are dates, or ranges ``FIRST/LAST`` of them. ``worked`` holds the windows that were
    worked out earlier, where the zone is no longer known.
    """

    name: str
    days: tuple[str, ...]
    hours: tuple[str, ...]
    zone: str
    exceptions: tuple[str, ...] = ()
    additions: tuple[str, ...] = ()
    worked: tuple[tuple[int, int], ...] | None = None


class Special(NamedTuple):
    """A date on which a schedule is not as its weekday says: from its start to its end, and whether it opens then."""

    date: str
    start: int
    end: int
    opens: bool


def parse_schedule(
    name: str, node: Node, default_zone: str | None, zone_complaint: Callable[[str], str | None]
) -> Schedule | None:
    """Parse one schedule from pillar; findings are noted.

    zone_complaint
        Says what is wrong with the name of a time zone, if anything is.

    ``days`` are weekdays or ranges of them (``mon-fri``); ``hours`` are ``HH:MM-HH:MM`` ranges, which may end at 24:00
    and may run over midnight, and then belong to the day on which they start; ``zone`` is an IANA time zone; ``except``
    and ``also`` are dates, or ranges ``FIRST/LAST`` of them: on the former the hours do not apply, on the latter they
    apply whatever the weekday.
    """
    if not node.keys(("days", "hours"), ("zone", "except", "also")):
        return None
    days = complete(day for child in node.child("days").elements(scalar=True) for day in _days(child))
    hours = complete(map(_hours, node.child("hours").elements(scalar=True)))
    exceptions = complete(map(_dates, node.child("except").elements(scalar=True)))
    additions = complete(map(_dates, node.child("also").elements(scalar=True)))
    zone = node.child("zone").text(zone_complaint) or default_zone
    if zone is None and "zone" not in node.value:
        node.wrong("needs a time zone: 'zone' here, or for all schedules 'time: {zone: ...}'")
    for key in ("days", "hours"):
        if node.child(key).value == []:
            node.child(key).wrong("is empty: the schedule would never open")
    if days is None or hours is None or exceptions is None or additions is None or zone is None:
        return None
    for date in sorted(set(additions)):
        if any(_overlap(date, other) for other in exceptions):
            node.child("also").wrong(f"{date} is in 'except' as well")
    ordered = tuple(day for day in DAYS if day in days)
    return Schedule(
        name, ordered, tuple(sorted(set(hours))), zone, tuple(sorted(set(exceptions))), tuple(sorted(set(additions)))
    )


def _days(node: Node) -> list[str | None]:
    first, dash, last = node.value.partition("-") if isinstance(node.value, str) else (node.value, "", "")
    for word in (first, last) if dash else (first,):
        if word not in DAYS:
            hint = did_you_mean(word, DAYS)
            node.wrong(f"{quote(word)} is no weekday{hint or ': ' + ', '.join(DAYS)}")
            return [None]
    if not dash:
        return [first]
    start, end = DAYS.index(first), DAYS.index(last)
    return [DAYS[index % 7] for index in range(start, end + 1 if end >= start else end + 8)]


def _hours(node: Node) -> str | None:
    value = node.value
    # YAML 1.1 counts to the base of 60.
    if isinstance(value, int) and 60 <= value <= DAY // 60:
        node.wrong(f"{value // 60}:{value % 60:02} without quotes is a number in YAML, and no range, as 18:00-22:00")
        return None
    return node.text(_hours_complaint)


def _hours_complaint(text: str) -> str | None:
    if not _HOURS.fullmatch(text):
        return "is no range of hours from 00:00 to 24:00, as 08:00-18:00"
    start, end = text.split("-")
    return "is an empty range" if start == end else None


def _dates(node: Node) -> str | None:
    """Return a date, or ``FIRST/LAST``."""
    first, slash, last = node.value.partition("/") if isinstance(node.value, str) else (node.value, "", "")
    found = complete(map(read_date, (first, last) if slash else (first,)))
    if found is None:
        node.wrong(f"{quote(node.value)} is no date, as 2026-12-24, and no range of dates, as 2026-12-24/2027-01-06")
        return None
    if found[0] > found[-1]:
        node.wrong(f"{quote(node.value)} ends before it starts")
        return None
    return "/".join(found)


def read_date(value: object) -> str | None:
    """Return a date in its one spelling, ``YYYY-MM-DD``; ``None`` if it is none."""
    # YAML makes a date of an unquoted one.
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return None
    try:
        # Newer Pythons read other spellings as well; the pillar has one.
        return value if datetime.date.fromisoformat(value).isoformat() == value else None
    except ValueError:
        return None


@functools.lru_cache(maxsize=256)
def zone_complaint(text: str) -> str | None:
    """Say what is wrong with the name of a time zone, if anything is."""
    if zones.known(text):
        return None
    # Many begin alike.
    hint = did_you_mean(text, zones.names(), 0.8) or ", as Europe/Berlin"
    return f"is no time zone that this machine knows (package tzdata){hint}"


def _overlap(one: str, other: str) -> bool:
    (first, last), (start, end) = _ends(one), _ends(other)
    return first <= end and start <= last


def _ends(dates: str) -> tuple[str, str]:
    first, _, last = dates.partition("/")
    return first, last or first


@functools.lru_cache(maxsize=256)
def windows(schedule: Schedule, start: int, end: int) -> Windows:
    """Return the windows of a schedule between two moments, both in seconds since 1970.

    Its dates are local ones, counted in days since 1970-01-01. Where its zone is no longer known, the windows that were
    worked out earlier count.
    """
    if schedule.worked is not None:
        return clip(schedule.worked, start, end)
    # A local date is at most a day off that in UTC, and a range that runs over midnight starts a day earlier.
    days = range(start // DAY - 2, end // DAY + 3)
    found = [span for day in days if _applies(schedule, day) for span in _spans(schedule, day) if span[0] < span[1]]
    return clip(union(tuple(found)), start, end)


@functools.lru_cache(maxsize=256)
def specials(schedule: Schedule, start: int, end: int) -> tuple[Special, ...]:
    """Return the dates between two moments on which a schedule is not as its weekday says.

    Where its zone is no longer known there are none: their moments are not known either.
    """
    if schedule.worked is not None or not (schedule.exceptions or schedule.additions):
        return ()
    found = []
    for day in range(start // DAY - 2, end // DAY + 3):
        opens = _applies(schedule, day)
        if opens is not (_weekday(day) in schedule.days):
            first, last = at_hour(day, 0, schedule.zone), at_hour(day + 1, 0, schedule.zone)
            if start < last and first < end:
                found.append(Special(_date(day).isoformat(), first, last, opens))
    return tuple(found)


def at_hour(day: int, hour: int, zone: str) -> int:
    """Return the first moment at which a clock in a zone shows an hour of a date, or at which it skips it.

    The date is counted in days since 1970-01-01.
    """
    return _moment(_date(day), hour * 3600, zones.zone(zone), latest=False)


def _weekday(day: int) -> str:
    # 1970-01-01 was a Thursday.
    return DAYS[(day + 3) % 7]


def _applies(schedule: Schedule, day: int) -> bool:
    if schedule.additions and _within(schedule.additions, day):
        return True
    if _weekday(day) not in schedule.days:
        return False
    return not (schedule.exceptions and _within(schedule.exceptions, day))


def _within(ranges: tuple[str, ...], day: int) -> bool:
    text = _date(day).isoformat()
    # ISO dates compare as text.
    return any(first <= text <= last for first, last in map(_ends, ranges))


def _date(day: int) -> datetime.date:
    return _EPOCH + day * _ONE_DAY


def _spans(schedule: Schedule, day: int) -> list[tuple[int, int]]:
    """Return the intervals of a schedule's hours on a date; they may run over midnight into the next."""
    offset = _offset(schedule.zone, day)
    if offset == _offset(schedule.zone, day + 2):
        # No zone changes its clock, and back, within two days.
        midnight = day * DAY - offset
        return [(midnight + first, midnight + last) for first, last in map(_seconds, schedule.hours)]
    date, zone = _date(day), zones.zone(schedule.zone)

    def moment(second: int, latest: bool) -> int:
        return _moment(date + second // DAY * _ONE_DAY, second % DAY, zone, latest=latest)

    return [(moment(first, False), moment(last, True)) for first, last in map(_seconds, schedule.hours)]


@functools.lru_cache(maxsize=4096)
def _offset(zone: str, day: int) -> int:
    """Return by how many seconds a zone is ahead of UTC at the start of a date there."""
    local = datetime.datetime.combine(_date(day), datetime.time(), zones.zone(zone))
    return (local.replace(tzinfo=datetime.timezone.utc) - local) // datetime.timedelta(seconds=1)


@functools.lru_cache(maxsize=1024)
def _seconds(hours: str) -> tuple[int, int]:
    """Return start and end of a range of hours in seconds of its day; an end on the next day is beyond it."""
    first, last = (int(clock[:2]) * 3600 + int(clock[3:]) * 60 for clock in hours.split("-"))
    return first, last if first < last else last + DAY


def _twice(local: datetime.datetime) -> tuple[int, int]:
    """Return both moments at which a clock shows a time; the later one first where the clock skips it."""
    return int(local.timestamp()), int(local.replace(fold=1).timestamp())


def _moment(date: datetime.date, second: int, zone: datetime.tzinfo, *, latest: bool) -> int:
    """Return the first or last moment at which a clock shows a second of a day, or at which it skips it."""
    local = datetime.datetime.combine(date, datetime.time(second // 3600, second % 3600 // 60), zone)
    early, late = _twice(local)
    if early <= late:
        if latest:
            # At the very hour to which the clock is put back, nothing before the hour comes again.
            before, again = _twice(local - datetime.timedelta(seconds=1))
            latest = before < again
        return late if latest else early
    # Skipped: with the offset from before the skip, the time lies after the skip; with that from after it, before.
    before, behind = late, early
    offset = datetime.datetime.fromtimestamp(before, zone).utcoffset()
    while behind - before > 1:
        middle = (before + behind) // 2
        if datetime.datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            behind = middle
    return behind
