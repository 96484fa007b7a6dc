"""The example pillars: they are good, and mean what their comments say."""

import datetime
import pathlib
import zoneinfo

import pytest
import salt.utils.yaml
import yaml

from spicegrants.audit import access_report
from spicegrants.core.accounts import Account, Group
from spicegrants.policy import decision, pillar, wording
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.policy.hints import notes
from spicegrants.policy.loans_locks import NOTHING

pytestmark = pytest.mark.salt

PILLAR = pathlib.Path(__file__).parents[3] / "pillar"
PEOPLE = ("charlie", "boss", "maggie", "anne", "ralph")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def declared(name):
    return yaml.safe_load((PILLAR / name).read_text(encoding="utf-8"))["spice"]


def moment(text):
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).timestamp())


def office(now="2026-11-23T09:00", temporary=NOTHING):
    policy = pillar.parse_policy(declared("examples/office.sls"))
    inventory = Inventory(
        {name: Account(name, 1021 + number, 1021 + number) for number, name in enumerate(PEOPLE)},
        {"spicegrp": Group("spicegrp", 995)},
        addresses={"kvm": ("192.168.2.2",)},
        authorities={"kvm": "PEM"},
    )
    seconds = moment(now)
    return compile_policy(policy, inventory, temporary=temporary, now=seconds, day=decision.day_of(seconds))


@pytest.mark.parametrize("name", ["spice.sls", "examples/office.sls"])
def test_an_example_is_a_good_pillar_to_any_reader_of_yaml(name):
    """Salt's own makes text of a date, others a date."""
    content = salt.utils.yaml.safe_load((PILLAR / name).read_text(encoding="utf-8"))["spice"]
    assert pillar.parse_policy(content) == pillar.parse_policy(declared(name))


def test_nothing_in_the_office_is_closed_to_all():
    assert notes(office()) == [] and not office().findings


def test_the_office_has_the_week_that_the_docs_show():
    found = access_report.timeline(office(), None, moment("2026-11-23T00:00"), 7)
    rows = [f"| {row['from']} | {row['until']} | {row['user']} | {row['vm']} |" for row in found]
    shown = (PILLAR.parent / "docs" / "time.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown if line.startswith(tuple(f"| {day} 20" for day in DAYS))] == [
        row.replace(" Europe/Berlin", "") for row in rows
    ]


@pytest.mark.parametrize(
    ("user", "vm", "days", "first", "last"),
    [
        ("charlie", "books", "mon tue wed thu fri", 8, 18),
        ("boss", "books", "mon tue wed thu fri", 18, 22),
        ("maggie", "web", "mon tue", 8, 18),
        ("anne", "web", "wed thu fri", 8, 18),
        ("ralph", "analysis", "mon tue wed thu fri sat sun", 0, 24),
    ],
)
def test_each_hour_of_a_week_in_the_office(user, vm, days, first, last):
    """Of all people and vms, exactly this one may be opened in these hours; Friday is Anne's in this week only."""
    desired = office()
    week = moment("2026-11-23T00:00")
    for hour in range(7 * 24):
        expected = WEEKDAYS[hour // 24] in days.split() and first <= hour % 24 < last
        assert decision.decide(desired, user, vm, week + hour * 3600).open is expected
        assert not any(
            decision.decide(desired, user, other, week + hour * 3600).open
            for other in desired.policy.vms
            if other != vm
        )


@pytest.mark.parametrize(
    ("user", "vm", "at", "sentence"),
    [
        ("charlie", "books", "2026-11-23T09:00", "open until Mon 2026-11-23 18:00 Europe/Berlin"),
        ("charlie", "books", "2026-11-23T18:00", "closed; opens Tue 2026-11-24 08:00 Europe/Berlin"),
        ("charlie", "books", "2026-12-23T18:00", "closed; opens Mon 2027-01-04 08:00 Europe/Berlin"),
        ("boss", "books", "2026-11-23T17:59", "closed; opens Mon 2026-11-23 18:00 Europe/Berlin"),
        (
            "boss",
            "books",
            "2026-11-23T22:15",
            "closed, though what is open may go on; opens Tue 2026-11-24 18:00 Europe/Berlin",
        ),
        ("boss", "books", "2026-11-23T22:30", "closed; opens Tue 2026-11-24 18:00 Europe/Berlin"),
        ("anne", "web", "2026-12-03T18:00", "closed; opens Wed 2026-12-09 08:00 Europe/Berlin"),
        ("ralph", "analysis", "2026-11-23T03:00", "open until Thu 2027-04-01 00:00 Europe/Berlin"),
        ("ralph", "analysis", "2027-04-01T00:00", "closed"),
        ("ralph", "books", "2026-11-23T09:00", "closed"),
    ],
)
def test_what_is_said_in_the_office(user, vm, at, sentence):
    desired = office(at)
    assert wording.decision(desired.policy, decision.decide(desired, user, vm, moment(at))) == sentence
