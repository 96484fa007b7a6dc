"""Why the firewall lets a user pass, or not, at a moment: by the ranges that the kernel really holds."""

import pytest

from spicegrants.audit import explain
from spicegrants.firewall import guard, owner_rules
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.trace.tracer import Cause, Obstacle
from spicegrants.policy.access import Times
from spicegrants.schedule.intervals import ALWAYS, FIRST, LAST, NEVER
from unit.timed import MONDAY, evenings, timed

V4, V6 = "192.168.2.2", "2001:db8::2"
ELEMENTS = f"element(s) for UID 1021 with GID 995 (spicegrp) to {V4}, {V6} port 20002"
CHAIN = "which lead to chain schedule_evenings"
OPEN, AFTER = MONDAY + 60, MONDAY + 4 * 3600


def listing(times, verdict="schedule_evenings", addresses=(V4, V6)):
    elements = {Key(1021, 995, address, 20002): Element(verdict, "debianx") for address in addresses}
    return owner_rules.ours(elements, {verdict: times} if guard.is_timed(verdict) else {})


def answer(rules, moment=None, drift=None, obstacles=None, compiled=None):
    return explain.firewall(compiled or timed(), "myself", "debianx", rules, drift or {}, obstacles or {}, moment)


def test_within_a_window():
    assert answer(listing(Times(evenings(0, 1))), OPEN) == {
        "answer": "open",
        "why": f"{ELEMENTS}, {CHAIN}: open until Mon 2026-11-23 22:00 Europe/Berlin",
    }


def test_between_two_windows():
    assert answer(listing(Times(evenings(0, 1))), AFTER) == {
        "answer": "closed",
        "why": f"{ELEMENTS}, {CHAIN}: closed at Mon 2026-11-23 22:00 Europe/Berlin, "
        "opens Tue 2026-11-24 18:00 Europe/Berlin",
    }


def test_after_the_last_window():
    assert answer(listing(Times(evenings(0))), AFTER)["why"].endswith("opens no more, as far as that is worked out")


@pytest.mark.parametrize(("moment", "expected"), [(MONDAY - 1, "closed"), (MONDAY, "open"), (AFTER - 1, "open")])
def test_at_the_edges(moment, expected):
    assert answer(listing(Times(evenings(0))), moment)["answer"] == expected


def test_the_moment_is_that_of_the_policy_unless_one_is_given():
    rules = listing(Times(evenings(0)))
    assert answer(rules, compiled=timed(now=OPEN))["answer"] == "open"
    assert answer(rules, compiled=timed(now=AFTER))["answer"] == "closed"


def test_the_live_ranges_count_whatever_the_policy_says():
    assert answer(listing(Times(evenings(3))), OPEN)["answer"] == "closed"
    assert answer(listing(Times(((FIRST, LAST),))), AFTER)["answer"] == "open"


def test_an_end_that_is_none_is_not_named():
    assert answer(listing(Times(((MONDAY, LAST),))), OPEN)["why"] == f"{ELEMENTS}, {CHAIN}: open"


def test_a_chain_that_cannot_be_read_is_in_doubt_and_opens_nothing():
    drift = {"layers": {"firewall": ["restores chain schedule_evenings, whose rules were altered"]}}
    assert answer(listing(None), OPEN, drift)["answer"] == "in doubt"
    assert answer(listing(None), OPEN)["answer"] == "closed"


def test_what_is_open_may_go_on_in_its_grace():
    graceful = Times(evenings(0), evenings(0, longer=1800))
    why = f"sessions that are open to {V4}, {V6} may go on, no new ones"
    assert answer(listing(graceful), AFTER + 60) == {"answer": "closed", "why": why}
    assert "may go on" not in answer(listing(graceful), AFTER + 1800)["why"]
    assert answer(listing(graceful), OPEN)["answer"] == "open"
    assert answer(listing(Times(NEVER, ALWAYS), "draining_1"), AFTER) == {"answer": "closed", "why": why}


def test_one_address_of_two_is_in_doubt():
    rules = listing(Times(evenings(0)), addresses=(V4,)) + listing(Times(evenings(1)), "schedule_other", (V6,))
    found = answer(rules, OPEN)
    assert found["answer"] == "in doubt"
    assert f"to {V6} port 20002, which lead to chain schedule_other: closed at" in found["why"]


def test_chains_of_others_are_named_within_a_window():
    obstacle = Obstacle("inet site", "output", True, (Cause("output", "policy", "drop"),))
    found = answer(listing(Times(evenings(0))), OPEN, obstacles={V4: (obstacle,), V6: (obstacle,)})
    assert found["answer"] == "blocked" and "open until" in found["why"]


def test_without_times_nothing_is_said_of_them():
    assert answer(listing(None, "accept"), OPEN) == {"answer": "open", "why": ELEMENTS}


def test_the_zone_of_the_schedule_where_there_is_no_other():
    zoned = {"evenings": {"days": ["mon-fri"], "hours": ["18:00-22:00"], "zone": "Asia/Kolkata"}}
    compiled = timed({"time": {"horizon": "2d"}, "schedules": zoned})
    assert "22:30 Asia/Kolkata" in answer(listing(Times(evenings(0))), MONDAY - 1, compiled=compiled)["why"]
