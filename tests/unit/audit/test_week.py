"""What is drawn of a week: rows, bars of each kind, exceptions, and days as a clock on the wall has them."""

import datetime

import pytest

from spicegrants.audit import access_report, week
from spicegrants.audit.week import LOAN, LOCK, WINDOW
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import day_of
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.schedule import instants
from unit.audit.drawn import TEMPORARY, drawn
from unit.build import article, changed, inventory
from unit.policy.test_examples import moment, office

TUESDAY = "2026-11-24T14:30"


def row(found, user, vm):
    (one,) = [each for each in found.rows if (each.user, each.vm) == (user, vm)]
    return one


def bars(found, user, vm):
    """The bars of a row by kind, start and end, in local time."""
    found_bars = row(found, user, vm).bars
    return [
        (bar.kind, *(instants.words(edge, found.zone)[4:20] for edge in (bar.start, bar.end))) for bar in found_bars
    ]


def test_rows_are_sorted_by_user_and_vm_with_those_that_are_locked():
    found = drawn(TUESDAY, temporary=TEMPORARY)
    pairs = [("anne", "books"), ("anne", "web"), ("boss", "books"), ("charlie", "books"), ("maggie", "web")]
    assert [(each.user, each.vm) for each in found.rows] == [*pairs, ("ralph", "analysis")]
    assert [each.vm for each in drawn(TUESDAY, temporary=TEMPORARY, user="anne").rows] == ["books", "web"]


def test_windows_are_those_of_the_timeline():
    """From a midnight on, where nothing is lent or locked."""
    desired = office("2026-11-23T09:00")
    start = moment("2026-11-23T00:00")
    found = week.drawn(desired, "desk-1", None, start, 7)
    shown = sorted(
        (instants.words(bar.start, found.zone), each.user, each.vm, instants.words(bar.end, found.zone))
        for each in found.rows
        for bar in each.bars
    )
    told = access_report.timeline(desired, None, start, 7)
    assert shown == sorted((entry["from"], entry["user"], entry["vm"], entry["until"]) for entry in told)


def test_the_first_day_is_drawn_from_its_midnight_on():
    """What was open before now, too."""
    assert bars(drawn(TUESDAY, 1), "charlie", "books") == [(WINDOW, "2026-11-24 08:00", "2026-11-24 18:00")]


def test_a_loan_lies_over_a_window_and_neither_hides_the_other():
    found = drawn(TUESDAY, 1, TEMPORARY)
    assert bars(found, "boss", "books") == [
        (WINDOW, "2026-11-24 18:00", "2026-11-24 22:00"),
        (LOAN, "2026-11-24 16:30", "2026-11-24 20:00"),
    ]
    (loan,) = row(found, "anne", "books").bars
    assert loan.words[0] == "anne may open books" and loan.words[2].endswith("; reason year-end")


def test_a_lock_ends_what_is_open_and_lasts():
    found = drawn(TUESDAY, 7, TEMPORARY, at="2026-11-23T00:00")
    assert bars(found, "maggie", "web") == [
        (WINDOW, "2026-11-23 08:00", "2026-11-23 18:00"),
        (WINDOW, "2026-11-24 08:00", "2026-11-24 10:00"),
        (LOCK, "2026-11-24 10:00", "2026-11-30 00:00"),
    ]
    assert row(found, "maggie", "web").bars[-1].words == (
        "maggie may not open web: user maggie is locked (reason laptop is lost)",
        "since Tue 2026-11-24 10:00 Europe/Berlin, until it is unlocked",
        "denied: grant maggie-web, by schedule maggies-days",
    )


@pytest.mark.parametrize("at, kinds", [("2026-11-16", {WINDOW}), ("2026-12-01", {LOCK})])
def test_a_lock_is_there_from_its_own_moment_on(at, kinds):
    found = drawn(TUESDAY, 7, TEMPORARY, at=f"{at}T00:00")
    assert {bar.kind for bar in row(found, "maggie", "web").bars} == kinds


