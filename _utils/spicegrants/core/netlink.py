"""Netlink messages as bytes: headers, and attributes that are padded to four bytes (linux/netlink.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_TYPE = 0x3FFF


def messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message."""
    while len(received) >= 16:
        length, kind = struct.unpack_from("=IH", received)
        yield kind, received[16:length]
        received = received[(max(length, 16) + 3) & ~3 :]


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Return a message to the kernel as bytes."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute as bytes, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(fields: bytes) -> dict[int, bytes]:
    """Return the values of attributes by type."""
    found = {}
    while len(fields) >= 4:
        length, kind = struct.unpack_from("=HH", fields)
        found[kind & _TYPE] = fields[4:length]
        fields = fields[(max(length, 4) + 3) & ~3 :]
    return found
