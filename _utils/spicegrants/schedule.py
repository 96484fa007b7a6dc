"""Weekly schedules: read and checked here, so that a pillar can already declare them."""

from __future__ import annotations

import datetime
import re
import zoneinfo

from spicegrants.model import Schedule
from spicegrants.reader import Node, did_you_mean, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")


def parse(name: str, node: Node) -> Schedule | None:
    """Read one schedule: weekdays, ``HH:MM-HH:MM`` ranges, an IANA time zone, exception dates.

    A range may end at 24:00 and may run over midnight; it may not be empty.
    """
    if not node.keys(("days", "hours", "zone"), ("except",)):
        return None
    days = [_day(child) for child in node.child("days").elements()]
    hours = [child.text(_hours_complaint) for child in node.child("hours").elements()]
    exceptions = [_date(child) for child in node.child("except").elements()]
    zone = node.child("zone").text(_zone_complaint)
    for key in ("days", "hours"):
        if node.child(key).value == []:
            node.child(key).wrong("is empty: the schedule would never open")
    if None in (*days, *hours, *exceptions, zone):
        return None
    ordered = tuple(day for day in DAYS if day in days)
    return Schedule(name, ordered, tuple(sorted(set(hours))), zone, tuple(sorted(set(exceptions))))


def _day(node: Node) -> str | None:
    if node.value in DAYS:
        return node.value
    hint = did_you_mean(node.value, DAYS) if isinstance(node.value, str) else ""
    node.wrong(f"{shown(node.value)} is no weekday{hint or ': ' + ', '.join(DAYS)}")
    return None


def _hours_complaint(text: str) -> str | None:
    if not _HOURS.fullmatch(text):
        return "is no range of hours, as 18:00-22:00"
    start, end = text.split("-")
    return "is an empty range" if start == end else None


def _date(node: Node) -> str | None:
    # YAML makes a date of an unquoted one.
    if isinstance(node.value, datetime.date) and not isinstance(node.value, datetime.datetime):
        return node.value.isoformat()
    try:
        # Newer Pythons read other spellings as well; the pillar has one.
        exact = datetime.date.fromisoformat(node.value).isoformat() == node.value
    except (TypeError, ValueError):
        exact = False
    if not exact:
        node.wrong(f"{shown(node.value)} is no date, as 2026-12-24")
        return None
    return node.value


def _zone_complaint(text: str) -> str | None:
    try:
        zoneinfo.ZoneInfo(text)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        return "is no time zone that this machine knows, as Europe/Berlin"
    return None
