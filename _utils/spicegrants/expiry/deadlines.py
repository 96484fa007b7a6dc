"""Deadlines of open sessions: the moments at which something ends, and at which users are warned. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spicegrants.policy.access import Drain, Times
from spicegrants.policy.compiler import DesiredState
from spicegrants.schedule.intervals import FIRST, LAST, union

Door = tuple[int, str, int]


class Deadline(NamedTuple):
    """A moment at which a console closes, at which open sessions there end, or both.

    since
        The moment from which this lies ahead; nothing is announced before.

    moment
        The deadline, in seconds since 1970.

    going
        The moment until which open sessions may go on: ``moment`` if they may not, ``None`` for no limit.

    closes
        Whether the console closes. Otherwise it had closed before, and its last sessions end.
    """

    since: int
    moment: int
    going: int | None
    closes: bool = True

    @property
    def ends(self) -> bool:
        """Tell whether open sessions end at that moment."""
        return self.going == self.moment

    def announcements(self, warn: tuple[int, ...]) -> list[int]:
        """Return the moments at which the deadline is announced.

        warn
            Seconds before the deadline.
        """
        return [self.moment - seconds for seconds in warn if self.since <= self.moment - seconds]


class Notice(NamedTuple):
    """A deadline to announce to the user of a console."""

    uid: int
    vm: str
    deadline: Deadline


@functools.lru_cache(maxsize=4096)
def deadlines(times: Times) -> tuple[Deadline, ...]:
    """Return the deadlines in order; stretches of time that touch or overlap count as one."""
    going = union(times.opened, times.lasting)
    found = []
    for start, end in times.opened:
        if end < LAST:
            last = next(limit for begin, limit in going if begin <= start < limit)
            found.append(Deadline(start, end, None if last == LAST else last))
    known = {deadline.moment for deadline in found}
    for start, end in going:
        if end < LAST and end not in known:
            # While the console is open, it is its closing that is announced.
            since = max((closed for _, closed in times.opened if closed <= end), default=start)
            found.append(Deadline(since, end, end, closes=False))
    return tuple(sorted(found, key=lambda deadline: deadline.moment))


def _of_drain(drain: Drain) -> tuple[Deadline, ...]:
    if drain.until is None:
        return ()
    since = FIRST if drain.grace is None else drain.until - drain.grace
    return (Deadline(since, drain.until, drain.until, closes=False),)


def due(desired: DesiredState, since: int, doors: Iterable[Door]) -> list[Notice]:
    """Return the notices for users with something open, each as often as it may be given.

    since
        The moment up to which everything was announced, in seconds since 1970. Announcements between it and
        ``desired.now`` for deadlines still ahead are made now, once.

    doors
        UID, address and port of open connections.
    """
    opened = set(doors)
    found: list[Notice] = []
    for access in desired.accesses:
        if any((access.uid, address, desired.port(access)) in opened for address in desired.addresses(access)):
            found += _due(desired, since, access.uid, access.vm, access.warn, deadlines(desired.times(access)))
    for drain in desired.draining:
        if (drain.uid, drain.address, drain.port) in opened:
            found += _due(desired, since, drain.uid, drain.vm, drain.warn, _of_drain(drain))
    return list(dict.fromkeys(found))


def _due(
    desired: DesiredState, since: int, uid: int, vm: str, warn: tuple[int, ...], ahead: Iterable[Deadline]
) -> Iterator[Notice]:
    for deadline in ahead:
        passed = (since < moment <= desired.now for moment in deadline.announcements(warn))
        if desired.now < deadline.moment and any(passed):
            yield Notice(uid, vm, deadline)


def upcoming(desired: DesiredState) -> int | None:
    """Return the next moment after ``desired.now`` at which something ends or must be announced."""
    # Many accesses share their times.
    ahead = {(deadlines(desired.times(access)), access.warn) for access in desired.accesses}
    ahead |= {(_of_drain(drain), drain.warn) for drain in desired.draining}
    moments = (
        moment
        for found, warn in ahead
        for deadline in found
        if desired.now < deadline.moment
        for moment in (*deadline.announcements(warn), *([deadline.moment] if deadline.ends else []))
    )
    return min((moment for moment in moments if desired.now < moment), default=None)
