"""Listens to changes of rules: the kernel tells a netlink group of each transaction of nftables, and who made it."""

from __future__ import annotations

import errno
import socket
import struct

from spicegrants.core.errors import SystemFault
from spicegrants.drift import nft_events
from spicegrants.drift.nft_events import Transaction, Transactions

_NETLINK_NETFILTER = 12
# NFNLGRP_NFTABLES, the seventh group.
_GROUP = 1 << 6
_SO_RCVBUFFORCE = 33
# A ruleset of ten thousand elements is told element by element.
_BUFFER = 8 * 1024 * 1024
_RECEIVED = 256 * 1024
_REQUEST = 1
_PATIENCE = 5


class RuleChanges:
    """Hears of the transactions from now on."""

    def __init__(self) -> None:
        """Join the group; raise :class:`~spicegrants.core.errors.SystemFault` if the kernel has none for us."""
        try:
            self._socket = _connected(_GROUP)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._socket.setblocking(False)
        except OSError as error:
            raise SystemFault(f"changes of rules cannot be noticed: {error}") from error
        self._transactions = Transactions()

    def heard(self) -> tuple[list[Transaction], bool]:
        """Return the transactions since the last call, and whether the kernel had to drop some."""
        found: list[Transaction] = []
        dropped = False
        while True:
            try:
                found += self._transactions.feed(self._socket.recv(_RECEIVED))
            except BlockingIOError:
                return found, dropped
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise SystemFault(f"changes of rules are not noticed: {error}") from error
                self._transactions, dropped = Transactions(), True

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()


def generation() -> int:
    """Return the number of the kernel's ruleset, which each transaction raises; 0 without nftables."""
    request = struct.pack("=IHHIIBBH", 20, nft_events.GET_GENERATION, _REQUEST, 0, 0, socket.AF_UNSPEC, 0, 0)
    try:
        with _connected(0) as connection:
            connection.settimeout(_PATIENCE)
            connection.send(request)
            return nft_events.generation(connection.recv(_RECEIVED))
    except OSError:
        return 0


def _connected(groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        made.bind((0, groups))
    except OSError:
        made.close()
        raise
    return made
