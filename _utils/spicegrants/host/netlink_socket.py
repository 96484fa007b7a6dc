"""Netlink sockets (netlink(7)): opening for groups or requests, reading without blocking, acknowledgements."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from spicegrants.core import netlink

# linux/netlink.h.
ROUTE, NETFILTER = 0, 12
# NFNLGRP_NFTABLES, the seventh group of the latter: changes of rules. linux/netfilter/nfnetlink.h.
RULES = 1 << 6
# The kernel's reports on sockets, and SKNLGRP_INET_TCP_DESTROY and that of IPv6, the first and the third group:
# linux/sock_diag.h.
SOCKETS = 4
ENDED = 1 << 0 | 1 << 2
_ERROR = 2
# asm-generic/socket.h: like SO_RCVBUF, without the limit that is set for all.
_SO_RCVBUFFORCE = 33
_RECEIVED = 1024 * 1024


def open_socket(protocol: int, groups: int = 0, room: int = 0, patience: float | None = None) -> socket.socket:
    """Return a socket; raise OSError if the kernel refuses one.

    protocol
        :data:`ROUTE`, :data:`NETFILTER` or :data:`SOCKETS`.

    groups
        Bits of the multicast groups to join. Defaults to none.

    room
        Bytes that the kernel buffers before it drops messages. Defaults to the kernel's own limit.

    patience
        Seconds to wait for a message; 0 not to wait at all. Defaults to waiting for ever.
    """
    endpoint = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        endpoint.bind((0, groups))
        if room:
            endpoint.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        endpoint.settimeout(patience)
    except OSError:
        endpoint.close()
        raise
    return endpoint


def received(kernel: socket.socket) -> Iterator[bytes | None]:
    """Yield the messages so far on a non-blocking socket; ``None`` where the kernel had to drop some.

    Raises OSError if the socket cannot be read.
    """
    while True:
        try:
            yield kernel.recv(_RECEIVED)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield None


def acknowledged(kernel: socket.socket) -> None:
    """Wait until a request is acknowledged; raise OSError if it is refused. Earlier messages are ignored."""
    while True:
        for code in codes(kernel.recv(_RECEIVED)):
            if code:
                raise OSError(code, os.strerror(code))
            return


def codes(message: bytes) -> Iterator[int]:
    """Yield the error numbers in a message; 0 acknowledges a request."""
    for kind, body in netlink.messages(message):
        if kind == _ERROR:
            yield -struct.unpack_from("=i", body)[0]
