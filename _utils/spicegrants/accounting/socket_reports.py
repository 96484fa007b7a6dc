"""The kernel's reports on TCP sockets that have ended: their ends, bytes each way, and a filter for some ports. Pure.

linux/inet_diag.h, linux/sock_diag.h, linux/tcp.h and linux/filter.h have the layouts.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spicegrants.core import netlink

# A report is an inet_diag_msg and attributes, of which INET_DIAG_INFO holds a tcp_info.
_REPORT, _INFO = 72, 2
_FAMILY_INET = 2
# tcpi_retransmits, tcpi_bytes_received, and tcpi_bytes_sent with tcpi_bytes_retrans after it.
_RETRANSMITS, _RECEIVED, _SENT = 2, 128, 200
# A message of netlink begins with a header; family, state, timer, retransmissions and the source port come before the
# destination port.
_DESTINATION_PORT = 16 + 4 + 2
# A packet as a whole.
_ALL = 0x40000
# BPF_LD | BPF_H | BPF_ABS, BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JGT | BPF_K, BPF_RET | BPF_K.
_LOAD, _AT_LEAST, _ABOVE, _RETURN = 0x28, 0x35, 0x25, 0x06


class SocketEnd(NamedTuple):
    """A connection that has ended: its place here and there, and the bytes that were sent and received.

    retransmits
        How often its last packet was sent again without an answer.
    """

    local: tuple[str, int]
    remote: tuple[str, int]
    sent: int
    received: int
    retransmits: int = 0


def ends(received: bytes) -> Iterator[SocketEnd]:
    """Yield the ends of connections that messages of the kernel tell of."""
    for _, body in netlink.messages(received):
        if len(body) < _REPORT:
            continue
        info = netlink.attributes(body[_REPORT:]).get(_INFO, b"")
        sent, again = struct.unpack_from("=QQ", info, _SENT) if len(info) >= _SENT + 16 else (0, 0)
        (got,) = struct.unpack_from("=Q", info, _RECEIVED) if len(info) >= _RECEIVED + 8 else (0,)
        source, destination = struct.unpack_from("!HH", body, 4)
        width = 4 if body[0] == _FAMILY_INET else 16
        local, remote = (_address(body[start : start + width]) for start in (8, 24))
        retransmits = info[_RETRANSMITS] if len(info) > _RETRANSMITS else 0
        yield SocketEnd((local, source), (remote, destination), sent - again, got, retransmits)


def _address(raw: bytes) -> str:
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def port_filter(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Return a filter, SO_ATTACH_FILTER of socket(7), that lets through the ends of connections to some ports.

    A desktop ends many connections a second, and nobody is woken for those.
    """
    program = [(_LOAD, 0, 0, _DESTINATION_PORT)]
    for low, high in ranges:
        # Below the range, or above it: on to the next one.
        program += [(_AT_LEAST, 0, 2, low), (_ABOVE, 1, 0, high), (_RETURN, 0, 0, _ALL)]
    program.append((_RETURN, 0, 0, 0))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
