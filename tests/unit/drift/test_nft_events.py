"""What the kernel reports of changes of rules: bytes recorded on Linux 6.18 while nft and iptables-nft changed some."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core import netlink
from spicegrants.drift import nft_events
from spicegrants.drift.nft_events import Transaction, Transactions

RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "transactions.json").read_text(encoding="utf-8"))
OURS, SITE = ("inet", "spice_grant"), ("inet", "site")
# By what was recorded: the number of the ruleset, who made it, and which tables it touched.
REPORTS = {
    "table": Transaction(2, 21061, "nft", frozenset({OURS})),
    "element": Transaction(3, 21097, "nft", frozenset({OURS})),
    # Of the table of the same name for bridges nothing is said: it is another one.
    "other": Transaction(4, 21166, "nft", frozenset({("ip6", "site"), SITE})),
    "iptables": Transaction(5, 21185, "iptables-nft", frozenset({("ip", "filter")})),
    "flush": Transaction(6, 21193, "nft", frozenset({OURS, SITE, ("ip6", "site"), ("ip", "filter")})),
}


def received(name):
    """The pieces as they came."""
    return [bytes.fromhex(piece) for piece in RECORDED[name]]


@pytest.mark.parametrize("name", REPORTS)
def test_recorded(name):
    heard = Transactions()
    pieces = received(name)
    assert [heard.feed(piece) for piece in pieces] == [[]] * (len(pieces) - 1) + [[REPORTS[name]]]


def test_several_in_one_piece():
    whole = b"".join(piece for name in REPORTS for piece in received(name))
    assert Transactions().feed(whole) == list(REPORTS.values())


def test_which_tables_matter():
    for mechanism, names in {"nftables": {"table", "element", "flush"}, "iptables-nft": {"iptables", "flush"}}.items():
        watched = nft_events.WATCHED[mechanism]
        assert {name for name in REPORTS if REPORTS[name].tables & watched} == names
    # What guards uplinks is nft's with every mechanism.
    assert set.intersection(*map(set, nft_events.WATCHED.values())) == {("netdev", "spice_grant")}
    assert nft_events.WATCHED["iptables-legacy"] == {("netdev", "spice_grant")}


def test_the_number_of_the_ruleset():
    assert nft_events.generation(received("element")[-1]) == 3
    assert nft_events.generation(received("element")[0]) == 0
    assert nft_events.generation(b"") == 0


def test_other_messages_are_none_of_ours():
    done = struct.pack("=IHHII", 20, 3, 2, 0, 0) + bytes(4)
    assert Transactions().feed(done + received("table")[0] + done + received("table")[1]) == [REPORTS["table"]]


@given(st.binary(max_size=200))
def test_whatever_is_received_is_read_to_its_end(junk):
    """Lengths that lie end the reading; they neither hang it nor reach behind what was received."""
    for _, body in netlink.messages(junk):
        assert len(body) <= len(junk)
        netlink.attributes(body)
