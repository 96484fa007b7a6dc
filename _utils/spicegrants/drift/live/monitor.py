"""Drift monitor: notice drift, have it repaired outside the minion's own process, and report the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from spicegrants.core.errors import SystemFault
from spicegrants.drift import backoff, drift_events, flapping
from spicegrants.drift.live import check
from spicegrants.drift.live.watchers import Ears
from spicegrants.drift.nft_events import Transaction
from spicegrants.policy import merge

_REMEMBERED = 100
_VANISHED = "a look ended without a report: the minion's log may say why"
Event = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Settings of the beacon.

    repair
        Whether drift is repaired, or only reported.

    look_every
        Seconds between looks for changes that the kernel does not report.
    """

    repair: bool = True
    look_every: float = 60.0


class Keeper:
    """State of the monitor between polls, about one a second; it never waits for anything."""

    def __init__(self, start: Callable[[bool, list[str]], None], busy: Callable[[], bool]) -> None:
        """Begin with a look: whatever came before was not heard.

        start
            Starts a look; takes whether it may repair, and the signs that cause it.

        busy
            Says whether a look is being taken.
        """
        self._start, self._busy = start, busy
        self._ears = Ears()
        self._signs: dict[str, None] = {}
        self._transactions: list[Transaction] = []
        self._hindrances: list[str] = []
        self._looking = False
        self._pace = backoff.Pace()
        self._due: float | None = None
        self._slow = float("-inf")
        self._attending = False

    def poll(self, settings: Settings) -> list[Event]:
        """Listen, start a look if there is reason to, and return the events to report."""
        now = time.monotonic()
        events = [] if self._attending else self._attend()
        self._attending = True
        self._hear(settings, now)
        looking = self._looking and self._busy()
        for report in check.reports():
            self._looking = False
            events += self._take_in(report, now) + self._attend()
        if self._looking and not looking:
            self._looking = False
            events += self._take_in({"errors": [_VANISHED], "left": [_VANISHED]}, now)
        if not self._looking and self._look_is_due(now) and not self._busy():
            self._look(settings)
        return events

    def close(self) -> None:
        """Stop listening."""
        self._ears.close()

    def _attend(self) -> list[Event]:
        """Listen to what matters now; report what hinders that, once."""
        self._notice(self._ears.attend())
        before, self._hindrances = self._hindrances, self._ears.hindrances
        if not self._hindrances or self._hindrances == before:
            return []
        return [{"tag": "unwatched", "what": self._hindrances}]

    def _hear(self, settings: Settings, now: float) -> None:
        changed, transactions = self._ears.hear()
        if now - self._slow >= settings.look_every:
            self._slow = now
            changed += self._ears.look_around()
        self._notice(changed)
        self._transactions = [*self._transactions, *transactions][-_REMEMBERED:]

    def _notice(self, changed: Iterable[str]) -> None:
        self._signs.update(dict.fromkeys(changed))

    def _look_is_due(self, now: float) -> bool:
        return bool(self._signs and now >= backoff.next_look(self._pace)) or (
            self._due is not None and now >= self._due
        )

    def _look(self, settings: Settings) -> None:
        if check.needed():
            self._start(settings.repair, list(self._signs) or ["it is time to look again"])
            self._looking = True
        else:
            check.forget()
        self._signs, self._due = {}, None

    def _take_in(self, report: dict[str, Any], now: float) -> list[Event]:
        """Take a report in; return the events that result from it."""
        report = {**_EMPTY, **report}
        before, after = report["generations"]
        in_firewall = "firewall" in drift_events.layers(report["changes"])
        who = tuple(
            (transaction.pid, transaction.comm)
            for transaction in self._transactions
            if transaction.generation <= before and in_firewall
        )
        # What came while we changed rules ourselves cannot be told from that: it is looked at again, but blames nobody.
        known = after if in_firewall and report["acted"] else before
        self._transactions = [transaction for transaction in self._transactions if transaction.generation > known]
        remaining = frozenset(report["left"])
        found = remaining | set(merge.sentences(report["changes"]))
        look = flapping.Look(found, remaining, frozenset(report["held"]), who, report["acted"])
        records = flapping.after(check.noted(), look, now)
        self._due = flapping.due(records)
        self._pace = backoff.after(self._pace, bool(found - look.paused), now)
        events = drift_events.events(report, look, records)
        try:
            check.note(records)
        except SystemFault as error:
            events.append({"tag": "failed", "layers": [], "what": [], "errors": [str(error)]})
        return events


_EMPTY = {
    "changes": {},
    "errors": [],
    "left": [],
    "held": [],
    "acted": True,
    "noticed": [],
    "generations": [0, 0],
}
