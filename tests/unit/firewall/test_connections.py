"""Which open connections have no grant behind them: those are ended."""

import pytest

from spicegrants.firewall import connections
from spicegrants.firewall.connections import Connection
from spicegrants.policy.access import Access, Drain
from spicegrants.policy.compiler import compile_policy
from unit.build import desired, inventory, policy

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOCAL = ("192.168.2.22", 40000)
MYSELF = Connection(LOCAL, ("192.168.2.2", 20002), 1021)


def line(remote, state="01", uid=1021, inode=4711, local="1602A8C0:9C40", unsent=0):
    return f"   0: {local} {remote} {state} {unsent:08X}:00000000 00:00000000 00000000  {uid}        0 {inode} 1 x\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (line("0202A8C0:4E22"), ("192.168.2.2", 20002)),
        (line("0000000000000000FFFF00000202A8C0:4E22"), ("192.168.2.2", 20002)),
        (line("020000FD000000000000000002000000:4E22"), ("fd00:2::2", 20002)),
    ],
)
def test_places_are_read(text, place):
    """As a little-endian machine prints them; an IPv4 address that is mapped into IPv6 is that address."""
    assert connections.parse_connections(HEAD + text) == [Connection(LOCAL, place, 1021)]


@pytest.mark.parametrize("state", ["02", "03", "06", "07", "09", "0A", "0B", "0C"])
def test_what_is_not_open_is_left_out(state):
    assert connections.parse_connections(HEAD + line("0202A8C0:4E22", state)) == []


def test_what_is_nobodys_any_more_is_left_out():
    assert connections.parse_connections(HEAD + line("0202A8C0:4E22", "04", 0, 0)) == []


def test_what_is_nobodys_and_has_something_to_send_is_open():
    (found,) = connections.parse_connections(HEAD + line("0202A8C0:4E22", "04", 1023, 0, unsent=4096))
    assert (found.uid, found.owned) == (1023, False)


def test_who_listens_is_read():
    """By either version; what is open there is none of it."""
    nobody = "00000000:0000"
    text = line(nobody, "0A", local="0202A8C0:4E22") + line(nobody, "0A", local="0" * 32 + ":4E23") + line(nobody)
    assert connections.parse_listeners(HEAD + text) == [("192.168.2.2", 20002), ("::", 20003)]


def test_which_sockets_have_ended():
    """As the kernel told of two, one of each version; and of nothing that could be read."""
    told = bytes.fromhex(
        "58000000140000000000000000000000020700004e229c40" + "c0a80202" + "00" * 12 + "c0a80216" + "00" * 12 + "00" * 32
    )
    other = told[:16] + b"\x0a\x07\0\0" + b"\x4e\x23" + told[22:]
    assert connections.ended_at(told + other) == {20002, 20003}
    assert connections.ended_at(told[:18]) == connections.ended_at(b"") == set()


def test_a_granted_session_stays():
    assert connections.stray(desired(), [MYSELF]) == []


@pytest.mark.parametrize(
    "connection",
    [
        MYSELF._replace(uid=1022),
        MYSELF._replace(uid=0),
        MYSELF._replace(remote=("192.168.2.2", 20004)),
        MYSELF._replace(remote=("192.168.2.3", 20002)),
        MYSELF._replace(remote=("127.0.0.1", 20010)),
    ],
)
def test_a_session_without_a_grant_goes(connection):
    """Of another user, to another port, or to an address that nobody declared."""
    assert connections.stray(desired(), [MYSELF, connection]) == [connection]


@pytest.mark.parametrize("port", [20000, 20011, 443])
def test_ports_that_are_not_guarded_are_nobodys_business(port):
    assert connections.stray(desired(), [MYSELF._replace(uid=1022, remote=("192.168.2.2", port))]) == []


def test_guard_servers_leaves_other_addresses_alone():
    own, other = MYSELF._replace(uid=1022), MYSELF._replace(remote=("192.168.2.3", 20002))
    assert connections.stray(desired({"firewall": {"guard": "servers"}}), [own, other]) == [own]


def test_a_session_that_drains_stays():
    drain = Drain("mybro", 1022, "192.168.2.2", 20002, "debianx")
    facts = inventory(sessions=frozenset({(1022, "192.168.2.2", 20002)}))
    compiled = compile_policy(policy(), facts, leaving=[drain])
    assert connections.stray(compiled, [MYSELF._replace(uid=1022)]) == []


def test_in_words():
    """Two connections of one session are one thing; a grant that stood behind it is named."""
    gone = desired({"grants__myself-debianx": ...}, [Access("myself", 1021, "debianx", ("myself-debianx",))])
    found = connections.stray(gone, [MYSELF, MYSELF._replace(local=("192.168.2.22", 40001)), MYSELF._replace(uid=7)])
    changes = connections.changes(gone, found, {1021: "myself"}, None)
    assert [(change.what, change.grants) for change in changes] == [
        ("ends what UID 7 has open at 192.168.2.2 port 20002", ()),
        ("ends what myself has open at 192.168.2.2 port 20002", ("myself-debianx",)),
    ]
    (first, _) = connections.changes(gone, found, {}, "ss is not installed")
    assert first.what.endswith(" (ss is not installed)")
