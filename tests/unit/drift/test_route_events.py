"""What is picked out of the kernel's messages on rules, routes and links."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.paths import DEVICE
from spicegrants.drift.route_events import Signs
from spicegrants.routing import policy_rules


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind, body):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def rule(kind=32, family=2, preference=None, protocol=0):
    fields = b"" if preference is None else attribute(6, struct.pack("=I", preference))
    return message(kind, bytes([family]) + bytes(11) + fields + attribute(21, bytes([protocol])))


def link(kind=16, index=3, flags=0, name=b"eth0"):
    return message(kind, struct.pack("=BxHiII", 0, 1, index, flags, 0) + attribute(3, name + b"\0"))


def test_rules_of_ours_and_what_stands_among_them():
    signs = Signs()
    assert signs.feed(rule(preference=1000) + rule()) == []
    assert signs.feed(rule(preference=165)) == ["rules of routing (IPv4)"]
    assert signs.feed(rule(kind=33, family=10, preference=9, protocol=policy_rules.PROTOCOL)) == [
        "rules of routing (IPv6)"
    ]


def test_routes_of_our_table():
    table = attribute(15, struct.pack("=I", policy_rules.TABLE))
    assert Signs().feed(message(24, bytes(12) + table)) == ["routes of table 7462"]
    assert Signs().feed(message(24, bytes(12) + attribute(15, struct.pack("=I", 254)))) == []


def test_links_that_appear_or_go_up_or_down():
    signs = Signs()
    assert signs.feed(link()) == ["device eth0"] and signs.feed(link(flags=0x1000)) == []
    assert signs.feed(link(flags=1)) == ["device eth0"] == signs.feed(link(flags=0))
    assert signs.feed(link(kind=17)) == [] and signs.feed(link()) == ["device eth0"]
    assert signs.feed(link(kind=17, name=DEVICE.encode())) == ["device spice-dead"]


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(received):
    Signs().feed(received)
    for kind in (16, 24, 32):
        Signs().feed(message(kind, received))
