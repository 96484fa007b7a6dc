"""Refusals of the guard in iptables, counted from the packets that its NFLOG rule sends to a netlink group.

The layout of the messages is that of linux/netfilter/nfnetlink_log.h. The kernel reports the owner of the packet's
socket.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping

from spicegrants.core import netlink
from spicegrants.core.errors import SystemFault
from spicegrants.firewall.guard import Key
from spicegrants.host import netlink_socket

_ULOG = 4 << 8
_PACKET, _CONFIG = _ULOG | 0, _ULOG | 1
_REQUEST_ACK = 1 | 4
_BIND, _COPY_PACKET = 1, 2
# Attributes of the configuration, and of a packet.
_CFG_COMMAND, _CFG_MODE, _CFG_THRESHOLD = 1, 2, 5
_PAYLOAD, _UID, _GID = 9, 11, 14
_COPIED = 64
# Room for the messages of some thousand connections that are tried at once; the kernel takes it only as they come.
_BUFFER = 32 * 1024 * 1024
_PATIENCE = 5


class Witness:
    """Counts refusals by key from its first call on; the first answer is empty."""

    def __init__(self, group: int) -> None:
        """Note the netlink group; listening begins with the first call."""
        self._group = group
        self._socket: socket.socket | None = None
        self._counts: Counter[Key] = Counter()

    def __call__(self) -> Mapping[Key, int]:
        """Return the number of refusals by key so far.

        Raises :class:`~spicegrants.core.errors.SystemFault` if the kernel does not allow listening.
        """
        try:
            if self._socket is None:
                self._socket = _listening(self._group)
            self._counts.update(_refusals(self._socket))
        except OSError as error:
            raise SystemFault(f"cannot listen to what the guard refuses: {error}") from error
        return dict(self._counts)


def _listening(group: int) -> socket.socket:
    listener = netlink_socket.open_socket(netlink_socket.NETFILTER, room=_BUFFER, patience=_PATIENCE)
    for attribute, value in (
        (_CFG_COMMAND, struct.pack("=B", _BIND)),
        (_CFG_MODE, struct.pack("!IBB", _COPIED, _COPY_PACKET, 0)),
        (_CFG_THRESHOLD, struct.pack("!I", 1)),
    ):
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, group) + netlink.attribute(attribute, value)
        listener.send(netlink.message(_CONFIG, _REQUEST_ACK, body))
        # Packets that come first are of no interest yet.
        netlink_socket.acknowledged(listener)
    listener.setblocking(False)
    return listener


def _refusals(connection: socket.socket) -> Iterator[Key]:
    """Read the messages so far. Those that the kernel had to drop are missing, so a missing one proves nothing."""
    for received in netlink_socket.received(connection):
        for kind, body in netlink.messages(received or b""):
            if kind == _PACKET:
                with contextlib.suppress(KeyError, struct.error):
                    yield _key(body)


def _key(body: bytes) -> Key:
    """Return the key of the packet, its owner and destination; raise KeyError for a packet without an owner."""
    fields = netlink.attributes(body[4:])
    (uid,), (gid,) = struct.unpack("!I", fields[_UID]), struct.unpack("!I", fields[_GID])
    packet = fields[_PAYLOAD]
    if body[0] == socket.AF_INET:
        address, header = str(ipaddress.IPv4Address(packet[16:20])), (packet[0] & 15) * 4
    else:
        address, header = str(ipaddress.IPv6Address(packet[24:40])), 40
    (port,) = struct.unpack_from("!H", packet, header + 2)
    return Key(uid, gid, address, port)
