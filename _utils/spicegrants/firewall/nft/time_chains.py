"""nftables chains for time windows: rendered as libnftables JSON, and read back from nft's listing.

At each packet the kernel compares with its own clock. nft takes moments as seconds since 1970, and lists them as text
in its process's time zone, which is UTC wherever we run it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spicegrants.core.reader import complete
from spicegrants.policy.access import Times
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import ALWAYS, NEVER, Windows

Object = dict[str, Any]

ACCEPT = {"accept": None}
_TIME = {"meta": {"key": "time"}}


def match(left: Object, right: Any, operator: str = "==") -> Object:
    """Return the expression that compares a field of a packet."""
    return {"match": {"op": operator, "left": left, "right": right}}


# Numbers: what nft prints when asked for them, so that a rule compares equal to what was sent.
ESTABLISHED = match({"ct": {"key": "state"}}, 2, "in")
RESET = match({"payload": {"protocol": "tcp", "field": "flags"}}, 4, "in")


def rules(times: Times) -> list[list[Object]]:
    """Return the rules of a chain: first for new connections, then for open ones. Other packets return to the guard."""
    result = []
    for condition, windows in (((), times.opened), ((ESTABLISHED,), times.lasting)):
        if windows != NEVER:
            result.append([*condition, *_within(windows), ACCEPT])
    return result


def _within(windows: Windows) -> list[Object]:
    if windows == ALWAYS:
        return []
    # The end belongs to a range, but it is a moment without any length.
    ranges = [{"range": [start, end]} for start, end in windows]
    # nft lists a single one without a set.
    return [match(_TIME, {"set": ranges} if ranges[1:] else ranges[0])]


def parse_chain(listed: Iterable[list[Object]]) -> Times | None:
    """Return the times of a chain's rules; ``None`` if they are no such rules."""
    found = complete(map(_read, listed))
    if found is None or [goes_on for goes_on, _ in found] not in ([False], [True], [False, True]):
        return None
    by_kind = dict(found)
    return Times(by_kind.get(False, NEVER), by_kind.get(True, NEVER))


def _read(expressions: list[Object]) -> tuple[bool, Windows] | None:
    """Return whether a rule is for connections that are open already, and its windows."""
    goes_on = expressions[:1] == [ESTABLISHED]
    *conditions, verdict = expressions[goes_on:] or [{}]
    if verdict != ACCEPT or conditions[1:]:
        return None
    windows = _windows(conditions[0]) if conditions else ALWAYS
    return None if windows is None else (goes_on, windows)


def _windows(condition: Object) -> Windows | None:
    try:
        compared = condition["match"]
        right = compared["right"]
        ranges = right.get("set", [right])
        found = tuple((_seconds(low), _seconds(high)) for low, high in (each["range"] for each in ranges))
        return found if (compared["op"], compared["left"]) == ("==", _TIME) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _seconds(listed: int | str) -> int:
    return listed if isinstance(listed, int) else instants.seconds(listed)
