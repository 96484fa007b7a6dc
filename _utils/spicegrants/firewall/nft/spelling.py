"""One spelling for objects that releases of nft list differently, so that desired and listed ones compare as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


def attributes(body: Mapping[str, Any]) -> Object:
    """Return a set's attributes in one spelling.

    nft 1.1 lists ``dynamic`` for a set that rules fill, nft 1.0 does not. For a set without flags, no flags are listed.
    """
    flags = body.get("flags", [])
    static = sorted({flags} if isinstance(flags, str) else {*flags} - {"dynamic"})
    return {**{key: value for key, value in body.items() if key != "flags"}, **({"flags": static} if static else {})}


def expression(body: Object) -> Object:
    """Return an expression of a rule in one spelling.

    For the lower bits of a field in a packet, nft 1.1 lists the position of these bits, nft 1.0 the field with a mask.
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
    """Return a field of a packet and the mask on it; no field if anything else is compared."""
    parts = left.get("&") if isinstance(left, dict) else None
    if (
        not isinstance(parts, list)
        or len(parts) != 2
        or not isinstance(parts[0], dict)
        or not isinstance(parts[1], int)
    ):
        return None, 0
    return parts[0].get("payload"), parts[1]
