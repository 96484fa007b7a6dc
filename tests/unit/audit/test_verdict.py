"""What was tried as the users themselves, judged against the policy: the whole truth tables."""

import itertools

import pytest

from spicegrants.audit import verdict
from spicegrants.audit.verdict import DENIED, NOT_STOPPED, OPEN, UNREACHABLE, Attempt
from spicegrants.firewall.trace.tracer import Cause, Obstacle

OUTCOMES = ("connected", "refused", "unanswered", "no route")
HERE, THERE = "192.168.2.2", "2001:db8::2"
CALL = "-g spicegrp /usr/bin/remote-viewer -- /etc/spice-grant/vms/debianx.vv"


@pytest.mark.parametrize(
    ("outcome", "by_guard", "word"),
    [
        ("connected", False, OPEN),
        ("connected", True, OPEN),
        ("refused", True, DENIED),
        ("unanswered", True, DENIED),
        ("no route", True, DENIED),
        ("refused", False, UNREACHABLE),
        ("unanswered", False, UNREACHABLE),
        ("no route", False, UNREACHABLE),
    ],
)
def test_connection(outcome, by_guard, word):
    """A server that is down is never taken for a denial."""
    assert verdict.connection(outcome, by_guard) == word


def attempt(**changes):
    """A user without a grant, as it must be: refused everywhere."""
    refused = {HERE: ("refused", True)}
    return Attempt(**{"viewer_group": refused, "own_group": refused, "calls": {CALL: False}, **changes})


def granted(**changes):
    """A user with a grant, as it must be."""
    return attempt(**{"viewer_group": {HERE: ("connected", False)}, "calls": {CALL: True}, **changes})


def test_cells_as_they_must_be():
    assert verdict.cell(True, granted(mutants={"end cut off": False})) == {
        "granted": True,
        "viewer group": OPEN,
        "own program": DENIED,
        "sudo": "allowed",
        "differences": [],
        "unproven": [],
    }
    assert verdict.cell(False, attempt()) == {
        "granted": False,
        "viewer group": DENIED,
        "own program": DENIED,
        "sudo": "refused",
        "differences": [],
        "unproven": [],
    }


@pytest.mark.parametrize(
    ("may", "outcome", "by_guard", "word", "differs"),
    [
        (True, "connected", False, OPEN, False),
        (True, "refused", True, DENIED, True),
        (True, "unanswered", True, DENIED, True),
        (True, "refused", False, UNREACHABLE, False),
        (True, "unanswered", False, UNREACHABLE, False),
        (True, "no route", False, UNREACHABLE, False),
        (False, "connected", False, OPEN, True),
        (False, "connected", True, OPEN, True),
        (False, "refused", True, DENIED, False),
        (False, "unanswered", True, DENIED, False),
        (False, "refused", False, NOT_STOPPED, True),
        (False, "unanswered", False, NOT_STOPPED, True),
        (False, "no route", False, UNREACHABLE, False),
        (False, "no route", True, DENIED, False),
    ],
)
def test_with_the_viewers_group(may, outcome, by_guard, word, differs):
    """Of one without a grant the guard must say that it was the guard, unless no packet left at all."""
    ends = {HERE: (outcome, by_guard)}
    cell = verdict.cell(may, granted(viewer_group=ends) if may else attempt(viewer_group=ends))
    assert cell["viewer group"] == word
    assert cell["differences"] == ([f"{HERE} is {word} with the viewer's group"] if differs else [])


@pytest.mark.parametrize("may", [True, False])
@pytest.mark.parametrize(("outcome", "by_guard"), [*itertools.product(OUTCOMES, (True, False))])
def test_with_another_program(may, outcome, by_guard):
    """Grant or not: a program without the viewer's group must be stopped."""
    ends = {HERE: (outcome, by_guard)}
    cell = verdict.cell(may, granted(own_group=ends) if may else attempt(own_group=ends))
    if outcome == "connected":
        word, differs = OPEN, True
    elif by_guard:
        word, differs = DENIED, False
    elif outcome == "no route":
        word, differs = UNREACHABLE, False
    else:
        word, differs = NOT_STOPPED, True
    assert cell["own program"] == word
    assert cell["differences"] == ([f"{HERE} is {word} with a program of their own"] if differs else [])


