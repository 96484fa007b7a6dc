"""Exponential back-off of looks: at once at the first sign, then less often the more looks found nothing.

Moments are seconds of a monotonic clock. What always changes, and means nothing, costs little; and what means something
waits for :data:`LONGEST` seconds at most.
"""

from __future__ import annotations

from dataclasses import dataclass

# Seconds between looks that find nothing: at first, and at most.
FIRST, LONGEST = 1.0, 8.0
# Seconds without a look after which the next one counts as the first.
QUIET = 2 * LONGEST


@dataclass(frozen=True)
class Pace:
    """The moment at which the last look ended, and how many in a row found nothing."""

    ended: float = float("-inf")
    empty: int = 0


def after(pace: Pace, found: bool, now: float) -> Pace:
    """Return the pace after a look that found something to do, or nothing."""
    before = pace.empty if now - pace.ended <= QUIET else 0
    return Pace(now, 0 if found else before + 1)


def next_look(pace: Pace) -> float:
    """Return the moment from which a sign is followed by a look."""
    return pace.ended + min(FIRST * 2 ** min(pace.empty - 1, 10), LONGEST) if pace.empty else pace.ended
