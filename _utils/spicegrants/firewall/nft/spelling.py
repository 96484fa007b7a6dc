"""One spelling for what releases of nft list in different ones, so that wanted and held compare as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


def attributes(body: Mapping[str, Any]) -> Object:
    """Return what a set is, in one spelling.

    nft 1.1 says ``dynamic`` of one that rules fill. 1.0 does not; and it says no flag where there is none.
    """
    flags = body.get("flags", [])
    kept = sorted({flags} if isinstance(flags, str) else {*flags} - {"dynamic"})
    return {**{key: value for key, value in body.items() if key != "flags"}, **({"flags": kept} if kept else {})}


def expression(body: Object) -> Object:
    """Return an expression of a rule in one spelling.

    nft 1.1 lists the lower bits of a place in a packet as the place of these bits, 1.0 as the place with a mask.
    """
    compared = body.get("match")
    if not isinstance(compared, dict) or "left" not in compared:
        return body
    place, mask = _masked(compared["left"])
    bits = mask.bit_length()
    if not isinstance(place, dict) or place.keys() != {"base", "offset", "len"} or mask != (1 << bits) - 1 or not bits:
        return body
    lower = {**place, "offset": place["offset"] + place["len"] - bits, "len": bits}
    return {"match": {**compared, "left": {"payload": lower}}}


def _masked(left: Any) -> tuple[Any, int]:
    """Return a place in a packet and the mask on it; no place if it is anything else that is compared."""
    parts = left.get("&") if isinstance(left, dict) else None
    if (
        not isinstance(parts, list)
        or len(parts) != 2
        or not isinstance(parts[0], dict)
        or not isinstance(parts[1], int)
    ):
        return None, 0
    return parts[0].get("payload"), parts[1]
