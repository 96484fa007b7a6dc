"""What is done behind our back to the chains that say when: predicted, repaired, and nothing else touched."""

import datetime
import json

import pytest

from functional.clients import HAMMER, running
from functional.office import changed, sentences
from scenes import ADDRESS, ADDRESS6, GROUP, article

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def _days(first, last):
    return f"{TODAY + datetime.timedelta(days=first)}/{TODAY + datetime.timedelta(days=last)}"


def _schedule(**days):
    return {"days": ["mon-sun"], "hours": ["00:00-24:00"], "zone": "UTC", **days}


def _later(days):
    return _schedule(**{"except": [_days(-2, days)]})


# One is open these days, the other is not, wherever the hands of the clock are.
PILLAR = changed(
    article(),
    schedules={"now": _schedule(), "later": _later(2)},
    grants={
        "myself-debianx": {"user": "myself", "vm": "debianx", "schedule": "later"},
        "mybro-leaptest": {"user": "mybro", "vm": "leaptest", "schedule": "now"},
    },
)
PILLAR["spice"]["servers"]["mysrv"]["addresses"] = [ADDRESS, ADDRESS6]
OPEN = {("mybro", GROUP, address, 20004) for address in (ADDRESS, ADDRESS6)}
ALTERED = "restores chain schedule_later, whose rules were altered"
SETS = "sets the times of chain schedule_later"
# What is done to the chain, by which mechanisms that opens it, and what a run says of it. A chain of iptables without
# rules returns, as all of its chains do.
DRIFT = {
    "emptied": ("empty", MECHANISMS[1:], ALTERED),
    "opened permanently": ("open_always", MECHANISMS, ALTERED),
    "widened": ("widen", MECHANISMS, SETS),
    "grant led to another chain": ("lead_astray", MECHANISMS, f"changes when {ADDRESS} port 20002 to myself is open"),
}


def test_each_schedule_is_as_it_says(shared):
    """What the tests below compare with."""
    assert shared.openings() == OPEN
    assert shared.apply()["changes"] == {}


@pytest.mark.parametrize("tampering", DRIFT)
def test_the_run_repairs(keeper, shared, tampering):
    """The plan names what was done, the run does just that, once; counters of grants that were not touched stay."""
    method, opening, text = DRIFT[tampering]
    assert shared.reach("mybro", GROUP, ADDRESS, 20004) == "open"
    before = _packets(shared)
    getattr(shared.mechanism.times, method)(shared, "schedule_later")
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == ("open" if shared.mechanism.name in opening else "refused")
    dry = shared.apply(test=True)
    assert text in sentences(dry["changes"])
    real = shared.applied()
    assert real["changes"] == dry["changes"]
    assert shared.apply()["changes"] == {}
    assert shared.openings() == OPEN
    assert not keeper.traces()
    assert _packets(shared) >= before > 0


def _packets(office):
    rules = office.minion.call("spice_firewall.rules", foreign=False)
    return next(rule["packets"] for rule in rules if (rule["user"], rule["address"]) == ("mybro", ADDRESS))


def test_another_time_in_pillar_is_one_sentence(shared):
    """Only the chain changes: the live session of another schedule, and all counters, stay."""
    assert shared.reach("mybro", GROUP, ADDRESS, 20004) == "open"
    before = _packets(shared)
    other = changed(PILLAR, schedules={**PILLAR["spice"]["schedules"], "later": _schedule(hours=["00:00-23:00"])})
    result = shared.applied(other)
    assert SETS in sentences(result["changes"])
    assert _packets(shared) == before
    assert shared.apply()["changes"] == {}


def test_no_moment_is_open_or_closed_while_times_change(shared):
    """While the chain behind it is filled anew, an open window refuses nobody, and a closed one lets nobody through."""
    granted = running(shared.client, HAMMER, ADDRESS, 20004, user="mybro", group=GROUP)
    closed = running(shared.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP)
    with granted as good, closed as bad:
        for last in (3, 4, 5, 6):
            schedules = {"now": _schedule(**{"except": [_days(3, last)]}), "later": _later(last)}
            text = sentences(shared.applied(changed(PILLAR, schedules=schedules))["changes"])
            assert SETS in text and "sets the times of chain schedule_now" in text
        counts = []
        for process in (good, bad):
            process.stdin.close()
            counts.append(json.loads(process.stdout.readline()))
    assert counts[0]["refused"] == 0 and counts[0]["open"] > 100
    assert counts[1]["open"] == 0 and counts[1]["refused"] > 100


def test_a_chain_that_nobody_wants_is_removed(keeper, shared):
    """A chain of ours by its name, to which nothing leads."""
    shared.mechanism.times.add(shared)
    planned = shared.minion.call("spice_firewall.plan")
    assert "to which nothing leads" in sentences(planned)
    assert shared.minion.call("spice_firewall.apply") == planned
    assert shared.minion.call("spice_firewall.plan") == {}
    assert not keeper.traces()


def test_all_of_it_goes(shared):
    """After the removal no chain of ours is left; the next run makes them again."""
    shared.minion.state("spice.absent")
    assert "schedule_" not in "".join(shared.ruleset()) and "SPICE-GRANT" not in "".join(shared.ruleset())
    shared.applied()
    assert shared.openings() == OPEN
