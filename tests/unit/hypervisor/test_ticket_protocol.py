"""What desks and hosts say to each other: whatever bytes come, only two names or one good answer comes out of them."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core import validation
from spicegrants.hypervisor.live import tickets
from spicegrants.policy import ticket_protocol
from spicegrants.policy.ticket_protocol import LONGEST_ANSWER, LONGEST_QUESTION, REFUSALS, Answer, Question
from unit.strategies import accounts, hostile, junk, lines, names

TICKET = "a" * 20 + "-" * 11 + "_" + "Z9" * 5
REFUSED = {"refusal": "in_use", "user": "ben", "since": 1795482000}

# Questions


@given(accounts, names)
def test_a_question(user, vm):
    line = f"{user} {vm}\n".encode()
    assert ticket_protocol.question(line) == Question(user, vm)
    assert len(line) <= LONGEST_QUESTION


@given(st.one_of(st.binary(max_size=40), hostile.map(lambda text: text.encode(errors="surrogatepass"))))
def test_nothing_but_two_names_comes_out_of_any_bytes(line):
    found = ticket_protocol.question(line)
    if found is not None:
        assert (validation.account_name(found.user), validation.object_name(found.vm)) == (None, None)
        assert " ".join(found).isascii() and len(" ".join(found).split()) == 2


@given(accounts, names, hostile)
def test_nothing_is_left_of_what_stands_beside_names(user, vm, more):
    for line in (f"{user}{more} {vm}", f"{user} {vm}{more}", f"{more}{user} {vm}", f"{user} {more} {vm}"):
        found = ticket_protocol.question(line.encode(errors="surrogatepass"))
        if found is not None:
            assert (validation.account_name(found.user), validation.object_name(found.vm)) == (None, None)
            assert set(found) <= set(line.split())


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"anne", b"anne books more", b"anne;id books", b"anne $(id)", b"anne ../books", b"-o books"),
        *(
            b"anne -books",
            b"anne books/..",
            b"0 books",
            b"anne\0 books",
            b"anne 'books'",
            b"ANNE books",
            b"ann\xc3\xa9 b",
        ),
        *(b"anne books\nben books", b"a" * 64 + b" books", b"anne " + b"b" * 64, b"\xff\xfe", b"anne bo\x1b[2Joks"),
    ],
)
def test_no_question(line):
    assert ticket_protocol.question(line) is None


# Answers

MOMENTS = st.none() | st.integers(0, 2**32)
LETTERS = string.ascii_letters + string.digits + "-_"
TICKETS = st.builds(
    lambda ticket, end: Answer(ticket=ticket, until=end), st.text(LETTERS, min_size=32, max_size=60), MOMENTS
)
TEXTS = st.none() | lines.map(lambda line: line[:300].strip())
REFUSED_ANY = st.builds(
    lambda refusal, until, user, since, why: Answer(None, refusal, until, user, since, why),
    st.sampled_from(REFUSALS),
    MOMENTS,
    st.none() | accounts,
    MOMENTS,
    TEXTS,
)


@given(TICKETS | REFUSED_ANY)
def test_an_answer_and_back(answer):
    line = ticket_protocol.spelled(answer)
    assert ticket_protocol.answer(line) == answer
    assert line.isascii() and line.endswith("\n") and line.count("\n") == 1 and len(line) <= LONGEST_ANSWER


def test_a_ticket_as_the_host_makes_it():
    made = tickets.new_secret()
    assert ticket_protocol.answer(ticket_protocol.spelled(Answer(ticket=made))).ticket == made != tickets.new_secret()
    assert validation.password(made) is None, "libvirt takes no longer one"


@given(st.sampled_from(REFUSALS), st.one_of(hostile, st.text()), st.sampled_from([1, 5000]))
def test_details_are_harmless_however_long_and_odd_they_are(refusal, why, times):
    """They may hold what libvirt or nft has said, or the name that somebody gave a domain."""
    line = ticket_protocol.spelled(Answer(refusal=refusal, why=why * times))
    assert len(line) <= LONGEST_ANSWER
    found = ticket_protocol.answer(line)
    assert found.refusal == refusal and found.why.isprintable()
    assert len(found.why) == min(len(why * times), 300)


def test_details_that_are_as_long_as_they_can_be():
    line = ticket_protocol.spelled(
        Answer(refusal="failed", user="u" * 63, since=2**32, until=2**32, why="\U0001f4a5" * 900)
    )
    assert len(line) <= LONGEST_ANSWER and ticket_protocol.answer(line).why == "\U0001f4a5" * 300


@pytest.mark.parametrize(
    "found",
    [
        {},
        [],
        None,
        "ticket",
        5,
        # Both, neither, another word.
        {"ticket": TICKET, "refusal": "closed"},
        {"ticket": None, "refusal": None},
        {"refusal": "open"},
        {"refusal": ["closed"]},
        {"refusal": True},
        {"refusal": 0},
        {"refusal": {}},
        # Keys that no answer has.
        {"ticket": TICKET, "host": "evil"},
        {"ticket": TICKET, "": None},
        # What would be another line of the connection file, or a password of somebody's own choice.
        {"ticket": ""},
        {"ticket": "short"},
        {"ticket": TICKET + "\nhost=evil"},
        {"ticket": TICKET + "\n"},
        {"ticket": "a" * 61},
        {"ticket": "a" * 31},
        {"ticket": "ä" * 40},
        {"ticket": "a b" * 12},
        {"ticket": "a\\n" * 12},
        {"ticket": [TICKET]},
        {"ticket": {TICKET: 1}},
        {"ticket": 10**40},
        # Texts that are none, or move a terminal's cursor.
        {**REFUSED, "user": 5},
        {**REFUSED, "user": ["ben"]},
        {**REFUSED, "user": "ben\n"},
        {**REFUSED, "user": "\x1b[2J"},
        {**REFUSED, "why": "a\u202eb"},
        {**REFUSED, "why": "\x9b2J"},
        {**REFUSED, "why": "\ud800"},
        {**REFUSED, "why": {}},
        {"ticket": TICKET, "why": "\0"},
        # Moments that are none.
        {**REFUSED, "since": True},
        {**REFUSED, "since": -1},
        {**REFUSED, "since": 1.5},
        {**REFUSED, "since": 1e400},
        {**REFUSED, "since": "5"},
        {**REFUSED, "since": 2**32 + 1},
        {**REFUSED, "until": 10**100},
        {**REFUSED, "until": [5]},
    ],
)
def test_no_answer(found):
    assert ticket_protocol.answer(json.dumps(found)) is None


@pytest.mark.parametrize(
    "line", ["", "\n", "{", "ticket", "[" * 100_000, '{"ticket": ' + "9" * 5000 + "}", "\0", "\ufeff{}"]
)
def test_what_is_no_json_is_no_answer(line):
    assert ticket_protocol.answer(line) is None


@given(st.one_of(junk, st.dictionaries(st.sampled_from([*Answer._fields, "x"]), st.one_of(junk, st.just(TICKET)))))
def test_whatever_a_host_says_an_answer_is_a_good_one(found):
    answer = ticket_protocol.answer(json.dumps(found, default=str, skipkeys=True))
    if answer is not None:
        assert (answer.ticket is None) == (answer.refusal in REFUSALS)
        assert answer.ticket is None or set(answer.ticket) <= set(LETTERS)
        assert all(text is None or text.isprintable() for text in (answer.user, answer.why))
        assert all(moment is None or type(moment) is int for moment in (answer.until, answer.since))


def test_no_ticket_is_shown():
    found = Answer(ticket=TICKET, why="why")
    for shown in (repr(found), str(found), f"{found}", f"{[found]}", f"{found!r:>200}"):
        assert TICKET not in shown
    assert repr(Answer(refusal="closed", why="why")) == "Answer(refusal='closed', why='why')"
