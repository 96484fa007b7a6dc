"""Sessions as connections come and go: whatever the order, each has one beginning and one end, and all bytes."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.accounting import tracking
from spicegrants.accounting.socket_reports import SocketEnd
from spicegrants.accounting.tracking import Session
from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.connections import Connection
from spicegrants.schedule import instants

NOW = 1795543920
DESK, HOST = "192.168.2.22", "192.168.2.2"


def connection(port, uid=1021, console=20002, owned=True):
    return Connection((DESK, port), (HOST, console), uid, owned)


def begin(first, now=NOW):
    return Session(
        id=f"{first.uid}-{first.local[1]}",
        user="anne",
        uid=first.uid,
        vm="books",
        server="mysrv",
        address=first.remote[0],
        port=first.remote[1],
        grants=("anne-books",),
        form="confined",
        start=now,
        seen=now,
        ports=frozenset(),
        first=first.local[1],
    )


def end(port, sent=1, received=2, retransmits=0, console=20002):
    return SocketEnd((DESK, port), (HOST, console), sent, received, retransmits)


def test_several_connections_are_one_session():
    seen = tracking.look({}, [connection(1), connection(2)], NOW, begin)
    assert [session.first for session in seen.begun] == [1]
    later = tracking.look(seen.sessions, [connection(n) for n in (1, 2, 3)], NOW + 2, begin)
    assert later.begun == [] and later.sessions[1021, HOST, 20002].ports == {1, 2, 3}
    for port in (1, 3):
        later = tracking.ended(later.sessions, end(port), NOW + 5)
        assert later.over == []
    (over,) = tracking.ended(later.sessions, end(2), NOW + 9).over
    assert (over.session.sent, over.session.received, over.end, over.exact, over.session.whole) == (
        3,
        6,
        NOW + 9,
        True,
        True,
    )
    assert tracking.fields_of_end(over, instants.iso) == {
        "start": "2026-11-24T18:12:00Z",
        "seconds": 9,
        "sent": 3,
        "received": 6,
    }


def test_users_and_consoles_are_told_apart():
    found = [connection(1), connection(2, uid=1022), connection(3, console=20003)]
    assert len(tracking.look({}, found, NOW, begin).begun) == 3


def test_what_goes_without_a_report_ends_the_session_and_its_bytes_are_not_known():
    sessions = tracking.look({}, [connection(1)], NOW, begin).sessions
    assert tracking.missing(sessions, []) and not tracking.missing(sessions, [connection(1)])
    (over,) = tracking.look(sessions, [], NOW + 60, begin).over
    fields = tracking.fields_of_end(over, instants.iso)
    assert (over.exact, fields["bytes_known"], fields["seen"]) == (False, False, "2026-11-24T18:12:00Z")


def test_a_connection_that_no_process_has_any_more():
    """It goes on with its session; it begins none."""
    sessions = tracking.look({}, [connection(1)], NOW, begin).sessions
    left = connection(1, uid=0, owned=False)
    assert tracking.look(sessions, [left], NOW + 2, begin).over == []
    assert tracking.look({}, [left], NOW, begin).begun == []


def test_the_end_of_a_connection_that_was_never_seen():
    seen = tracking.ended({}, end(1), NOW)
    assert (seen.sessions, seen.over) == ({}, [])


def test_a_network_that_was_lost():
    sessions = tracking.look({}, [connection(1)], NOW, begin).sessions
    (over,) = tracking.ended(sessions, end(1, retransmits=5), NOW).over
    assert over.why == tracking.NETWORK


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "vanish", "look"]), st.integers(1, 4)), max_size=40))
def test_each_session_has_one_beginning_and_one_end(steps):
    there, sessions, begun, over, now = set(), {}, [], [], NOW
    for what, port in [*steps, ("end", 0), ("look", 0)]:
        now += 1
        if what == "open":
            there.add(port)
        elif what == "end":
            there.clear()
        elif what == "look":
            seen = tracking.look(sessions, [connection(each) for each in there], now, partial(begin, now=now))
        else:
            there.discard(port)
        if what == "close":
            seen = tracking.ended(sessions, end(port), now)
        if what in ("close", "look"):
            sessions, begun, over = seen.sessions, begun + seen.begun, over + seen.over
    assert sessions == {} and len(begun) == len(over)
    assert all(each.session.start <= each.end for each in over)


def test_what_is_noted_comes_back():
    sessions = tracking.look({}, [connection(1), connection(2, uid=1022)], NOW, begin).sessions
    noted = tracking.dump(sessions, "boot", "cursor", NOW + 7)
    seen = {door: session._replace(seen=NOW + 7) for door, session in sessions.items()}
    assert tracking.load(noted) == (seen, "boot", "cursor")
    assert tracking.load(None) == ({}, "", "")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 100000, b'{"boot": "b", "cursor": "", "sessions": [{"id": 1}]}', b"\xff"]
)
def test_a_damaged_note(content):
    with pytest.raises(LiveStateUnreadable, match="damaged"):
        tracking.load(content)
