"""Event sources for drift detection: inotify, nfnetlink, rtnetlink, and polling for iptables-legacy."""

from __future__ import annotations

import contextlib

from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import LOAD_ROUTES, STATE
from spicegrants.drift import watch_list
from spicegrants.drift.live.inotify import Inotify
from spicegrants.drift.live.nft_monitor import RuleChanges
from spicegrants.drift.live.route_monitor import RouteChanges
from spicegrants.drift.nft_events import WATCHED, Transaction
from spicegrants.firewall import boot
from spicegrants.firewall.live import backends
from spicegrants.firewall.live.iptables import Iptables
from spicegrants.host import disk
from spicegrants.policy import state_file
from spicegrants.policy.state_file import Stored

_LEGACY = "iptables-legacy"


class Ears:
    """All event sources, for whatever the layers hold by the stored policy and the rules in use."""

    def __init__(self) -> None:
        """Start without a source; :meth:`attend` adds them."""
        self.hindrances: list[str] = []
        self._files: Inotify | None = None
        self._rules: RuleChanges | None = None
        self._routes: RouteChanges | None = None
        self._tables: frozenset[tuple[str, str]] = frozenset()
        self._printed: str | None = None
        self._used: list[str] = []

    def attend(self) -> list[str]:
        """Listen to all that matters now; return why changes may have been missed so far, in sentences.

        What hinders that is in ``hindrances`` afterwards.
        """
        self.hindrances, missed = [], []
        try:
            if self._files is None:
                self._files = Inotify()
            fresh, hindrances = self._files.watch(watch_list.places(_stored()))
            self.hindrances += hindrances
            missed += ["files were not watched before"] if fresh else []
        except SystemFault as error:
            self.hindrances.append(str(error))
        try:
            self._used = [name for name in boot.GUARDS if backends.used(name)]
            self._tables = frozenset().union(*(WATCHED[name] for name in self._used))
            if self._tables and self._rules is None:
                self._rules = RuleChanges()
                missed.append("rules were not watched before")
        except SystemFault as error:
            self.hindrances.append(str(error))
        try:
            if self._routes is None and disk.read(LOAD_ROUTES) is not None:
                self._routes = RouteChanges()
                missed.append("routes were not watched before")
        except SystemFault as error:
            self.hindrances.append(str(error))
        return missed

    def hear(self) -> tuple[list[str], list[Transaction]]:
        """Return what changed since the last call: paths, tables and sentences, and the transactions of our tables."""
        changed: list[str] = []
        ours: list[Transaction] = []
        if self._files is not None:
            paths, dropped = self._files.changes()
            changed += sorted(paths)
            changed += ["more files changed than the kernel could tell"] if dropped else []
        if self._rules is not None:
            transactions, dropped = self._rules.receive()
            ours = [transaction for transaction in transactions if transaction.tables & self._tables]
            tables = {table for transaction in ours for table in transaction.tables & self._tables}
            changed += [f"table {family} {name}" for family, name in sorted(tables)]
            changed += ["more rules changed than the kernel could tell"] if dropped else []
        if self._routes is not None:
            signs, dropped = self._routes.receive()
            changed += signs
            changed += ["more routes changed than the kernel could tell"] if dropped else []
        return changed, ours

    def look_around(self) -> list[str]:
        """Return what may have changed since the last call without a report of the kernel."""
        changed = list(self.hindrances)
        if _LEGACY in self._used:
            try:
                before, self._printed = self._printed, Iptables(_LEGACY).printed()
            except SystemFault as error:
                return [*changed, str(error)]
            if before not in (None, self._printed):
                changed.append(f"rules of {_LEGACY}")
        return changed

    def close(self) -> None:
        """Stop listening."""
        for source in (self._files, self._rules, self._routes):
            if source is not None:
                source.close()
        self._files = self._rules = self._routes = None


def _stored() -> Stored:
    """Return what is stored; where that cannot be read, the look that follows reports it."""
    with contextlib.suppress(SpiceGrantError):
        return state_file.load(disk.read_text(STATE))
    return Stored()
