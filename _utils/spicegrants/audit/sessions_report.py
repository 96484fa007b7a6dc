"""Reports from the record: sessions, and when a console was last used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spicegrants.record.events import ENDED, OPENED, REFUSED

Event = Mapping[str, Any]
# Of an entry.
KEYS = (
    *("user", "uid", "vm", "server", "address", "port", "client_port", "grants", "form"),
    *("from", "until", "seconds", "sent", "received", "why", "open"),
)
_OF_SESSION = KEYS[:9]


def sessions(found: Iterable[Event], now_open: Iterable[Event], since: str) -> list[dict[str, Any]]:
    """Return sessions that were open at some time since a moment, in the order of their beginning.

    found
        Events of the record, the oldest first.

    now_open
        Sessions that are open, as the record's event of their beginning has them.

    since
        Moment, as events have it.
    """
    begun: dict[str, dict[str, Any]] = {}
    for event in [*found, *now_open]:
        name = event.get("session")
        if not isinstance(name, str):
            continue
        if event["event"] == OPENED:
            begun.setdefault(name, {**_entry(event), "from": event["at"]})
        elif event["event"] == ENDED:
            begun[name] = {**_entry(event), **_end(event)}
    still = {event["session"] for event in now_open}
    for name, entry in begun.items():
        entry["open"] = name in still
        if not entry["open"] and entry["why"] is None:
            entry["why"] = "its end was not recorded"
    chosen = [entry for entry in begun.values() if entry["open"] or (entry["until"] or entry["from"]) >= since]
    return sorted(chosen, key=lambda entry: (entry["from"], entry["user"] or "", entry["vm"] or ""))


def _entry(event: Event) -> dict[str, Any]:
    known = {name: event.get(name) for name in _OF_SESSION}
    return {**known, "from": "", "until": None, "seconds": None, "sent": None, "received": None, "why": None}


def _end(event: Event) -> dict[str, Any]:
    # Whatever went through while nobody counted is not known.
    counted = event.get("bytes_known", True)
    return {
        "from": str(event.get("start") or event["at"]),
        "until": event["at"],
        "seconds": event.get("seconds"),
        "sent": event.get("sent") if counted else None,
        "received": event.get("received") if counted else None,
        "why": event.get("why"),
    }


def last_used(found: Iterable[Event]) -> dict[tuple[str, str], str]:
    """Return when each user last opened or ended the console of each vm, by user and vm."""
    used: dict[tuple[str, str], str] = {}
    for event in found:
        if event["event"] in (OPENED, ENDED) and event.get("user") and event.get("vm"):
            key = event["user"], event["vm"]
            used[key] = max(used.get(key, ""), event["at"])
    return used


def refusals(found: Iterable[Event]) -> list[dict[str, Any]]:
    """Return refusals by sudo, by the opener and by a KVM host; the guard's stand in the kernel's log, with more."""
    return [
        {
            "at": event["at"],
            "user": event.get("user"),
            "uid": event.get("uid"),
            "gid": None,
            "vm": event.get("vm"),
            "server": None,
            "address": None,
            "port": None,
            "rule": None,
            "count": event.get("count", 1),
            "by": event.get("by"),
            "why": event.get("why"),
        }
        for event in found
        if event["event"] == REFUSED and event.get("by") != "guard"
    ]
