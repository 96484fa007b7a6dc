"""The host decides as the desks do: by the same grants, times, loans and locks, of the same policy."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicegrants.core.accounts import Account, Group
from spicegrants.hypervisor import rights
from spicegrants.hypervisor.rights import Accounts
from spicegrants.policy import decision, pillar
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import Decision
from spicegrants.policy.facts import Inventory
from spicegrants.policy.loans_locks import ALL, NOTHING, USER, VM, Loan, Lock, Temporary
from spicegrants.schedule import weekly
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import DAY
from unit import timemodel
from unit.build import EVENINGS, PEM
from unit.kvm import key, policy
from unit.strategies import some
from unit.timestrategies import temporaries, timed_pillars

# Tue 2026-11-24, 12:00 UTC; the evening begins at 17:00.
NOON = 1795478400 + DAY // 2
EVENING = (NOON + 5 * 3600, NOON + 9 * 3600)
FAMILY = ("mybro", "myself")
TIMES = {"time": {"zone": "Europe/Berlin"}, "schedules": {"evenings": EVENINGS}}
MINE = "grants__myself-debianx"
IN_THE_EVENING = {**TIMES, f"{MINE}__schedule": "evenings"}


def in_family(user, group):
    return group == "family" and user in FAMILY


def as_it_is(name):
    return name


def decided(user="myself", vm="debianx", moment=NOON, temporary=NOTHING, member=in_family, spelled=as_it_is, **changes):
    return rights.decide(policy(**changes), temporary, Accounts(member, spelled), user, vm, moment)


# As the desks


@st.composite
def cases(draw):
    """Draw a policy with groups whom not all belong to, loans, locks, and a moment near one that matters."""
    declared = pillar.parse_policy(draw(timed_pillars()))
    people = sorted({grant.user or grant.group for grant in declared.grants.values()})
    grants = {
        name: grant._replace(left_out=(draw(st.sampled_from(people)),)) if grant.group and some(draw, 1) else grant
        for name, grant in declared.grants.items()
    }
    declared = replace(declared, grants=grants)
    groups = {name: draw(st.sets(st.sampled_from(people))) for name in people}
    temporary = draw(temporaries(declared))
    moment = draw(st.sampled_from(_moments(draw, declared, temporary))) + draw(st.sampled_from([-1, 0, 1, 1800]))
    return declared, groups, temporary, max(moment, EARLIEST)


def _moments(draw, declared, temporary):
    day = EARLIEST + draw(st.integers(1, 5000)) * DAY
    found = [day + 43200]
    for schedule in declared.schedules.values():
        near = [timemodel.number(entry[:10]) * DAY for entry in (*schedule.exceptions, *schedule.additions)]
        near = near[0] if near else day
        found += [edge for window in weekly.windows(schedule, near - DAY, near + 3 * DAY) for edge in window]
    for grant in declared.grants.values():
        found += [moment for moment in (grant.valid_from, grant.valid_until) if moment is not None]
    for loan in temporary.loans:
        found += [loan.start, loan.end, loan.end + DAY, loan.end + 5 * DAY]
    return found


@settings(max_examples=150)
@given(cases())
def test_host_and_desk_say_the_same(case):
    declared, groups, temporary, moment = case
    system = Inventory(
        {name: Account(name, 2000 + place, 100) for place, name in enumerate(groups)},
        {name: Group(name, 3000, tuple(sorted(members))) for name, members in groups.items()},
        addresses={name: (f"192.0.2.{place}",) for place, name in enumerate(declared.servers, 1)},
        authorities=dict.fromkeys(declared.servers, PEM),
        passwords={name: "from a file" for name, vm in declared.vms.items() if vm.password_file},
        unconfinable="",
    )
    day = decision.day_of(moment)
    desired = compile_policy(declared, system, temporary=temporary, now=moment, day=day)
    assert desired.findings == ()
    for user in (*groups, "nobody"):
        for vm in (*declared.vms, "nosuch"):
            desk = decision.decide(desired, user, vm, moment)
            accounts = Accounts(lambda user, group: user in groups[group], as_it_is)
            host = rights.decide(declared, temporary, accounts, user, vm, moment)
            assert _without_account(host) == _without_account(desk)


def _without_account(found):
    """The host knows nothing of accounts."""
    return found if found.access is None else found._replace(access=found.access._replace(uid=0))


# By names


def test_an_access_by_name():
    assert decided() == Decision(
        True, grants=("myself-debianx",), access=Access("myself", -1, "debianx", ("myself-debianx",))
    )


@pytest.mark.parametrize(
    ("user", "vm"),
    [("myself", "leaptest"), ("mybro", "debianx"), ("root", "debianx"), ("Myself", "debianx"), ("", ""), ("*", "*")],
)
def test_what_nobody_granted(user, vm):
    assert decided(user, vm) == Decision(False)


GROUP = {MINE: {"group": "family", "vm": "debianx", "except": ["mybro", "ghost"]}}


@pytest.mark.parametrize(("user", "is_open"), [("myself", True), ("mybro", False), ("ghost", False), ("family", False)])
def test_a_groups_members(user, is_open):
    assert decided(user, **GROUP).open == is_open


def test_nobody_is_a_member_of_a_group_that_the_host_does_not_know():
    assert decided(member=lambda user, group: False, **GROUP) == Decision(False)


def test_a_member_is_asked_for_only_where_a_group_is_granted():
    """Each question may be one to a directory."""
    asked = []
    decided(member=lambda *names: asked.append(names), **GROUP)
    decided("mybro", "leaptest", member=lambda *names: asked.append(names), **GROUP)
    decided("mybro", member=lambda *names: asked.append(names), **GROUP)
    assert asked == [("myself", "family")]


def of_a_directory(name):
    """It takes names in capitals, and with its domain before them."""
    return name.rpartition("\\")[2].lower()


@pytest.mark.parametrize("name", ["myself", "Myself", "CORP\\myself"])
def test_a_name_that_the_host_spells_otherwise(name):
    """Desks ask by the name that an account has; pillar and administrators write it as the directory takes it."""
    lent = Temporary((Loan(name, "leaptest", NOON, NOON + 3600),))
    for spelled, as_well in ((of_a_directory, True), (as_it_is, name == "myself")):
        assert decided(temporary=lent, vm="leaptest", grants={}, spelled=spelled).open is as_well
        assert decided(temporary=Temporary((), (Lock(USER, name),)), spelled=spelled).open is not as_well
    assert not decided("root", temporary=lent, vm="leaptest", grants={}, spelled=of_a_directory).open
    left_out = {MINE: {"group": "family", "vm": "debianx", "except": ["Myself"]}}
    assert decided(**left_out).open and not decided(spelled=of_a_directory, **left_out).open


@pytest.mark.parametrize("lock", [Lock(ALL), Lock(USER, "myself"), Lock(VM, "debianx", "audit")])
def test_a_lock(lock):
    found = decided(temporary=Temporary((), (lock,)))
    assert (found.open, found.lasting, found.lock) == (False, False, lock)
    assert not decided("mybro", temporary=Temporary((Loan("mybro", "debianx", NOON, NOON + 9),), (Lock(ALL),))).open
    for other in (Lock(USER, "mybro"), Lock(VM, "leaptest")):
        assert decided(temporary=Temporary((), (other,))).open


def test_a_loan():
    lent = Temporary((Loan("mybro", "debianx", NOON, NOON + 3600, uid=1022),))
    assert decided("mybro", temporary=lent)[:4] == (True, False, NOON + 3600, ("loan:mybro:debianx",))
    assert not decided("mybro", temporary=lent, moment=NOON + 3600).open
    assert not decided("mybro", "leaptest", temporary=lent, grants={}).open


# How sessions end

DRAIN = {**IN_THE_EVENING, f"{MINE}__on_end": "drain"}


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, None),
        (IN_THE_EVENING, EVENING[1]),
        ({**IN_THE_EVENING, f"{MINE}__on_end": "cut"}, EVENING[1]),
        ({f"{MINE}__valid_until": "2026-11-24T20:00Z"}, NOON + 8 * 3600),
        (DRAIN, None),
        ({**DRAIN, f"{MINE}__grace": "30m"}, EVENING[1] + 1800),
        ({**DRAIN, "grants__more": {"user": "myself", "vm": "debianx", "schedule": "evenings"}}, EVENING[1]),
    ],
)
def test_when_sessions_must_end(changes, end):
    at = EVENING[0] + 60
    assert rights.end_of(policy(**changes), decided(moment=at, **changes)) == end


def test_an_end_of_nothing():
    assert rights.end_of(policy(), Decision(False)) is None


def test_what_was_lent_once_changes_nothing_of_how_sessions_end():
    """A loan ends its sessions at once; that of yesterday does not end those of a grant that may drain."""
    lent = Temporary((Loan("myself", "debianx", NOON - 3 * DAY, NOON - 2 * DAY),))
    after = EVENING[1] + 60
    for temporary in (NOTHING, lent):
        found = decided(moment=after, temporary=temporary, **DRAIN)
        assert (found.open, found.lasting) == (False, True)


# Ports


def test_guarded_ports_are_those_of_the_minions_servers():
    tickets = {"minion": "kvm1", "host_key": key("h")}
    servers = {
        "one": {"host": "one.example", "addresses": ["192.0.2.1"], "ports": ["5900", "20001-20010"], **tickets},
        "two": {"host": "two.example", "addresses": ["192.0.2.2"], "ports": ["20011-20020"], **tickets},
        "other": {"host": "other.example", "addresses": ["192.0.2.3"], "ports": "7000", **tickets, "minion": "kvm2"},
        "without": {"host": "without.example", "addresses": ["192.0.2.4"], "ports": "8000"},
    }
    declared = policy(servers=servers, vms={}, grants={})
    assert rights.guarded(declared, "kvm1") == ((5900, 5900), (20001, 20020))
    assert rights.guarded(declared, "kvm2") == ((7000, 7000),)
    assert rights.guarded(declared, "kvm") == rights.guarded(declared, "") == ()
