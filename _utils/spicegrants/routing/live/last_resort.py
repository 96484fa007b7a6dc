"""Shut consoles for everybody by the kernel's routing rules, when nothing else can close them to somebody.

No program takes part: this is for when nft, iptables or ip do not work.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable

from spicegrants.core import netlink
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import PROTOCOL, SHUT
from spicegrants.host import netlink_socket

# linux/rtnetlink.h, linux/fib_rules.h.
_NEW_RULE = 32
_ACTION = 8  # FR_ACT_PROHIBIT
_DESTINATION, _PREFERENCE, _ORIGIN, _PROTOCOL, _PORTS = 1, 6, 21, 22, 24
# linux/netlink.h: a request, which makes what is not there yet, and is answered.
_FLAGS = 0x1 | 0x4 | 0x200 | 0x400
# Seconds.
_PATIENCE = 10


def shut(places: Iterable[tuple[str, int]]) -> None:
    """Refuse every connection to addresses and ports, until the next run that succeeds.

    Raises :class:`~spicegrants.core.errors.SystemFault` if the kernel does not accept the rules.
    """
    try:
        with netlink_socket.open_socket(netlink_socket.ROUTE, patience=_PATIENCE) as kernel:
            for address, port in sorted(set(places)):
                kernel.send(_request(address, port))
                _answered(kernel.recv(65536))
    except OSError as error:
        raise SystemFault(f"the consoles cannot be shut for everybody: {error}") from error


def _request(address: str, port: int) -> bytes:
    parsed = ipaddress.ip_address(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBBBBBI", family, parsed.max_prefixlen, 0, 0, 0, 0, 0, _ACTION, 0)
    fields = (
        (_DESTINATION, parsed.packed),
        (_PREFERENCE, struct.pack("=I", SHUT)),
        (_ORIGIN, bytes([PROTOCOL])),
        (_PROTOCOL, bytes([socket.IPPROTO_TCP])),
        (_PORTS, struct.pack("=HH", port, port)),
    )
    return netlink.message(_NEW_RULE, _FLAGS, head + b"".join(netlink.attribute(*field) for field in fields))


def _answered(received: bytes) -> None:
    for code in netlink_socket.codes(received):
        # What is shut already stays so.
        if code not in (0, errno.EEXIST):
            raise OSError(code, os.strerror(code))
