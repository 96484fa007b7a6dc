"""Transactions of nftables as the kernel reports them: which tables they touched, and who made them.

The layout is that of linux/netfilter/nf_tables.h. iptables-nft changes rules by such transactions as well.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from spicegrants.core import netlink
from spicegrants.firewall.nft import egress, guard_table

SUBSYSTEM = 10 << 8
NEW_GENERATION, GET_GENERATION = SUBSYSTEM | 15, SUBSYSTEM | 16
# Attributes: the table of whatever changed is its first one; of a generation, its number, and who made it.
_TABLE = 1
_ID, _PID, _COMM = 1, 2, 3
_FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 10: "ip6"}
_EGRESS = (egress.FAMILY, egress.TABLE)
# By mechanism: the tables that hold what is ours. The kernel reports no change of iptables-legacy.
WATCHED = {
    "nftables": frozenset({(guard_table.FAMILY, guard_table.TABLE), _EGRESS}),
    "iptables-nft": frozenset({("ip", "filter"), ("ip6", "filter"), _EGRESS}),
    "iptables-legacy": frozenset({_EGRESS}),
}


class Transaction(NamedTuple):
    """One transaction of nftables.

    generation
        Number of the ruleset that it made.

    pid, comm
        Process ID and name of the process that sent it.

    tables
        Family and name of the tables in which something changed, of the families that are watched.
    """

    generation: int
    pid: int
    comm: str
    tables: frozenset[tuple[str, str]]


class Transactions:
    """Assembler of transactions, whose messages may come in several pieces."""

    def __init__(self) -> None:
        """Start before the first message."""
        self._tables: set[tuple[str, str]] = set()

    def feed(self, received: bytes) -> list[Transaction]:
        """Take received bytes; return the transactions that end in them."""
        ended = []
        for kind, body in netlink.messages(received):
            if kind & ~0xFF != SUBSYSTEM:
                continue
            if kind != NEW_GENERATION:
                family = _FAMILIES.get(body[0])
                if family:
                    self._tables.add((family, _text(_first(body, _TABLE))))
                continue
            fields = netlink.attributes(body[4:])
            tables, self._tables = frozenset(self._tables), set()
            pid = _number(fields.get(_PID, b""))
            ended.append(Transaction(_number(fields.get(_ID, b"")), pid, _text(fields.get(_COMM, b"")), tables))
        return ended


def generation(received: bytes) -> int:
    """Return the number of the ruleset in an answer of the kernel; 0 if it holds none."""
    for kind, body in netlink.messages(received):
        if kind == NEW_GENERATION:
            return _number(netlink.attributes(body[4:]).get(_ID, b""))
    return 0


def _first(body: bytes, wanted: int) -> bytes:
    """Return the first attribute, if it is of a type; no other is read, of an object with a thousand elements."""
    if len(body) < 8:
        return b""
    length, kind = struct.unpack_from("=HH", body, 4)
    return body[8 : 4 + length] if kind == wanted else b""


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("utf-8", "replace")


def _number(value: bytes) -> int:
    return struct.unpack("!I", value)[0] if len(value) == 4 else 0
