"""pillar/examples/fleet: the office of the other example in small files, for laptops and for desks."""

import json

import pytest

from spicecheck import compiled
from spicegrants.policy import pillar
from unit.policy.test_examples import PEOPLE, PILLAR, declared

pytestmark = pytest.mark.salt

FLEET = PILLAR / "examples" / "fleet"
# Whose grants are on which minion, and the vms and schedules that these are about.
MINIONS = {
    "laptop-1": set(PEOPLE),
    "laptop-2": set(PEOPLE),
    "desk-books": {"charlie", "boss"},
    "desk-maggie": {"maggie"},
    "desk-anne": {"anne"},
    "desk-ralph": {"ralph"},
    "kiosk-1": set(),
}
ABOUT = {
    "charlie": {"books", "office-hours"},
    "boss": {"books", "evenings"},
    "maggie": {"web", "maggies-days"},
    "anne": {"web", "annes-days"},
    "ralph": {"analysis"},
}


@pytest.fixture(scope="module")
def pillars(tmp_path_factory):
    """What Salt compiles for each minion."""
    opts = compiled.options(None, str(tmp_path_factory.mktemp("scratch")), [str(FLEET)], None)
    found = {name: compiled.compile_pillar(opts, name, {}) for name in (*MINIONS, "printer")}
    assert not [pair for pair in found.items() if pair[1].errors]
    return {name: pair.data for name, pair in found.items()}


def policy(pillars, name):
    return pillar.parse_policy(pillars[name]["spice"])


def test_a_laptop_has_all_of_the_office_and_each_the_same(pillars):
    assert policy(pillars, "laptop-1") == pillar.parse_policy(declared("examples/office.sls"))
    assert pillars["laptop-1"] == pillars["laptop-2"]


@pytest.mark.parametrize("name", MINIONS)
def test_a_minion_has_the_grants_of_its_people(pillars, name):
    assert {grant.user for grant in policy(pillars, name).grants.values()} == MINIONS[name]


@pytest.mark.parametrize("name", MINIONS)
def test_a_minions_pillar_holds_only_what_concerns_it(pillars, name):
    """No word of anybody else, of a vm that nobody may open here, or of their hours."""
    found = policy(pillars, name)
    assert {*found.vms, *found.schedules} == {word for user in MINIONS[name] for word in ABOUT[user]}
    text = json.dumps(pillars[name])
    own = {grant.owner for grant in found.grants.values()} | MINIONS[name]
    assert not [user for user in PEOPLE if user in text and user not in own]
    assert ("confidential" in text) is ("ralph" in MINIONS[name])


def test_where_nobody_has_a_grant_the_consoles_are_guarded_all_the_same(pillars):
    found = policy(pillars, "kiosk-1")
    assert found.guarded_ports() == ((20001, 20010),) and not found.grants and not found.vms


def test_a_machine_that_the_top_file_does_not_name_gets_nothing(pillars):
    assert pillars["printer"] == {}


def test_each_file_of_a_grant_brings_what_it_needs(tmp_path):
    """A file is enough for a minion: it includes its vm, and that its server."""
    for path in sorted((FLEET / "spice").rglob("*.sls")):
        name = ".".join(path.relative_to(FLEET).with_suffix("").parts)
        (tmp_path / "top.sls").write_text(f"base: {{'*': [{name}]}}", encoding="utf-8")
        opts = compiled.options(None, str(tmp_path), [str(tmp_path), str(FLEET)], None)
        assert pillar.parse_policy(compiled.compile_pillar(opts, "desk", {}).data["spice"]), name
