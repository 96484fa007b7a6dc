"""Locks that minions have yet to be given, or rid of: what a master keeps of them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.audit.fleet import Row, line
from spicegrants.policy import loans_locks
from spicegrants.policy.loans_locks import Lock
from spicegrants.schedule import instants

PENDING = "pending"
LOCK, UNLOCK = FUNCTIONS = ("spice_grant.lock", "spice_grant.unlock")


class Order(NamedTuple):
    """What a minion did not confirm.

    function
        :data:`LOCK` or :data:`UNLOCK`.

    given
        Its arguments.

    since
        When it was first asked for, in seconds since 1970.
    """

    minion: str
    function: str
    given: Mapping[str, Any]
    since: int

    @property
    def lock(self) -> Lock:
        """Return the lock that it is about."""
        words = (self.given.get(key) for key in ("user", "vm", "all"))
        kind, name = loans_locks.about(*words) or (loans_locks.ALL, "")
        return Lock(kind, str(name), self.given.get("reason"), self.since)

    @property
    def key(self) -> str:
        """Return what names it where it is kept: of one minion and one lock the last order counts."""
        what = json.dumps([self.minion, self.lock.about, self.lock.name])
        return hashlib.sha256(what.encode()).hexdigest()[:32]


def order(kept: Any) -> Order | None:
    """Return an order from what was kept of it; ``None`` for anything else."""
    try:
        minion, function, given, since = kept
    except (TypeError, ValueError):
        return None
    known = isinstance(minion, str) and function in FUNCTIONS and isinstance(given, dict) and type(since) is int
    return Order(minion, function, given, since) if known else None


def rows(orders: Iterable[Order]) -> list[Row]:
    """Return a row for each, as :func:`spicegrants.audit.fleet.entries` has one for each lock that minions hold."""
    found = []
    for each in sorted(orders, key=lambda order: (order.minion, order.since)):
        row = {"minion": each.minion, "about": line(each.lock.words), "since": instants.words(each.since, None)}
        state = PENDING if each.function == LOCK else f"{PENDING}: to be unlocked"
        found.append({**row, "reason": line(each.lock.reason or ""), "host": False, "state": state})
    return found


def together(orders: Iterable[Order]) -> list[tuple[Order, list[Order]]]:
    """Return orders that are the same for several minions together, the oldest first: one of them, and all."""
    found: dict[str, list[Order]] = {}
    for each in sorted(orders, key=lambda order: (order.since, order.lock.words)):
        found.setdefault(json.dumps([each.function, each.given], sort_keys=True), []).append(each)
    return [(same[0], same) for same in found.values()]
