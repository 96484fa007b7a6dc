"""Flap detection: report recurring or unrepairable drift and retry it with exponential back-off.

Moments are seconds of a monotonic clock that begins with the boot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from spicegrants.core.errors import LiveStateUnreadable

# A change that comes so often within so many seconds is a fight.
TIMES, WINDOW = 3, 600.0
# Seconds for which something is left alone: at first, and at most. Each time they double.
FIRST, LONGEST = 30.0, 900.0
_MEMBERS = 8


@dataclass(frozen=True)
class Record:
    """History of one change.

    times
        Moments at which it came, within the last :data:`WINDOW` seconds.

    standing
        Whether it was still there after the last look.

    fight
        Whether it comes back too often.

    pause
        Seconds for which it is left alone; 0 for not at all.

    until
        Moment at which the pause ends.

    who
        The processes that the kernel named for it, the last ones: process ID and name.
    """

    times: tuple[float, ...] = ()
    standing: bool = False
    fight: bool = False
    pause: float = 0.0
    until: float = 0.0
    who: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Look:
    """Result of a look, in sentences.

    found
        Differences that were found.

    remaining
        Differences that are left.

    paused
        Differences to be left alone on purpose, if they are found.

    who
        The processes that the kernel named for them.

    acted
        Whether they were to be repaired.
    """

    found: frozenset[str]
    remaining: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    who: tuple[tuple[int, str], ...] = ()
    acted: bool = True


def after(records: Mapping[str, Record], look: Look, now: float) -> dict[str, Record]:
    """Return the records after a look."""
    result = {}
    for what in sorted({*records, *look.found}):
        record = records.get(what, Record())
        record = replace(record, times=tuple(moment for moment in record.times if now - WINDOW < moment <= now))
        if what not in look.found:
            record = _after_absence(record, now)
        elif what not in look.paused:
            record = _after_finding(record, look, now)
        record = replace(record, standing=what in look.remaining)
        if record.times or record.standing or record.fight:
            result[what] = record
    return result


def _after_finding(record: Record, look: Look, now: float) -> Record:
    times = record.times if record.standing else (*record.times, now)
    fight = record.fight or len(times) >= TIMES
    # A change that is left for the first time came while the rest was repaired, or is for others to repair.
    waits = fight or record.standing or not look.acted
    pause = min(max(FIRST, 2 * record.pause), LONGEST) if waits else 0.0
    until = now + pause if pause else 0.0
    members = tuple(dict.fromkeys((*record.who, *look.who)))[-_MEMBERS:]
    return replace(record, times=times, fight=fight, pause=pause, until=until, who=members)


def _after_absence(record: Record, now: float) -> Record:
    if record.fight and now <= record.until + WINDOW:
        return record
    return replace(record, fight=False, pause=0.0, until=0.0)


def pauses(records: Mapping[str, Record], now: float) -> dict[str, float]:
    """Return the changes that are left alone now, and until when."""
    return {what: record.until for what, record in records.items() if now < record.until <= now + LONGEST}


def due(records: Mapping[str, Record]) -> float | None:
    """Return when a change that is still there must be looked at again; ``None`` if there is none."""
    return min((record.until for record in records.values() if record.standing), default=None)


def dump(records: Mapping[str, Record]) -> bytes:
    """Return records as the content of a file."""
    return (json.dumps({what: asdict(record) for what, record in records.items()}, sort_keys=True) + "\n").encode()


def load(content: bytes | None) -> dict[str, Record]:
    """Parse the content of the file; ``None`` stands for no file.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if it is not what :func:`dump` wrote.
    """
    try:
        return {what: _record(**fields) for what, fields in json.loads(content or b"{}").items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise LiveStateUnreadable(f"what came back how often cannot be read: {error}") from error


def _record(times, standing, fight, pause, until, who) -> Record:
    members = tuple((int(pid), str(name)) for pid, name in who)
    return Record(tuple(map(float, times)), bool(standing), bool(fight), float(pause), float(until), members)