def test_what_others_have_in_the_way():
    """A granted user is unreachable, and whoever reads it learns where to look."""
    policy = Obstacle("ip filter", "OUTPUT", True, (Cause("OUTPUT", "policy", "drop"),))
    ends = {HERE: ("unanswered", False)}
    cell = verdict.cell(True, granted(viewer_group=ends, obstacles={HERE: (policy,)}))
    assert cell["viewer group"] == UNREACHABLE
    obstacle = f"{HERE} is unreachable with the viewer's group: chain ip filter OUTPUT (policy drop) drops it"
    assert cell["differences"] == [obstacle]


UP, DOWN, REFUSED, AWAY = ("connected", False), ("refused", False), ("refused", True), ("no route", False)


@pytest.mark.parametrize(
    ("may", "one", "other", "word", "count"),
    [
        (True, UP, UP, OPEN, 0),
        (True, UP, DOWN, UNREACHABLE, 0),
        (True, UP, REFUSED, DENIED, 1),
        (True, DOWN, REFUSED, DENIED, 1),
        (False, REFUSED, REFUSED, DENIED, 0),
        (False, REFUSED, UP, OPEN, 1),
        (False, REFUSED, DOWN, NOT_STOPPED, 1),
        (False, UP, DOWN, OPEN, 2),
        (False, REFUSED, AWAY, UNREACHABLE, 0),
    ],
)
def test_of_several_addresses_the_worst_decides(may, one, other, word, count):
    for ends in ({HERE: one, THERE: other}, {HERE: other, THERE: one}):
        cell = verdict.cell(may, granted(viewer_group=ends) if may else attempt(viewer_group=ends))
        assert cell["viewer group"] == word and len(cell["differences"]) == count


def test_without_any_address_there_is_nothing_to_reach():
    cell = verdict.cell(True, granted(viewer_group={}, own_group={}))
    assert (cell["viewer group"], cell["own program"], cell["differences"]) == (UNREACHABLE, UNREACHABLE, [])


@pytest.mark.parametrize(
    ("may", "calls", "word", "differences"),
    [
        (True, {"a": True, "b": True}, "allowed", []),
        (True, {"a": True, "b": False}, "refused", ["sudo refuses: sudo b"]),
        (True, {"a": False, "b": False}, "refused", ["sudo refuses: sudo a", "sudo refuses: sudo b"]),
        (False, {"a": False, "b": False}, "refused", []),
        (False, {"b": True, "a": False}, "refused", ["sudo lets: sudo b"]),
        (False, {"b": True, "a": True}, "allowed", ["sudo lets: sudo a", "sudo lets: sudo b"]),
        (True, {}, "refused", []),
    ],
)
def test_calls(may, calls, word, differences):
    cell = verdict.cell(may, granted(calls=calls) if may else attempt(calls=calls))
    assert (cell["sudo"], cell["differences"]) == (word, differences)


def test_a_mutant_that_sudo_lets_through():
    cell = verdict.cell(True, granted(mutants={"end cut off": False, "? replaced": True}))
    assert cell["differences"] == ["sudo lets a call that is not granted: ? replaced"]


@pytest.mark.parametrize("may", [True, False])
def test_a_viewer_that_starts_without_sudo(may):
    made = granted if may else attempt
    cell = verdict.cell(may, made(starts=("/usr/bin/remote-viewer",)))
    assert cell["differences"] == ["starts /usr/bin/remote-viewer without sudo"]


def test_matrix():
    good, bad = verdict.cell(True, granted()), verdict.cell(False, attempt(own_group={HERE: UP}))
    found = verdict.matrix([("ann", "debianx", good), ("ann", "books", bad), ("bob", "books", good)])
    assert found["ok"] is False
    assert found["differences"] == [f"ann x books: {HERE} is open with a program of their own"]
    assert {user: list(row) for user, row in found["matrix"].items()} == {"ann": ["debianx", "books"], "bob": ["books"]}
    assert found["matrix"]["ann"]["books"] == {
        "granted": False,
        "viewer group": DENIED,
        "own program": OPEN,
        "sudo": "refused",
    }


def test_a_matrix_without_differences_is_ok():
    assert verdict.matrix([("ann", "debianx", verdict.cell(True, granted()))])["ok"] is True
    assert verdict.matrix([]) == {"ok": True, "differences": [], "unproven": [], "matrix": {}}


def test_what_sudo_was_not_asked_is_no_refusal():
    cell = verdict.cell(True, granted(calls=None))
    assert (cell["sudo"], cell["differences"], cell["unproven"]) == ("not asked", [], [])
