"""Grants of several vms: as many grants, each called by its vm as well, whatever they are kept and read back as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.policy import merge
from spicegrants.policy.model import Grant, to_pillar
from spicegrants.policy.pillar import parse_policy
from unit.build import article, changed
from unit.timestrategies import timed_pillars

GROUPS = {"all": ["debianx", "leaptest"], "one": "leaptest"}


def granted(**grant):
    """The grants of a pillar with one, as pairs of name and vm."""
    found = parse_policy(changed(article(), vm_groups=GROUPS, grants={"ops": {"user": "myself", **grant}}))
    return [(name, each.vm) for name, each in found.grants.items()]


@pytest.mark.parametrize(
    ("declared", "grants"),
    [
        ({"vm": "debianx"}, [("ops", "debianx")]),
        ({"vm": ["debianx"]}, [("ops/debianx", "debianx")]),
        ({"vm": ["leaptest", "debianx"]}, [("ops/leaptest", "leaptest"), ("ops/debianx", "debianx")]),
        ({"vm": ["debianx", "debianx"]}, [("ops/debianx", "debianx")]),
        ({"vm_group": "all"}, [("ops/debianx", "debianx"), ("ops/leaptest", "leaptest")]),
        ({"vm_group": ["one", "all"]}, [("ops/leaptest", "leaptest"), ("ops/debianx", "debianx")]),
    ],
)
def test_a_grant_of_several_vms(declared, grants):
    assert granted(**declared) == grants


def test_each_has_all_that_the_grant_has():
    """But for its name and vm."""
    fields = {
        "group": "family",
        "except": ["guest"],
        "nopasswd": True,
        "valid_until": "2027-03-31T00:00Z",
        "owner": "Bo",
    }
    grants = {"ops": {**fields, "vm_group": "all"}}
    found = parse_policy(changed(article(), vm_groups=GROUPS, grants=grants)).grants
    (first, second) = found.values()
    assert first._replace(name="", vm="") == second._replace(name="", vm="")
    assert first == Grant("ops/debianx", "debianx", None, "family", True, **_rest(first))
    assert first.left_out == ("guest",) and first.owner == "Bo"


def _rest(grant):
    named = ("name", "vm", "user", "group", "nopasswd")
    return {key: value for key, value in grant._asdict().items() if key not in named}


@given(timed_pillars(), st.data())
def test_it_is_what_as_many_grants_are(declared, data):
    """And so it is kept: of what a minion stores the same policy is read."""
    vms = sorted(declared["vms"])
    several, single = {}, {}
    for name, grant in declared["grants"].items():
        chosen = data.draw(st.lists(st.sampled_from(vms), max_size=3, unique=True))
        several[name] = {**grant, "vm": chosen} if chosen else grant
        single.update({f"{name}/{vm}": {**grant, "vm": vm} for vm in chosen} or {name: grant})
    policy = parse_policy({**declared, "grants": several})
    assert policy == parse_policy({**declared, "grants": single})
    assert parse_policy(to_pillar(policy)) == policy


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_goes_from_a_list_goes(exclusive):
    """Also where grants that only the minion has stay: what the pillar still declares by that name counts."""

    def declared(*vms):
        return changed(article(), grants={"ops": {"user": "myself", "vm": list(vms)}})

    stored = merge.combine(declared("debianx", "leaptest"), None, True, None)
    found = merge.combine(declared("leaptest"), None, exclusive, stored)
    assert [*found.grants] == ["ops/leaptest"]
    other = {"other": {"user": "mybro", "vm": "debianx"}}
    found = merge.combine(changed(article(), grants=other), None, exclusive, stored)
    assert [*found.grants] == (["other"] if exclusive else ["ops/debianx", "ops/leaptest", "other"])
