"""Windows are worked out for some weeks in advance: each day's first run moves that on, and that alone is no change."""

import json
import pathlib
import sys
import time

import pytest

from functional.mechanisms import by_each
from functional.office import STATE, Office, difference, only, sentences
from scenes import ADDRESS, GROUP, article

DAY, YEAR = 86400, 366 * 86400
PILLAR = article()
PILLAR["spice"]["schedules"] = {"always": {"days": "mon-sun", "hours": "00:00-24:00", "zone": "UTC"}}
PILLAR["spice"]["grants"]["myself-debianx"]["schedule"] = "always"
OPEN = {("myself", GROUP, ADDRESS, 20002), ("mybro", GROUP, ADDRESS, 20004)}
UNTIMED = {("mybro", GROUP, ADDRESS, 20004)}


@pytest.fixture(params=by_each(("nftables", "iptables-nft")))
def office(request):
    """A fresh office; nothing was applied yet."""
    with Office(PILLAR, request.param) as made:
        yield made


def _run_at(office, offset):
    """Apply with a clock that is wrong for Salt by some seconds, not for the kernel; return the state's result."""
    office.client.write(
        "/srv/clock/sitecustomize.py", f"import time\nright = time.time\ntime.time = lambda: right() + {offset}\n"
    )
    salt = pathlib.Path(sys.executable).with_name("salt-call")
    options = ["--local", f"--config-dir={office.minion.conf}", "--out=json", "state.apply", "spice"]
    done = office.client.run([salt, *options], env={"PYTHONPATH": "/srv/clock"}, check=False)
    return only(json.loads(done.stdout)["local"])


def _known_until(office):
    """The last moment for which the kernel knows of a window."""
    return max(
        rule["times"][-1][1] for rule in office.minion.call("spice_firewall.rules", foreign=False) if "times" in rule
    )


def _stored_day(office):
    return json.loads(office.client.read(STATE))["day"]


def test_the_first_run_of_a_day_moves_the_horizon_and_reports_nothing(office):
    """It plans nothing as test=True either; the next run has nothing left to write."""
    assert _run_at(office, -3 * DAY)["result"] is True
    assert office.openings() == OPEN
    before, until = office.snapshot(), _known_until(office)
    assert office.apply(test=True)["changes"] == {}
    assert not difference(before, office.snapshot())
    result = office.apply()
    assert (result["result"], result["changes"]) == (True, {})
    assert _known_until(office) > until
    assert _stored_day(office) == int(time.time()) // DAY * DAY
    assert office.openings() == OPEN
    before = office.snapshot()
    assert office.apply()["changes"] == {}
    assert not difference(before, office.snapshot())


def test_a_workstation_that_saw_no_run_for_long_is_closed(office):
    """Beyond the horizon nothing that has times is open, whatever the schedule says; a run opens it again."""
    _run_at(office, -40 * DAY)
    assert office.openings() == UNTIMED
    assert office.apply()["changes"] == {}
    assert office.openings() == OPEN


def test_drift_is_reported_though_the_day_is_another(office):
    """And nothing else is."""
    _run_at(office, -3 * DAY)
    office.mechanism.forget(office)
    dry = office.apply(test=True)
    result = office.apply()
    assert result["changes"] == dry["changes"]
    lines = sentences(result["changes"]).splitlines()
    assert lines and all(ADDRESS in line for line in lines)
    assert office.openings() == OPEN
    assert office.apply()["changes"] == {}


def test_a_clock_that_was_never_set_opens_nothing_that_has_times(office):
    """The run fails and says so, and grants without times hold; once the clock is right a run opens the others."""
    result = _run_at(office, -8 * YEAR)
    assert result["result"] is False
    assert "clock: it says 20" in result["comment"]
    assert office.openings() == UNTIMED
    result = office.apply()
    assert result["result"] is True
    assert f"opens {ADDRESS} port 20002 to myself, by schedule always" in sentences(result["changes"])
    assert office.openings() == OPEN


def test_a_clock_that_lost_its_time_leaves_what_is_known(office):
    """A run at such a moment fails and changes nothing: windows are there for when the clock is right again."""
    office.applied()
    before = office.snapshot()
    result = _run_at(office, -8 * YEAR)
    assert (result["result"], result["changes"]) == (False, {})
    assert not difference(before, office.snapshot())
