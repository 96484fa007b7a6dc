"""Weekly schedules: read, checked, written back."""

import datetime
import zoneinfo
from zoneinfo import _zoneinfo

import pytest
import yaml

from spicegrants.core.errors import PolicyError
from spicegrants.policy import pillar
from spicegrants.policy.model import to_pillar
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import DAY
from spicegrants.schedule.weekly import Schedule
from unit.build import article, changed

EVENINGS = {"days": ["mon", "fri"], "hours": ["18:00-22:00"], "zone": "Europe/Berlin"}


def parsed(**changes):
    schedule = {**EVENINGS, **changes}
    return pillar.parse_policy(changed(article(), schedules={"evenings": schedule})).schedules["evenings"]


def test_a_schedule_as_declared():
    assert parsed() == Schedule("evenings", ("mon", "fri"), ("18:00-22:00",), "Europe/Berlin", ())


def test_days_and_hours_are_put_in_order_once():
    found = parsed(days=["sun", "fri", "mon", "fri"], hours=["18:00-22:00", "06:00-07:30", "18:00-22:00"])
    assert found.days == ("mon", "fri", "sun")
    assert found.hours == ("06:00-07:30", "18:00-22:00")


@pytest.mark.parametrize("hours", ["00:00-24:00", "22:00-02:00", "23:59-00:00", "00:00-00:01"])
def test_hours_to_midnight_and_over_it(hours):
    assert parsed(hours=[hours]).hours == (hours,)


@pytest.mark.parametrize(
    "hours",
    ["18:00-18:00", "24:00-01:00", "18:00-24:01", "18:00-22:0", "18-22", "18:00-22:00-23:00", "\uff11\uff18:00-22:00"],
)
def test_hours_that_are_none(hours):
    with pytest.raises(PolicyError) as caught:
        parsed(hours=[hours])
    assert [finding.path for finding in caught.value.findings] == ["spice:schedules:evenings:hours:0"]


def test_exceptions_as_text_or_date():
    """YAML makes dates of what is not in quotes."""
    found = parsed(**{"except": [datetime.date(2026, 12, 31), "2026-12-24", "2026-12-31"]})
    assert found.exceptions == ("2026-12-24", "2026-12-31")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_zones(zone):
    assert parsed(zone=zone).zone == zone


@pytest.mark.parametrize(
    "zone",
    ["Europe/Nowhere", "../../../etc/passwd", "/etc/localtime", "Europe/", "", " ", "a\nb", "\ud800", "x" * 5000],
)
def test_zones_that_are_none(zone):
    with pytest.raises(PolicyError) as caught:
        parsed(zone=zone)
    (finding,) = caught.value.findings
    assert finding.path == "spice:schedules:evenings:zone" and "no time zone" in finding.message


def test_a_schedule_is_written_back():
    policy = pillar.parse_policy(changed(article(), schedules={"evenings": {**EVENINGS, "except": ["2026-12-24"]}}))
    assert to_pillar(policy)["schedules"] == {"evenings": {**EVENINGS, "except": ["2026-12-24"]}}


@pytest.mark.parametrize(
    ("days", "meant"),
    [
        ("mon", ("mon",)),
        ("mon-fri", ("mon", "tue", "wed", "thu", "fri")),
        ("fri-mon", ("mon", "fri", "sat", "sun")),
        ("sun-sat", ("mon", "tue", "wed", "thu", "fri", "sat", "sun")),
        ("wed-wed", ("wed",)),
        (["tue", "sat-mon"], ("mon", "tue", "sat", "sun")),
    ],
)
def test_days_and_ranges_of_them(days, meant):
    assert parsed(days=days).days == meant


def test_dates_and_ranges_of_them():
    found = parsed(**{"except": ["2026-12-28/2027-01-06", datetime.date(2026, 12, 24)], "also": "2026-12-26"})
    assert found.exceptions == ("2026-12-24", "2026-12-28/2027-01-06") and found.additions == ("2026-12-26",)


def test_a_zone_for_all_schedules():
    without = {key: value for key, value in EVENINGS.items() if key != "zone"}
    policy = pillar.parse_policy(
        changed(article(), time={"zone": "Asia/Kolkata"}, schedules={"here": without, "there": EVENINGS})
    )
    assert {name: schedule.zone for name, schedule in policy.schedules.items()} == {
        "here": "Asia/Kolkata",
        "there": "Europe/Berlin",
    }
    # It is written back with the zone that was meant.
    assert pillar.parse_policy(to_pillar(policy)) == policy


@pytest.mark.parametrize(
    ("spelled", "hours"),
    [("hours: 18:00-22:00", ("18:00-22:00",)), ("hours: [08:00-12:00, 13:00-17:30]", ("08:00-12:00", "13:00-17:30"))],
)
def test_hours_need_no_quotes_in_yaml(spelled, hours):
    assert parsed(**yaml.safe_load(spelled)).hours == hours


def test_an_hour_without_quotes_is_a_number_in_yaml_and_said_to_be_one():
    with pytest.raises(PolicyError, match=r"hours: 18:00 without quotes is a number in YAML"):
        parsed(**yaml.safe_load("hours: 18:00"))


def test_no_zone_changes_its_clock_twice_within_two_days():
    """What hours are worked out by, in all zones of this machine, from 2020 on."""
    for name in zoneinfo.available_timezones():
        zone = _zoneinfo.ZoneInfo.no_cache(name)
        listed = [moment for moment in zone._trans_utc if moment >= EARLIEST]
        # Behind the listed ones there may be a rule for all years; these are its two of any year.
        yearly = getattr(zone._tz_after, "transitions", lambda year: ())
        ruled = sorted(moment for year in (2098, 2099) for moment in yearly(year))
        for moments in (listed, ruled):
            assert all(later - earlier > 2 * DAY for earlier, later in zip(moments, moments[1:])), name
