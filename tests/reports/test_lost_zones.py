"""Time zones under names that a system has left, or lost altogether: nothing is hindered, and windows hold.

First seen: Debian 13 and Ubuntu 24.04, whose tzdata leaves former names to a package of its own.
"""

import pytest
from functional.office import FILES, changed

from scenes import ADDRESS, GROUP, article

ALWAYS = {"days": "mon-sun", "hours": "00:00-24:00"}
ZONES = "/usr/share/zoneinfo"


def pillar(zone):
    """Open at all hours of a zone's days."""
    data = article()
    schedules = {"daily": {**ALWAYS, "zone": zone}}
    grants = {name: {**grant, "schedule": "daily"} for name, grant in data["spice"]["grants"].items()}
    return changed(data, schedules=schedules, grants=grants)


PILLAR = pillar("Europe/Kiev")


@pytest.fixture
def upgraded(shared):
    """As the upgrade leaves it, and as a newer release comes."""
    there = shared.client.path(f"{ZONES}/Europe/Kiev").exists()
    if there:
        shared.client.run(["mv", f"{ZONES}/Europe/Kiev", "/root/Kiev"])
    yield shared
    if there:
        shared.client.run(["mv", "/root/Kiev", f"{ZONES}/Europe/Kiev"])


@pytest.fixture
def without_zones(shared):
    """Without any data of zones."""
    shared.client.run(["mv", ZONES, f"{ZONES}.away"])
    yield shared
    shared.client.run(["mv", f"{ZONES}.away", ZONES])


def test_a_former_name_means_the_same(upgraded):
    """The declared policy as well as the stored one; the present name is the same zone, and menus name it."""
    assert upgraded.apply()["changes"] == {}
    changes = upgraded.applied(pillar("Europe/Kyiv"))["changes"]
    assert changes["layers"] == {"policy": ["changes schedule daily"]}
    assert [[*layers] for layers in changes["grants"].values()] == [["viewer"], ["viewer"]]
    assert upgraded.reach("myself", GROUP, ADDRESS, 20002) == "open"


def test_without_any_zone_what_was_worked_out_holds(without_zones):
    """A pillar that names one is an error; lock, revocation and a corrected pillar go through all the same."""
    assert "is no time zone that this machine knows" in without_zones.apply()["comment"]
    assert without_zones.reach("myself", GROUP, ADDRESS, 20002) == "open"
    assert without_zones.minion.call("spice_grant.lock", user="mybro")["errors"] == []
    assert without_zones.reach("mybro", GROUP, ADDRESS, 20004) == "refused"
    assert without_zones.minion.call("spice_grant.unlock", user="mybro")["errors"] == []
    assert without_zones.reach("mybro", GROUP, ADDRESS, 20004) == "open"
    assert without_zones.minion.call("spice_grant.revoke", "myself", "debianx")["errors"] == []
    assert without_zones.reach("myself", GROUP, ADDRESS, 20002) == "refused"
    assert not without_zones.opens("myself", FILES["debianx"])
    assert without_zones.applied(article())["result"] is True
