"""What is reported of who may open what, and when."""

import pytest

from spicegrants.audit import access_report
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import day_of
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.schedule import instants
from unit.build import article, changed, inventory

ZONE = "Europe/Berlin"
WORK = {"days": "mon-fri", "hours": ["08:00-12:00", "13:00-17:00"]}
TIMED = changed(
    article(),
    schedules={"work": WORK},
    time={"zone": ZONE},
    **{
        "grants__myself-debianx__schedule": "work",
        "grants__myself-debianx__owner": "the boss",
        "grants__myself-debianx__ticket": "T-1",
        "grants__myself-debianx__contact": "Anne",
    },
)
ABOUT = {"owner": "the boss", "ticket": "T-1", "contact": "Anne"}
# A Monday.
MONDAY = instants.parse_moment("2026-11-23T06:00", ZONE)


def desired(data=TIMED, loans=(), locks=(), now=MONDAY):
    temporary = Temporary(tuple(loans), tuple(locks))
    return compile_policy(pillar.parse_policy(data), inventory(), temporary=temporary, now=now, day=day_of(now))


def entry(made, at, user="myself", vm="debianx"):
    (found,) = [one for one in access_report.entries(made, at) if (one["user"], one["vm"]) == (user, vm)]
    return found


@pytest.mark.parametrize(
    "at, is_open, state",
    [
        ("2026-11-23T07:59", False, "closed; opens Mon 2026-11-23 08:00 Europe/Berlin"),
        ("2026-11-23T08:00", True, "open until Mon 2026-11-23 12:00 Europe/Berlin"),
        ("2026-11-23T12:00", False, "closed; opens Mon 2026-11-23 13:00 Europe/Berlin"),
        ("2026-11-27T17:00", False, "closed; opens Mon 2026-11-30 08:00 Europe/Berlin"),
    ],
)
def test_an_entry_says_what_holds_and_what_changes_next(at, is_open, state):
    found = entry(desired(), instants.parse_moment(at, ZONE))
    assert (found["open"], found["state"]) == (is_open, state)
    assert found["grants"] == {"myself-debianx": {"when": "by schedule work", **ABOUT}}


def test_what_never_closes_has_no_next_change():
    """Though the rules for it are made for some weeks only."""
    made = desired(changed(TIMED, schedules__work={"days": "mon-sun", "hours": "00:00-24:00"}))
    assert entry(made, MONDAY)["state"] == "open"


def test_a_loan_is_told_from_a_grant():
    loan = Loan("myself", "debianx", MONDAY, MONDAY + 7200, "year-end")
    found = entry(desired(loans=[loan]), MONDAY)
    assert found["state"] == "open until Mon 2026-11-23 12:00 Europe/Berlin"
    assert found["grants"]["loan:myself:debianx"] == {
        "when": "from Mon 2026-11-23 06:00 Europe/Berlin until Mon 2026-11-23 08:00 Europe/Berlin",
        "loan": True,
        "reason": "year-end",
    }


def test_what_is_locked_is_listed_as_locked():
    found = entry(desired(locks=[Lock("user", "myself", "gone")]), instants.parse_moment("2026-11-23T09:00", ZONE))
    assert (found["open"], found["state"]) == (False, "locked: user myself (gone)")


def test_loans_and_locks_are_listed_apart():
    loans = [Loan("guest", "debianx", MONDAY, MONDAY + 5400, "year-end"), Loan("guest", "leaptest", 0, MONDAY)]
    made = desired(loans=loans, locks=[Lock("vm", "debianx", None, MONDAY)])
    assert access_report.loans(made.temporary, "Europe/Berlin", MONDAY) == [
        {
            "user": "guest",
            "vm": "debianx",
            "from": "Mon 2026-11-23 06:00 Europe/Berlin",
            "until": "Mon 2026-11-23 07:30 Europe/Berlin",
            "left": "1h30m",
            "locked": True,
            "reason": "year-end",
        }
    ]
    assert access_report.locks(made.temporary, "Europe/Berlin") == [
        {"about": "vm debianx", "since": "Mon 2026-11-23 06:00 Europe/Berlin"}
    ]


def rows(made, user="myself", days=1, start=MONDAY):
    return [
        (row["vm"], row["from"][4:20], row["until"][4:20], list(row["grants"]))
        for row in access_report.timeline(made, user, start, days)
    ]


def test_a_timeline_has_a_row_for_each_window():
    assert rows(desired(), days=2) == [
        ("debianx", "2026-11-23 08:00", "2026-11-23 12:00", ["myself-debianx"]),
        ("debianx", "2026-11-23 13:00", "2026-11-23 17:00", ["myself-debianx"]),
        ("debianx", "2026-11-24 08:00", "2026-11-24 12:00", ["myself-debianx"]),
        ("debianx", "2026-11-24 13:00", "2026-11-24 17:00", ["myself-debianx"]),
    ]


def test_a_timeline_names_the_grants_of_each_stretch():
    """A loan that overlaps a window: alone before it, both within, the grant alone after."""
    loan = Loan("myself", "debianx", MONDAY, MONDAY + 3 * 3600)
    assert rows(desired(loans=[loan]))[:3] == [
        ("debianx", "2026-11-23 06:00", "2026-11-23 08:00", ["loan:myself:debianx"]),
        ("debianx", "2026-11-23 08:00", "2026-11-23 09:00", ["loan:myself:debianx", "myself-debianx"]),
        ("debianx", "2026-11-23 09:00", "2026-11-23 12:00", ["myself-debianx"]),
    ]


def test_a_timeline_says_what_is_said_of_its_grants():
    first, *_ = access_report.timeline(desired(), "myself", MONDAY, 1)
    assert first["grants"] == {"myself-debianx": {"when": "by schedule work", **ABOUT}}


def test_a_timeline_of_what_is_always_open_is_one_row():
    assert rows(desired(article()), start=instants.parse_moment("2026-11-23", "UTC")) == [
        ("debianx", "2026-11-23 00:00", "2026-11-24 00:00", ["myself-debianx"])
    ]


def test_a_timeline_of_everybody_names_each():
    found = access_report.timeline(desired(), None, MONDAY, 1)
    assert {(row["user"], row["vm"]) for row in found} == {("myself", "debianx"), ("mybro", "leaptest")}


def test_a_timeline_goes_beyond_what_rules_are_made_for():
    made = desired(changed(TIMED, time={"zone": ZONE, "horizon": "2d"}))
    assert len(rows(made, days=7)) == 10


def test_a_timeline_has_nothing_of_others_or_of_what_is_locked():
    assert rows(desired(), user="guest", days=7) == []
    assert rows(desired(locks=[Lock("all")]), days=7) == []
