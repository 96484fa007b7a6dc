"""The host's account of open sessions: written and read back, and which connections are theirs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.connections import Connection
from spicegrants.hypervisor import sessions
from spicegrants.hypervisor.port_table import Place
from spicegrants.hypervisor.sessions import Session
from unit.strategies import accounts, addresses, junk, names, port_numbers

ANNE = Session("books", 20003, "anne", "desk-1", ("192.168.2.22", "2001:db8::22"), 1795482000, 1795489200)
BEN = Session("wiki", 20004, "ben", "desk-2", ("192.168.2.23",), 1795482000, None, False)
MOMENTS = st.integers(0, 2**32)
SESSIONS = st.builds(
    Session,
    names,
    port_numbers,
    accounts,
    names,
    st.lists(addresses.map(str), min_size=1, max_size=3).map(tuple),
    MOMENTS,
    st.none() | MOMENTS,
    st.booleans(),
)


@given(st.lists(SESSIONS, max_size=4))
def test_written_and_read_back(known):
    content = sessions.dump(known)
    assert sessions.load(content) == known
    assert content.endswith(b"\n") and content.isascii()


def test_no_file_is_no_session():
    assert sessions.load(None) == []


def test_every_cut_is_noticed():
    content = sessions.dump([ANNE, BEN])
    for length in range(len(content) - 1):
        with pytest.raises(LiveStateUnreadable, match="the file of open sessions is damaged"):
            sessions.load(content[:length])


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b'""', b"5", b"[1]", b"[[]]", b"\xff\xfe", b"[" * 100_000])
def test_something_else_is_no_file_of_sessions(content):
    with pytest.raises(LiveStateUnreadable):
        sessions.load(content)


@pytest.mark.parametrize(
    "altered",
    [
        {"vm": None},
        {"port": "20003"},
        {"port": True},
        {"port": 20003.0},
        {"user": ["anne"]},
        {"desk": 1},
        {"addresses": "192.168.2.22"},
        {"addresses": None},
        {"addresses": [22]},
        {"addresses": {"192.168.2.22": 1}},
        {"since": None},
        {"end": "1795489200"},
        {"end": False},
        {"fresh": None},
        {"fresh": 1},
    ],
)
def test_a_session_of_other_values(altered):
    content = json.dumps([[*BEN], [*ANNE._replace(**altered)]]).encode()
    with pytest.raises(LiveStateUnreadable):
        sessions.load(content)


@given(st.one_of(junk, st.lists(st.lists(junk, min_size=8, max_size=8), max_size=2)))
def test_anything_is_read_or_reported(found):
    try:
        known = sessions.load(json.dumps(found, default=str, skipkeys=True).encode())
    except LiveStateUnreadable:
        return
    assert sessions.load(sessions.dump(known)) == known


# Connections


def connection(port, address, remote_port=40000):
    return Connection(("192.168.2.2", port), (address, remote_port), 0)


HERS = [connection(20003, "192.168.2.22"), connection(20003, "192.168.2.22", 40001), connection(20003, "2001:db8::22")]
OTHERS = [
    connection(20004, "192.168.2.22"),
    connection(20003, "192.168.2.23"),
    connection(40000, "192.168.2.22", 20003),
]


def test_connections_are_a_sessions_by_its_desk_and_console():
    assert sessions.connections_of(ANNE, [*OTHERS, *HERS]) == HERS
    assert sessions.connections_of(BEN, [*OTHERS, *HERS]) == []


def test_connections_at_a_console_are_anybodys():
    assert sessions.at_console(20003, [*OTHERS, *HERS]) == [OTHERS[1], *HERS]


def test_places():
    assert ANNE.places == [Place("192.168.2.22", 20003), Place("2001:db8::22", 20003)]
