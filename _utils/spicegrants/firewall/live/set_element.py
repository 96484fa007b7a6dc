"""Ask the kernel whether a set of addresses holds one, without reading the others: there may be a hundred thousand."""

from __future__ import annotations

import errno
import ipaddress
import os
import struct

from spicegrants.core import netlink
from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.host import netlink_socket

# linux/netfilter/nfnetlink.h, nf_tables.h: the subsystem, and the message that asks for elements.
_SUBSYSTEM, _GET_ELEMENTS = 10, 13
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_TABLE, _SET, _ELEMENTS = 1, 2, 3
_ELEMENT, _KEY, _VALUE = 1, 1, 1
# It is in an attribute that holds attributes.
_NESTED = 0x8000
# linux/netlink.h: a request.
_REQUEST = 0x1
# Seconds.
_PATIENCE = 10


def holds(family: str, table: str, name: str, address: str) -> bool:
    """Tell whether a set holds an address, by itself or within a network or range.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if the kernel gives no answer.
    """
    try:
        with netlink_socket.open_socket(netlink_socket.NETFILTER, patience=_PATIENCE) as kernel:
            kernel.send(_request(family, table, name, address))
            return _is_there(kernel.recv(65536))
    except (OSError, struct.error) as error:
        raise LiveStateUnreadable(f"the kernel does not say what is in set {family} {table} {name}: {error}") from error


def _request(family: str, table: str, name: str, address: str) -> bytes:
    value = netlink.attribute(_VALUE, ipaddress.ip_address(address).packed)
    element = _nested(_ELEMENT, _nested(_KEY, value))
    fields = (
        netlink.attribute(_TABLE, table.encode() + b"\0"),
        netlink.attribute(_SET, name.encode() + b"\0"),
        _nested(_ELEMENTS, element),
    )
    head = struct.pack("=BBH", _FAMILIES[family], 0, 0)
    return netlink.message(_SUBSYSTEM << 8 | _GET_ELEMENTS, _REQUEST, head + b"".join(fields))


def _nested(kind: int, value: bytes) -> bytes:
    return netlink.attribute(kind | _NESTED, value)


def _is_there(received: bytes) -> bool:
    for code in netlink_socket.codes(received):
        if code != errno.ENOENT:
            raise OSError(code, os.strerror(code))
        return False
    return True
