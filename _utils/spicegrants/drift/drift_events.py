"""Events for Salt's bus: what a look found and did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spicegrants.core.changes import LAYERS
from spicegrants.drift.flapping import Look, Record
from spicegrants.policy import merge

_MOST_SIGNS = 20
Who = Iterable["tuple[int, str]"]


def events(report: Mapping[str, Any], look: Look, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return the events that report a look; none if there is nothing new.

    report
        The report that :func:`spicegrants.drift.live.check.take` left.

    records
        The records of changes that came back, with this look.
    """
    if not look.found - look.paused:
        return []
    changes = report["changes"]
    about = {"layers": layers(changes), "what": merge.sentences(changes), "changes": changes}
    found = []
    if changes:
        details = {"who": people(look.who), "noticed": report["noticed"][:_MOST_SIGNS], "repairing": report["acted"]}
        found.append({"tag": "drift", **about, **details})
    if look.remaining and report["acted"]:
        found.append(
            {"tag": "failed", "layers": about["layers"], "what": sorted(look.remaining), "errors": report["errors"]}
        )
    elif report["acted"]:
        found.append({"tag": "repaired", **about, "errors": report["errors"]})
    fights = {
        what: records[what] for what in sorted(look.found - look.paused) if what in records and records[what].fight
    }
    if fights:
        who = dict.fromkeys(member for record in fights.values() for member in record.who)
        found.append(
            {
                "tag": "fight",
                "what": list(fights),
                "who": people(who),
                "times": max(len(record.times) for record in fights.values()),
                "pause": max(record.pause for record in fights.values()),
            }
        )
    return found


def layers(changes: Mapping[str, Any]) -> list[str]:
    """Return the layers that changes are about."""
    concerned = {
        *changes.get("layers", {}),
        *(layer for parts in changes.get("grants", {}).values() for layer in parts),
    }
    return [layer for layer in LAYERS if layer in concerned]


def people(who: Who) -> list[dict[str, Any]]:
    """Return processes as plain data."""
    return [{"pid": pid, "comm": comm} for pid, comm in dict.fromkeys(who)]
