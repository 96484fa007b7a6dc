"""Weekly schedules: read and checked, though no grant may use one yet."""

import datetime

import pytest

from spicegrants import pillar
from spicegrants.errors import PolicyError
from spicegrants.model import Schedule, to_pillar
from unit.build import article, changed

EVENINGS = {"days": ["mon", "fri"], "hours": ["18:00-22:00"], "zone": "Europe/Berlin"}


def parsed(**changes):
    schedule = {**EVENINGS, **changes}
    return pillar.parse(changed(article(), schedules={"evenings": schedule})).schedules["evenings"]


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
    policy = pillar.parse(changed(article(), schedules={"evenings": {**EVENINGS, "except": ["2026-12-24"]}}))
    assert to_pillar(policy)["schedules"] == {"evenings": {**EVENINGS, "except": ["2026-12-24"]}}


@pytest.mark.parametrize("key", ["schedule", "valid_from", "valid_until"])
def test_a_grant_that_is_limited_in_time_is_refused(key):
    """Until that is enforced: silently it would always be open."""
    data = changed(article(), schedules={"evenings": EVENINGS}, **{f"grants__myself-debianx__{key}": "evenings"})
    with pytest.raises(PolicyError) as caught:
        pillar.parse(data)
    (finding,) = caught.value.findings
    assert finding.path == f"spice:grants:myself-debianx:{key}" and "not enforced" in finding.message
