"""The first words of SPICE's protocol, as spice-server 0.15 takes and gives them; and what a trial's outcomes mean."""

import struct

import pytest

from spicegrants.hypervisor import spice_link, trial
from spicegrants.hypervisor.trial import AGAIN, DEFINED, ELSEWHERE, GUESSED, TICKET, WITHOUT

GOOD = {
    WITHOUT: "refused",
    ELSEWHERE: "refused",
    GUESSED: "denied",
    DEFINED: "denied",
    TICKET: "open",
    AGAIN: "refused",
}


def test_the_first_message():
    """As a viewer begins: magic, version, size; then no session, the main channel, and that a ticket follows."""
    assert spice_link.hello() == bytes.fromhex(
        "5245445102000000020000001600000000000000010001000000000000001200000003000000"
    )


def test_a_reply():
    """An error, the key, and capabilities behind it."""
    body = struct.pack("<I", 0) + b"k" * 162 + struct.pack("<IIII", 1, 0, 178, 11)
    header = struct.pack("<4sIII", b"REDQ", 2, 2, len(body))
    assert spice_link.length(header) == len(body) and len(header) == spice_link.HEADER
    assert spice_link.public_key(body) == b"k" * 162


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<4sIII", b"HTTP", 2, 2, 200),
        struct.pack("<4sIII", b"REDQ", 1, 0, 200),
        struct.pack("<4sIII", b"REDQ", 2, 2, 165),
        struct.pack("<4sIII", b"REDQ", 2, 2, 1 << 31),
    ],
)
def test_what_is_no_reply(header):
    with pytest.raises(ValueError, match="does not speak SPICE"):
        spice_link.length(header)


def test_a_ticket_and_what_follows():
    assert spice_link.ticket(b"secret") == b"\1\0\0\0secret"
    answers = {number: spice_link.outcome(struct.pack("<I", number)) for number in (0, 7, 3)}
    assert answers == {0: "open", 7: "denied", 3: "error 3"}


def test_nothing_differs():
    assert trial.differences("books", GOOD) == trial.differences("books", {}) == []
    assert trial.differences("books", {WITHOUT: "refused"}) == []


@pytest.mark.parametrize("way", GOOD)
@pytest.mark.parametrize("outcome", ["open", "denied", "refused", "it hung up"])
def test_what_differs_is_named(way, outcome):
    found = trial.differences("books", {**GOOD, way: outcome})
    expected = [] if outcome == GOOD[way] else [f"books: {way}: {outcome}, and should be {GOOD[way]}"]
    assert found == expected


@pytest.mark.parametrize(
    ("differences", "proven", "ok"), [([], 1, True), ([], 0, None), (["x"], 0, False), (["x"], 2, False)]
)
def test_a_verdict(differences, proven, ok):
    assert trial.verdict(differences, proven) is ok
