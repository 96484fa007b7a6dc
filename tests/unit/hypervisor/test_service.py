"""Who may ask how often, and what a console's next user need not wait for."""

import itertools
import threading
from types import SimpleNamespace

import pytest

from spicegrants.core.errors import SystemFault
from spicegrants.hypervisor.live import book, service, tickets
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy.model import EXCLUSIVE, SHARED, TAKEOVER
from spicegrants.policy.ticket_protocol import BUSY, ENDED, Answer

NOW = 1795478400
UNUSED = Session("books", 20003, "anne", "desk-1", ("192.0.2.1",), NOW)
BEN = Session("books", 20003, "ben", "desk-2", ("192.0.2.2",), NOW + 10)


@pytest.fixture
def giving(monkeypatch):
    """A service without a book, on a clock that is moved by hand."""
    made = object.__new__(service.Service)
    made.left, made.counting, made.book, made.asked = {}, threading.Lock(), None, False
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(service.time, "monotonic", lambda: clock.now)
    made.clock = clock
    return made


def may(giving, user):
    """Whether a user of desk-1 may ask."""
    of_user = giving._may_ask(("desk-1", "open", user), *service._OF_USER)
    return of_user and giving._may_ask(("desk-1", "open"), *service._OF_DESK)


def test_one_user_without_end_leaves_a_desk_to_its_others(giving):
    assert sum(may(giving, "eve") for _ in range(100)) == service._OF_USER[0]
    assert may(giving, "anne") and may(giving, "ben")
    for number in range(60):
        giving.clock.now += 2
        for _ in range(50):
            may(giving, "eve")
        assert may(giving, f"user{number}")


def test_a_desk_gets_no_more_than_its_share(giving):
    """Whatever names it thinks of; and these take no more room than there is."""
    users = map(str, itertools.count())
    assert sum(may(giving, next(users)) for _ in range(1000)) == service._OF_DESK[0]
    giving.clock.now += 10
    assert sum(may(giving, next(users)) for _ in range(3 * service._ASKERS)) < 3 * service._OF_DESK[0]
    assert len(giving.left) <= service._ASKERS


def test_whoever_does_not_wait_any_more_gets_nothing(giving, monkeypatch, tmp_path):
    """Nobody would use it, and others would be told that somebody is just opening the console."""
    monkeypatch.setattr(tickets, "HOST_RUN", str(tmp_path))
    monkeypatch.setattr(tickets, "would_give", lambda *_: Answer(granted=True))
    monkeypatch.setattr(tickets, "give", lambda *_: pytest.fail("a ticket was made"))
    assert giving._given("desk-1", "anne", "books", lambda: False) == Answer(refusal=ENDED)


def test_a_console_that_somebody_else_has_for_long_is_busy(giving, monkeypatch, tmp_path):
    monkeypatch.setattr(tickets, "HOST_RUN", str(tmp_path))
    monkeypatch.setattr(tickets, "would_give", lambda *_: Answer(granted=True))
    monkeypatch.setattr(service, "_WAITING", 0)
    monkeypatch.setattr(tickets.time, "monotonic", itertools.count().__next__)
    with tickets.alone("books"):
        assert giving._given("desk-1", "anne", "books", lambda: True) == Answer(refusal=BUSY)


def test_who_has_no_right_takes_up_no_console(giving, monkeypatch, tmp_path):
    monkeypatch.setattr(tickets, "HOST_RUN", str(tmp_path))
    monkeypatch.setattr(tickets, "would_give", lambda *_: Answer(refusal="not_granted"))
    assert giving._given("desk-1", "eve", "x1", lambda: True).refusal == "not_granted"
    assert [*tmp_path.iterdir()] == []


def test_whatever_the_kernel_tells_without_end_is_taken_in_parts(monkeypatch):
    """And what was not taken may matter."""
    monkeypatch.setattr(service.netlink_socket, "received", lambda kernel: itertools.repeat(b""))
    assert service._drained(None, lambda message: False)
    for told, matters in (([], False), ([b"x"], False), ([b"x", None], True), ([b"x", b"y"], True)):
        monkeypatch.setattr(service.netlink_socket, "received", lambda kernel, told=told: iter(told))
        assert service._drained(None, lambda message: message == b"y") is matters


@pytest.mark.parametrize("sharing", [EXCLUSIVE, TAKEOVER, SHARED])
def test_a_ticket_that_nobody_uses_keeps_others_out_for_ten_seconds(sharing):
    assert tickets._gives_way(UNUSED, BEN, sharing)
    assert not tickets._gives_way(UNUSED, BEN._replace(since=NOW + 9), sharing)
    opening = UNUSED._replace(own=(("192.0.2.1", 40000),))
    assert tickets._gives_way(opening, BEN, sharing) is (sharing == TAKEOVER)


def test_an_alias_is_no_member(monkeypatch):
    """Of a group whose members are told by their primary group: locks would not know them by that name."""
    account = ("anne", "x", 1031, 700, "", "/home/anne", "/bin/sh")
    monkeypatch.setattr(tickets.pwd, "getpwnam", lambda name: tickets.pwd.struct_passwd(account))
    monkeypatch.setattr(tickets.grp, "getgrnam", lambda name: tickets.grp.struct_group(("staff", "x", 700, ["ben"])))
    found = {user: tickets.member(user, "staff") for user in ("anne", "ANNE", "ben", "anne@corp")}
    assert found == {"anne": True, "ANNE": False, "ben": True, "anne@corp": False}


def test_a_spelling_is_asked_for_once_a_minute(monkeypatch):
    asked, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(tickets, "_spellings", {})
    monkeypatch.setattr(tickets.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(
        tickets.pwd, "getpwnam", lambda name: asked.append(name) or (_ for _ in ()).throw(KeyError(name))
    )
    for clock.now in (0.0, 30.0, 59.0, 61.0):
        assert tickets.spelled("anne") == "anne"
    assert asked == ["anne", "anne"]


def test_what_goes_on_hindering_is_said_once(capsys):
    """Until it is something else, or has gone in between."""
    for why in ("a", "a", "b", None, "b"):
        with service._complaining("ports cannot be looked at"):
            if why:
                raise OSError(why)
    assert capsys.readouterr().err.splitlines() == [f"ports cannot be looked at: {why}" for why in "abb"]


def no_space(*_):
    raise SystemFault("no space left")


def test_what_becomes_of_a_session_counts_though_it_cannot_be_kept(monkeypatch):
    """But a new one is none before it is kept: if this program were killed then, nobody would shut it."""
    kept = object.__new__(book.Book)
    kept.sessions = [UNUSED]
    monkeypatch.setattr(book.disk, "write", no_space)
    kept.replace(UNUSED, UNUSED._replace(fresh=False))
    assert kept.sessions == [UNUSED._replace(fresh=False)]
    with pytest.raises(SystemFault):
        kept.note(BEN)
    assert BEN not in kept.sessions


def test_what_hinders_one_session_hinders_no_other(monkeypatch):
    """A look goes on, and says so."""
    ended = []
    known = SimpleNamespace(
        sessions=[UNUSED, BEN], replace=lambda *_: None, end=lambda chosen, why: ended.extend(chosen)
    )
    monkeypatch.setattr(
        tickets,
        "right_of",
        lambda kept, session, now: no_space() if session == UNUSED else tickets.SessionRight("locked"),
    )
    settled = tickets.settle(None, known, [])
    assert ended == [BEN] and [*map(str, settled.faults)] == ["no space left"]
