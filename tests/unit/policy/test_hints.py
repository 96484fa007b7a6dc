"""What is said of times in which nothing opens, though nothing is wrong."""

import pytest

from spicegrants.policy import decision
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.hints import notes
from unit.build import inventory, policy

NOW = 1795482000  # Tue 2026-11-24 01:00 UTC
EVENINGS = {"days": "mon-fri", "hours": "18:00-22:00", "zone": "Europe/Berlin"}


def texts(now=NOW, day=..., **changes):
    day = decision.day_of(now) if day is ... else day
    return notes(compile_policy(policy(**changes), inventory(), now=now, day=day))


def test_nothing_is_said_of_what_opens():
    assert texts() == texts(schedules={"evenings": EVENINGS}, **{"grants__myself-debianx__schedule": "evenings"}) == []


def test_a_schedule_in_use_that_does_not_open_within_the_horizon():
    never = {**EVENINGS, "except": ["2026-01-01/2027-12-31"]}
    changes = {"schedules": {"never": never, "unused": never}, "grants__myself-debianx__schedule": "never"}
    assert texts(**changes) == ["schedule never does not open within the next 30 days"]
    assert texts(**changes, time={"horizon": "14d"}) == ["schedule never does not open within the next 14 days"]
    assert texts(**changes, time={"horizon": "366d"}) == ["schedule never does not open within the next 366 days"]
    never["except"] = ["2026-01-01/2026-12-20"]
    assert texts(**changes) == []
    assert texts(**changes, time={"horizon": "14d"}) == ["schedule never does not open within the next 14 days"]


def test_a_schedule_whose_hours_do_not_exist_on_its_only_day():
    """02:00 to 03:00 are skipped in Berlin on 2027-03-28."""
    skipped = {**EVENINGS, "days": "sun", "hours": "02:00-03:00", "except": ["2026-01-01/2027-03-27"]}
    changes = {
        "schedules": {"nights": skipped},
        "grants__myself-debianx__schedule": "nights",
        "time": {"horizon": "7d"},
    }
    assert texts(now=1805932800, **changes) == ["schedule nights does not open within the next 7 days"]


@pytest.mark.parametrize(
    ("zones", "shown"),
    [
        ({"time": {"zone": "America/New_York"}}, "Wed 2026-11-18 12:00 America/New_York"),
        ({"grants__myself-debianx__schedule": "evenings"}, "Wed 2026-11-18 18:00 Europe/Berlin"),
        ({}, "Wed 2026-11-18 17:00 UTC"),
    ],
)
def test_a_grant_that_has_ended(zones, shown):
    changes = {"schedules": {"evenings": EVENINGS}, "grants__myself-debianx__valid_until": "2026-11-18T18:00+01:00"}
    assert texts(**changes, **zones) == [f"grant myself-debianx ended {shown}"]
    assert texts(now=1795021199, **changes, **zones) == []
    assert texts(now=1795021200, **changes, **zones) == [f"grant myself-debianx ended {shown}"]


def test_schedules_of_grants_that_have_ended_are_not_named():
    never = {**EVENINGS, "except": ["2026-01-01/2027-12-31"]}
    changes = {"schedules": {"never": never}, "grants__myself-debianx__schedule": "never"}
    changes["grants__myself-debianx__valid_until"] = "2026-11-18T18:00+01:00"
    assert texts(**changes) == ["grant myself-debianx ended Wed 2026-11-18 18:00 Europe/Berlin"]


def test_nothing_is_said_by_a_clock_that_was_never_set():
    assert texts(1000, None, **{"grants__myself-debianx__valid_until": "2026-11-18T18:00+01:00"}) == []
