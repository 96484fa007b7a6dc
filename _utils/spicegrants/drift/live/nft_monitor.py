"""Listener for transactions of nftables: the kernel reports each to a netlink group, with its author."""

from __future__ import annotations

import socket
import struct

from spicegrants.core.errors import SystemFault
from spicegrants.drift import nft_events
from spicegrants.drift.nft_events import Transaction, Transactions
from spicegrants.host import netlink_socket

# A ruleset of ten thousand elements is reported element by element.
_BUFFER = 8 * 1024 * 1024
_RECEIVED = 256 * 1024
_REQUEST = 1
_PATIENCE = 5


class RuleChanges:
    """Subscription to the transactions of nftables, from now on."""

    def __init__(self) -> None:
        """Join the group; raise :class:`~spicegrants.core.errors.SystemFault` if the kernel refuses."""
        try:
            self._socket = netlink_socket.open_socket(
                netlink_socket.NETFILTER, netlink_socket.RULES, _BUFFER, patience=0
            )
        except OSError as error:
            raise SystemFault(f"changes of rules cannot be noticed: {error}") from error
        self._transactions = Transactions()

    def receive(self) -> tuple[list[Transaction], bool]:
        """Return the transactions since the last call, and whether the kernel had to drop some."""
        found: list[Transaction] = []
        dropped = False
        try:
            for received in netlink_socket.received(self._socket):
                if received is None:
                    self._transactions, dropped = Transactions(), True
                else:
                    found += self._transactions.feed(received)
        except OSError as error:
            raise SystemFault(f"changes of rules are not noticed: {error}") from error
        return found, dropped

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()


def generation() -> int:
    """Return the number of the kernel's ruleset, which each transaction raises; 0 without nftables."""
    request = struct.pack("=IHHIIBBH", 20, nft_events.GET_GENERATION, _REQUEST, 0, 0, socket.AF_UNSPEC, 0, 0)
    try:
        with netlink_socket.open_socket(netlink_socket.NETFILTER, patience=_PATIENCE) as connection:
            connection.send(request)
            return nft_events.generation(connection.recv(_RECEIVED))
    except OSError:
        return 0