def test_a_bar_says_which_grant_from_when_until_when_and_why():
    (bar,) = row(drawn(TUESDAY), "ralph", "analysis").bars
    assert bar.words == (
        "ralph may open analysis",
        "from Tue 2026-11-24 00:00 Europe/Berlin or earlier until Tue 2026-12-01 00:00 Europe/Berlin or later",
        "grant ralph-analysis, from Mon 2026-11-02 00:00 Europe/Berlin until Thu 2027-04-01 00:00 Europe/Berlin; "
        "owner boss; reason analysis for the agency, confidential; ticket ORDER-2026-17",
    )


def marks(found, user, vm):
    return [(instants.words(mark.start, found.zone)[4:14], mark.opens) for mark in row(found, user, vm).marks]


def test_exceptions_are_marked_where_they_change_something():
    """Not on a Saturday, on which it is closed anyway."""
    assert marks(drawn(TUESDAY), "anne", "web") == [("2026-11-27", True)]
    days = [f"2026-12-{day}" for day in (24, 25, 28, 29, 30, 31)]
    found = drawn("2026-12-20T09:10", 14)
    assert marks(found, "charlie", "books") == [*((day, False) for day in days), ("2027-01-01", False)]
    assert row(found, "charlie", "books").marks[0].words == (
        "schedule office-hours: closed on 2026-12-24, an exception",
    )
    assert marks(found, "boss", "books") == []


@pytest.mark.parametrize("now, hours", [("2026-10-25T12:00", 25), ("2027-03-28T12:00", 23), ("2026-11-24T12:00", 24)])
def test_a_day_has_the_hours_that_a_clock_on_the_wall_shows(now, hours):
    (day,) = drawn(now, 1).days
    assert (day.date, (day.end - day.start) / 3600) == (now[:10], hours)
    assert [instants.local(hour, "Europe/Berlin").hour for hour in day.hours] == [6, 12, 18]


def zoned(zone, at, days, loans=(), **changes):
    """The days from a moment on in another zone."""
    start = instants.parse_moment(at, zone or "UTC")
    policy = pillar.parse_policy(changed(article(), **({"time": {"zone": zone}} if zone else {}), **changes))
    temporary = Temporary(tuple(loans))
    desired = compile_policy(policy, inventory(), temporary=temporary, now=start, day=day_of(start))
    return week.drawn(desired, "desk-1", None, start, days)


@pytest.mark.parametrize("zone", ["Asia/Beirut", "America/Havana", "Pacific/Apia", "Asia/Kathmandu", None])
def test_days_follow_one_another_in_any_zone(zone):
    """Where midnight itself is skipped, or comes twice, too."""
    found = zoned(zone, "2026-03-20T12:00", 31)
    assert found.zone == (zone or "UTC") and len(found.days) == 31
    assert all(one.end == other.start for one, other in zip(found.days, found.days[1:]))
    dates = [datetime.date(2026, 3, 20) + datetime.timedelta(days=number) for number in range(31)]
    assert [day.date for day in found.days] == [date.isoformat() for date in dates]


def test_a_schedule_of_another_zone_is_marked_by_its_own_midnights():
    tokyo = {"days": "mon-fri", "hours": "08:00-18:00", "zone": "Asia/Tokyo", "except": ["2026-11-25"]}
    found = zoned(
        "Europe/Berlin", "2026-11-24", 3, schedules={"far": tokyo}, **{"grants__myself-debianx__schedule": "far"}
    )
    (mark,) = row(found, "myself", "debianx").marks
    assert instants.words(mark.start, found.zone) == "Tue 2026-11-24 16:00 Europe/Berlin"
    assert mark.end - mark.start == 86400


def test_a_lock_of_all_covers_each_row():
    desired = office(TUESDAY, Temporary((), (Lock("all", since=moment(TUESDAY)),)))
    found = week.drawn(desired, "desk-1", None, moment(TUESDAY), 1)
    assert all(each.bars[-1].kind == LOCK for each in found.rows) and len(found.rows) == 5
    assert "everything is locked" in found.rows[0].bars[-1].words[0]


def test_a_loan_that_is_longer_than_the_picture_ends_with_it():
    start = instants.parse_moment("2026-11-24T12:00", "UTC")
    found = zoned(None, "2026-11-24T12:00", 2, [Loan("guest", "debianx", start, start + 5 * 86400)])
    assert bars(found, "guest", "debianx") == [(LOAN, "2026-11-24 12:00", "2026-11-26 00:00")]
