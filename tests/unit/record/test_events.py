"""Lines of the record: what goes in comes out; what somebody does to them is noticed, and hinders nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.record import events

NOW = 1795543920
TEXT = st.text(max_size=600)


def lines(*found):
    made, after = [], events.NOTHING
    for each in found:
        made.append(events.line(each, after))
        after = events.digest(made[-1])
    return made


def refusal(moment=NOW, **fields):
    return events.event(
        events.REFUSED, moment, "Europe/Berlin", **{"user": "anne", "vm": "books", "by": "guard", **fields}
    )


def test_a_line():
    what = events.event(
        events.OPENED, NOW, "Europe/Berlin", user="anne", uid=1021, vm="books", grants=["a", "b"], x=None
    )
    (line,) = lines(what)
    assert line == (
        b'{"at": "2026-11-24T18:12:00Z", "local": "2026-11-24T19:12:00+01:00", "event": "opened", "user": "anne", '
        b'"uid": 1021, "vm": "books", "grants": ["a", "b"], "v": 1, "after": "0000000000000000"}\n'
    )


@given(user=TEXT, why=TEXT, names=st.lists(TEXT, max_size=60))
def test_whatever_a_text_holds(user, why, names):
    """One line of ASCII, which comes back, clean for terminals and short; the journal's fields are one line each."""
    what = refusal(user=user, why=why, grants=names)
    (line,) = lines(what)
    assert line.count(b"\n") == 1 and line.isascii()
    (found,) = events.read([line]).events
    assert found == what
    assert all(text.isprintable() and len(text) <= 400 for text in (found["user"], found["why"], *found["grants"]))
    sent = events.datagram(events.journal_fields(what)).decode()
    assert all(
        field.startswith(("MESSAGE", "PRIORITY=", "SYSLOG_IDENTIFIER=", "SPICE_")) for field in sent.splitlines()
    )


def test_since():
    found = lines(refusal(NOW - 10), refusal(NOW), refusal(NOW + 10))
    assert [event["at"] for event in events.read(found, NOW).events] == ["2026-11-24T18:12:00Z", "2026-11-24T18:12:10Z"]


@pytest.mark.parametrize(
    ("harm", "complaints"),
    [
        (lambda found: found, []),
        (lambda found: found[:1] + found[2:], ["before 1 line(s) something was changed or taken out"]),
        (
            lambda found: [found[0].replace(b"anne", b"ben_"), *found[1:]],
            ["before 1 line(s) something was changed or taken out"],
        ),
        (lambda found: [found[1], found[0], *found[2:]], ["before 2 line(s) something was changed or taken out"]),
        (lambda found: [*found[:2], found[2][:40]], ["1 line(s) are damaged"]),
        (lambda found: [*found, b"\0" * 70 + b"\n"], ["1 line(s) are damaged"]),
        (lambda found: [*found, b"[" * 100000 + b"\n"], ["1 line(s) are damaged"]),
        (
            lambda found: [*found, events.line(refusal(), events.digest(found[-1])).replace(b'"v": 1', b'"v": 2')],
            ["1 line(s) are of a newer version: there may be more in them than is said here"],
        ),
    ],
)
def test_what_somebody_did_to_it(harm, complaints):
    found = harm(lines(*(refusal(NOW + n, uid=n) for n in range(4))))
    read = events.read(found, place="FILE")
    assert read.complaints == [f"FILE: {each}" for each in complaints]
    assert len(read.events) >= 3 or complaints[:1] == ["1 line(s) are damaged"]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_anything_else(found):
    read = events.read([each + b"\n" for each in found])
    assert all({"at", "event"} <= set(event) for event in read.events)


def test_each_kind_has_an_id_of_its_own():
    assert len(set(events.KINDS.values())) == len(events.KINDS)
    assert all(len(bytes.fromhex(each)) == 16 for each in events.KINDS.values())


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (events.event(events.LAUNCH, NOW, None, user="anne", vm="books"), "anne opens books"),
        (events.event(events.OPENED, NOW, None, user="anne", vm="books"), "anne is in books"),
        (events.event(events.ENDED, NOW, None, uid=7, vm="books", why="so"), "UID 7 is out of books: so"),
        (refusal(why="so"), "books was refused to anne by guard: so"),
        (events.event(events.LOCK, NOW, None, what="user anne is locked"), "user anne is locked"),
    ],
)
def test_words(what, words):
    assert events.words(what) == words
    assert dict(events.journal_fields(what))["MESSAGE"] == words


def test_lists_and_numbers_in_the_journal():
    fields = [*events.journal_fields(events.event(events.OPENED, NOW, None, uid=7, grants=["a", "b"]))]
    assert ("SPICE_UID", "7") in fields
    assert [value for name, value in fields if name == "SPICE_GRANTS"] == ["a", "b"]
