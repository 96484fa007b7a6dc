"""The question whether there would be a ticket: as it goes over the wire, and as desks show it."""

import io
import json
import sys

import pytest

from spicegrants.audit import explain, verdict
from spicegrants.audit.verdict import GRANTED, NO_ANSWER, NOBODY, REFUSED, HostAnswer
from spicegrants.hypervisor.live import asker
from spicegrants.policy import ticket_protocol
from spicegrants.policy.ticket_protocol import Answer
from unit.audit.test_verdict import attempt
from unit.audit.test_verdict import granted as granted_attempt

TICKET = "x" * 40


def test_it_is_answered_without_a_ticket():
    found = Answer(granted=True, until=1795543920)
    assert json.loads(ticket_protocol.spelled(found)) == {"granted": True, "until": 1795543920}
    assert ticket_protocol.answer(ticket_protocol.spelled(found)) == found


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"granted": False},
        {"granted": 1},
        {"granted": "yes"},
        {"granted": True, "ticket": TICKET},
        {"granted": True, "refusal": "locked"},
        {"ticket": TICKET, "refusal": "locked"},
        {"refusal": "granted"},
    ],
)
def test_what_is_no_answer_or_two_is_none(document):
    assert ticket_protocol.answer(json.dumps(document)) is None


@pytest.mark.parametrize("word", ["opne", "ask anne", "open\n", "\x00", "OPEN", "x" * 1000])
def test_a_word_that_is_not_known_asks_for_nothing(monkeypatch, word):
    """It could be a later version's question, and a ticket the answer of this one."""
    monkeypatch.setattr(sys, "argv", ["ask-ticket", "desk-1"])
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", word.replace("\x00", "%00"))
    monkeypatch.setattr(asker, "_line", lambda *_: pytest.fail("it has read a question"))
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    assert asker.main() == 0
    assert ticket_protocol.answer(said.getvalue()).refusal == ticket_protocol.FAILED


YES, NO = HostAnswer(GRANTED, "kvm1 would give a ticket"), HostAnswer(REFUSED, "kvm1: it is locked")
UNKNOWN = HostAnswer(NO_ANSWER, "the KVM host kvm1 cannot be asked: no route")
SHUT = {"192.168.2.2": ("refused", False)}


def cell(host, **changes):
    return verdict.cell(True, granted_attempt(**{"viewer_group": SHUT, **changes}), host=host)


def test_a_port_that_is_shut_without_a_ticket_is_as_it_must_be():
    found = cell(YES)
    assert (found["viewer group"], found["host"]) == (verdict.NEEDS_TICKET, GRANTED)
    assert found["differences"] == found["unproven"] == []
    result = verdict.matrix([("anne", "books", found)])
    assert (result["ok"], result["unproven"]) == (True, [])


def test_a_port_that_is_open_without_a_ticket_differs():
    (difference,) = cell(YES, viewer_group={"192.168.2.2": ("connected", False)})["differences"]
    assert difference == "the KVM host's port is open without a ticket"


def test_a_guard_that_refuses_a_granted_user_still_differs():
    assert cell(YES, viewer_group={"192.168.2.2": ("refused", True)})["differences"]


def test_a_host_that_refuses_a_granted_user_differs():
    assert cell(NO)["differences"] == ["the KVM host gives no ticket: kvm1: it is locked"]


def test_a_host_that_cannot_be_asked_proves_nothing():
    found = cell(UNKNOWN)
    assert (found["differences"], found["unproven"]) == ([], [UNKNOWN.why])
    assert verdict.matrix([("anne", "books", found)])["ok"] is None


def test_a_host_that_was_not_asked_about_this_one_proves_nothing_and_hinders_nothing():
    assert verdict.matrix([("anne", "books", cell(NOBODY)), ("ben", "web", cell(YES))])["ok"] is True


def test_of_whom_nothing_is_granted_the_host_has_no_say():
    """The guard refuses them, as without tickets; the host's word would be no proof."""
    assert verdict.cell(False, attempt(), host=NOBODY) == verdict.cell(False, attempt())


ANSWERS = {
    "policy": {"answer": "granted"},
    "firewall": {"answer": "open"},
    "routing": {"answer": "off"},
    "sudo": {"answer": "allowed"},
    "viewer": {"answer": "only through sudo"},
}
CLOSED = {
    **ANSWERS,
    "policy": {"answer": "not granted"},
    "firewall": {"answer": "closed"},
    "sudo": {"answer": "refused"},
}


@pytest.mark.parametrize(
    ("answers", "host", "summary"),
    [
        (ANSWERS, YES, "may open"),
        (ANSWERS, NO, "may not open"),
        (ANSWERS, UNKNOWN, "in doubt"),
        (ANSWERS, None, "may open"),
        (CLOSED, YES, "may not open"),
        (CLOSED, UNKNOWN, "may not open"),
        ({**ANSWERS, "firewall": {"answer": "blocked"}}, YES, "blocked"),
        ({**ANSWERS, "sudo": {"answer": "refused"}}, YES, "in doubt"),
    ],
)
def test_both_have_to_say_yes(answers, host, summary):
    assert explain.summary({**answers, "host": explain.host("kvm1", host)}) == summary


def test_of_another_moment_the_host_is_not_asked():
    assert explain.host("kvm1", None) == {"answer": "not asked", "why": "kvm1 is asked when the console is opened"}
