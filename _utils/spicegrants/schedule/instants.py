"""Moments and durations: parsing of what people write, and spelling for people."""

from __future__ import annotations

import datetime
import functools
import re

from spicegrants.schedule import zones

# Nothing that is declared lies before the project; a clock that shows an earlier time was never set.
EARLIEST = 1577836800
# 2100, well within what the kernel's and iptables' fields hold.
_LATEST = 4102444800
# What is read of ISO 8601. Newer Pythons read more of it; this is the same on all.
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,][0-9]{1,9})?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
FORMS = "2026-11-24, or 2026-11-24T18:00 with seconds, an offset (+01:00, +0100, +01) or Z if you like"
_START, _SECOND = datetime.datetime(1970, 1, 1), datetime.timedelta(seconds=1)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?")


def parse_moment(value: object, zone: str | None, *, last: bool = False) -> int | None:
    """Return a moment in seconds since 1970; ``None`` if the value is no moment between 2020 and 2100.

    value
        ISO 8601 text, read in ``zone`` where it has no offset; a date means its start. YAML turns unquoted text into
        dates and datetimes. A datetime from YAML without an offset was in UTC, or had none: it is read in ``zone``.

    last
        Whether a date means its end.

    Raises LookupError if the value needs a zone, and there is none.
    """
    moment = _parsed(value) if isinstance(value, str) else value
    try:
        if isinstance(moment, datetime.date) and not isinstance(moment, datetime.datetime):
            moment = datetime.datetime.combine(moment, datetime.time()) + datetime.timedelta(days=last)
        if not isinstance(moment, datetime.datetime):
            return None
        if moment.tzinfo is None:
            if zone is None:
                raise LookupError
            moment = moment.replace(tzinfo=zones.zone(zone))
        seconds = int(moment.timestamp())
    except (OverflowError, ValueError):
        # At the ends of the calendar.
        return None
    return seconds if EARLIEST <= seconds <= _LATEST else None


def _parsed(text: str) -> datetime.date | None:
    match = _MOMENT.fullmatch(text)
    if not match:
        return None
    date, time, seconds, offset = match.groups("")
    try:
        if not time:
            return datetime.date.fromisoformat(date)
        return datetime.datetime.fromisoformat(f"{date}T{time}{seconds or ':00'}{_offset(offset)}")
    except ValueError:
        return None


def _offset(text: str) -> str:
    """Spell an offset from UTC as each Python reads it."""
    if text in ("", "Z", "z"):
        return "+00:00" if text else ""
    return f"{text[:3]}:{text[3:].lstrip(':') or '00'}"


# Many elements share their times.
@functools.lru_cache(maxsize=4096)
def iso(moment: int) -> str:
    """Spell a moment in UTC, in ISO 8601."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> int:
    """Parse a moment in UTC, spelled by :func:`iso` or another program; raise ValueError if it is none."""
    return (datetime.datetime.fromisoformat(text.rstrip("Z")) - _START) // _SECOND


def local(moment: int, zone: str | None) -> datetime.datetime:
    """Return a moment as local time in a zone; in UTC without one, or where the system no longer knows it."""
    return datetime.datetime.fromtimestamp(moment, zones.zone(shown_zone(zone)))


def shown_zone(zone: str | None) -> str:
    """Return the zone in which times are shown: UTC without one, or where the system no longer knows it."""
    return zone if zone and zones.known(zone) else "UTC"


def words(moment: int, zone: str | None, days: str = "Mon Tue Wed Thu Fri Sat Sun") -> str:
    """Spell a moment for people: ``Tue 2026-11-24 08:00 Europe/Berlin``; seconds only where there are some.

    days
        The names of the weekdays.
    """
    at = local(moment, zone)
    day = days.split()[at.weekday()]
    return f"{day} {at:%Y-%m-%d %H:%M}{f':{at:%S}' if at.second else ''} {shown_zone(zone)}"


def duration(value: object) -> int | None:
    """Return a duration in seconds: ``2h``, ``1h30m``, ``15m``, ``90s``, ``1d``; ``None`` if it is none."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    if not match or not value:
        return None
    return sum(int(number) * unit for number, unit in zip(match.groups(), _UNITS.values()) if number)


def since(value: object, now: int, zone: str | None) -> int | None:
    """Return the moment from which on something is asked for; ``None`` if the value is no duration and no moment.

    value
        How far back from now, as a duration, or a moment; one without an offset is in ``zone``, in UTC without that.
    """
    seconds = duration(value)
    return parse_moment(value, zone or "UTC") if seconds is None else max(0, now - seconds)


def spell_duration(seconds: int) -> str:
    """Spell a duration as :func:`duration` reads it."""
    parts = []
    for unit, size in _UNITS.items():
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
