"""Events of routing rules, routes and links, as bytes (linux/rtnetlink.h, linux/fib_rules.h)."""

from __future__ import annotations

import struct

from spicegrants.core import netlink
from spicegrants.core.paths import DEVICE
from spicegrants.routing import policy_rules

# Of links, and of routes and rules of both IP versions.
GROUPS = 0x1 | 0x40 | 0x80 | 0x400 | 1 << 18
_LINKS, _ROUTES, _RULES = (16, 17), (24, 25), (32, 33)
_GONE = 17
_PRIORITY, _RULE_PROTOCOL, _TABLE, _NAME = 6, 21, 15, 3
_UP = 0x1
_HEADERS = {**dict.fromkeys(_RULES, 12), **dict.fromkeys(_ROUTES, 12), **dict.fromkeys(_LINKS, 16)}
# AF_INET, AF_INET6
_VERSION = {2: "IPv4", 10: "IPv6"}


class Signs:
    """Filter for signs of drift: our rules and routes; links that appear, or go up or down."""

    def __init__(self) -> None:
        """Start without a known link."""
        self._up: dict[int, bool] = {}

    def feed(self, received: bytes) -> list[str]:
        """Return what changed by received bytes, in words."""
        found = []
        for kind, body in netlink.messages(received):
            header = _HEADERS.get(kind)
            if header is None or len(body) < header:
                continue
            fields = netlink.attributes(body[header:])
            if kind in _LINKS:
                found += self._link(kind, body, fields)
            elif kind in _ROUTES:
                if _number(fields.get(_TABLE)) == policy_rules.TABLE:
                    found.append(f"routes of table {policy_rules.TABLE}")
            elif _number(fields.get(_PRIORITY)) in policy_rules.PREFERENCES or (
                fields.get(_RULE_PROTOCOL, b"")[:1] == bytes([policy_rules.PROTOCOL])
            ):
                found.append(f"rules of routing ({_VERSION.get(body[0], body[0])})")
        return list(dict.fromkeys(found))

    def _link(self, kind: int, body: bytes, fields: dict[int, bytes]) -> list[str]:
        # The kernel reports devices for a lot that means nothing here.
        index, flags = struct.unpack_from("=iI", body, 4)
        up = bool(flags & _UP)
        name = fields.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
        if kind == _GONE:
            self._up.pop(index, None)
            # What is gone needs nothing any more, unless it is ours.
            return [f"device {name}"] if name == DEVICE else []
        before, self._up[index] = self._up.get(index), up
        return [] if before is up else [f"device {name}"]


def _number(value: bytes | None) -> int | None:
    return struct.unpack("=I", value)[0] if value is not None and len(value) == 4 else None
