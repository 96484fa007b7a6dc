"""The kernel's reports as bytes, in linux/inet_diag.h's layout; and the filter, run as the kernel runs it."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.accounting import socket_reports
from spicegrants.accounting.socket_reports import SocketEnd
from spicegrants.core import netlink

LOCAL, REMOTE = ("192.168.2.22", 40000), ("192.168.2.2", 20002)


def report(local=LOCAL, remote=REMOTE, sent=100, again=0, received=200, retransmits=0, info=True):
    """A message of the kernel's about a connection that has ended."""
    packed = [ipaddress.ip_address(address).packed for address, _ in (local, remote)]
    family = 2 if len(packed[0]) == 4 else 10
    ports = struct.pack("!HH", local[1], remote[1])
    places = b"".join(address.ljust(16, b"\0") for address in packed)
    body = bytes([family, 7, 0, 0]) + ports + places
    body = body.ljust(72, b"\0")
    tcp = bytearray(240)
    tcp[2] = retransmits
    struct.pack_into("=Q", tcp, 128, received)
    struct.pack_into("=QQ", tcp, 200, sent, again)
    return netlink.message(20, 0, body + (netlink.attribute(2, bytes(tcp)) if info else b""))


@pytest.mark.parametrize(
    ("message", "end"),
    [
        (report(), SocketEnd(LOCAL, REMOTE, 100, 200)),
        (report(sent=150, again=50, retransmits=3), SocketEnd(LOCAL, REMOTE, 100, 200, 3)),
        (report(info=False), SocketEnd(LOCAL, REMOTE, 0, 0)),
        (
            report(("fd00::22", 1), ("fd00::2", 20002)),
            SocketEnd(("fd00::22", 1), ("fd00::2", 20002), 100, 200),
        ),
        (report(("::ffff:192.168.2.22", 40000), ("::ffff:192.168.2.2", 20002)), SocketEnd(LOCAL, REMOTE, 100, 200)),
    ],
)
def test_a_report(message, end):
    assert [*socket_reports.ends(message)] == [end]
    assert [*socket_reports.ends(message + message)] == [end, end]


@given(st.binary(max_size=400))
def test_anything_else(received):
    for end in socket_reports.ends(received):
        assert 0 <= end.local[1] < 65536


def kept(program, message):
    """What the kernel's machine for filters does with a message: four instructions are used."""
    instructions = [struct.unpack_from("=HBBI", program, start) for start in range(0, len(program), 8)]
    counter, accumulator = 0, 0
    while True:
        code, true, false, value = instructions[counter]
        counter += 1
        if code == 0x28:
            (accumulator,) = struct.unpack_from("!H", message, value)
        elif code == 0x35:
            counter += true if accumulator >= value else false
        elif code == 0x25:
            counter += true if accumulator > value else false
        else:
            return value > 0


@pytest.mark.parametrize("ranges", [[], [(20001, 20010)], [(5900, 5900), (20001, 20010), (65535, 65535)]])
def test_the_filter(ranges):
    program = socket_reports.port_filter(ranges)
    for port in (1, 5899, 5900, 5901, 20000, 20001, 20010, 20011, 65534, 65535):
        message = report(remote=(REMOTE[0], port))
        assert kept(program, message) is any(low <= port <= high for low, high in ranges), port
