"""The last days of a review as a drawing: when each console was open to whom, and the sessions in that. Pure."""

from __future__ import annotations

from typing import Any

from spicegrants.audit.review_document import Review
from spicegrants.audit.review_row import DAYS, IDLE, Row
from spicegrants.audit.week import LOCK, SESSION, Bar, Week, days_until
from spicegrants.audit.week import Row as Drawn
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import clip


def drawn(review: Review, machine: str) -> Week:
    """Return the days until that of the review, with a row for each user and vm who has it by anything.

    machine
        What they are called together.
    """
    zone = review.zone
    shown = Week(machine, zone, review.now, days_until(review.now, zone, DAYS), ())
    accesses = (each for each in review.accesses if each["user"] and IDLE not in each["flags"])
    return shown._replace(rows=tuple(_row(shown, each) for each in accesses))


def _row(shown: Week, each: Row) -> Drawn:
    sentence = f"{each['user']} may open {each['vm']}"
    locked = f"{each['user']} may not open {each['vm']}: it is locked"
    bars = [
        bar
        for found in each["windows"]
        for bar in _bars(shown, found["kind"], found, locked if found["kind"] == LOCK else sentence)
    ]
    session = f"{each['user']} was in {each['vm']}"
    sessions = [bar for found in each["used"] for bar in _bars(shown, SESSION, found, session)]
    return Drawn(each["user"], each["vm"], tuple(bars), (), tuple(sessions))


def _bars(shown: Week, kind: str, found: dict[str, Any], sentence: str) -> list[Bar]:
    """Return a stretch of time as a bar, as far as it is in the days that are shown."""
    start, end = (instants.seconds(found[edge]) for edge in ("from", "until"))
    words = f"from {instants.words(start, shown.zone)} until {instants.words(end, shown.zone)}"
    # What began and ended within a second is a session all the same.
    clipped = clip([(start, max(end, start + 1))], shown.start, shown.end)
    return [Bar(kind, low, high, (sentence, words)) for low, high in clipped]
