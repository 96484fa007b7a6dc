"""What is taken away from what is stored and declared alone: never too little, and first only what is certain."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.policy import closing, merge
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import ALL, NOTHING, USER, VM, Loan, Lock, Temporary
from spicegrants.policy.state_file import Stored, dump, load
from spicegrants.schedule.intervals import NEVER, overlap
from unit.build import GID, inventory, policy

NOW = 1795500000
DAY = NOW // 86400 * 86400
MORNINGS = {"days": "mon-sun", "hours": "08:00-12:00", "zone": "Europe/Berlin"}
LATER = {"days": "mon-sun", "hours": "10:00-14:00", "zone": "Europe/Berlin"}
TIMES = {"time": {"horizon": "3d"}, "schedules": {"mornings": MORNINGS, "later": LATER}}
UNCHANGED = policy()


def stored(declared_policy=UNCHANGED, temporary=NOTHING):
    """What a run leaves that enforced a policy, loans and locks."""
    enforced = compile_policy(declared_policy, inventory(), (), (), temporary, NOW, DAY)
    return merge.remember(Stored(temporary=temporary), enforced, {}), enforced


def asked(kept, declared_policy=None, temporary=None):
    return replace(kept, policy=declared_policy or kept.policy, temporary=temporary or kept.temporary, day=DAY)


def times(made):
    """When who may open what, by user, address and port."""
    return {
        (access.uid, address, made.port(access)): made.times(access).opened
        for access in made.accesses
        for address in made.addresses(access)
    }


def free(made):
    """Where sudo asks for no password, by user, address and port."""
    doors = ((access, made.addresses(access)) for access in made.accesses if access.nopasswd)
    return {(access.uid, address, made.port(access)) for access, addresses in doors for address in addresses}


def recalled(before, after):
    return closing.desired(before, after, GID, NOW, (), confined=False)


def within(less, more):
    return all(overlap(opened, more.get(door, NEVER)) == opened for door, opened in less.items())


# By example

LOAN = Loan("guest", "debianx", NOW, NOW + 3600, uid=1023)
MINE, MYBROS = ("myself", "debianx"), ("mybro", "leaptest")
TAKEN = {
    "nothing": ({}, {}, Temporary(), Temporary(), {MINE, MYBROS}, {MINE, MYBROS}),
    "a grant is gone": ({}, {"grants__myself-debianx": ...}, Temporary(), Temporary(), {MYBROS}, {MYBROS}),
    "a user is locked": ({}, {}, Temporary(), Temporary((), (Lock(USER, "myself"),)), {MYBROS}, {MYBROS}),
    "a vm is locked": ({}, {}, Temporary(), Temporary((), (Lock(VM, "leaptest"),)), {MINE}, {MINE}),
    "everything is locked": ({}, {}, Temporary(), Temporary((), (Lock(ALL),)), set(), set()),
    "a loan has ended": ({}, {}, Temporary((LOAN,)), Temporary(), {MINE, MYBROS}, {MINE, MYBROS}),
    "its vm is elsewhere": ({}, {"vms__debianx__tls_port": 20003}, Temporary(), Temporary(), {MINE, MYBROS}, {MYBROS}),
    "its vm has another name": (
        {},
        {
            "vms": {"deb": {"server": "mysrv", "tls_port": 20002}, "leaptest": {"server": "mysrv", "tls_port": 20004}},
            "grants__myself-debianx__vm": "deb",
        },
        Temporary(),
        Temporary(),
        {MINE, MYBROS},
        {MYBROS},
    ),
    "its server is elsewhere": (
        {},
        {"servers__mysrv__addresses": ["192.168.2.3"]},
        Temporary(),
        Temporary(),
        {MINE, MYBROS},
        set(),
    ),
    "by another name": (
        {},
        {"grants__myself-debianx": ..., "grants__new": {"user": "myself", "vm": "debianx"}},
        Temporary(),
        Temporary(),
        {MINE, MYBROS},
        {MINE, MYBROS},
    ),
    "to a group that may have them": (
        {},
        {"grants__myself-debianx": ..., "grants__new": {"group": "family", "vm": "debianx"}},
        Temporary(),
        Temporary(),
        {MINE, MYBROS},
        {MYBROS},
    ),
    "left out of a group": (
        {"grants": {"all": {"group": "family", "vm": "debianx"}}},
        {"grants": {"all": {"group": "family", "vm": "debianx", "except": ["mybro"]}}},
        Temporary(),
        Temporary(),
        {MINE},
        {MINE},
    ),
    "its server has another name": (
        {"servers__mysrv__addresses": ...},
        {"servers__mysrv__addresses": ..., "servers__mysrv__host": "other.example"},
        Temporary(),
        Temporary(),
        {MINE, MYBROS},
        set(),
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_who_stays(case):
    """At first whoever may, and where a run cannot go on whoever must."""
    before, after, temporary, becomes, certainly, provably = TAKEN[case]
    kept, _ = stored(policy(**before), temporary)
    wish = asked(kept, policy(**after), becomes)
    for less, staying in ((closing.certain, certainly), (closing.provable, provably)):
        found = less(kept, wish)
        assert {(access.user, access.vm) for access in found.accesses} == staying
        assert closing.takes_away(kept, found) is (found != kept)


def test_a_window_that_moves_is_left_where_both_are_open():
    """The run itself gives the rest, and until then nobody is thrown out."""
    before = policy(**TIMES, **{"grants__myself-debianx__schedule": "mornings"})
    after = policy(**TIMES, **{"grants__myself-debianx__schedule": "later"})
    kept, enforced = stored(before)
    assert closing.certain(kept, asked(kept, after)) == kept
    found = closing.provable(kept, asked(kept, after))
    (mine,) = (access for access in found.accesses if access.user == "myself")
    becomes = compile_policy(after, inventory(), (), (), Temporary(), NOW, DAY)
    opened = [times(made)[1021, "192.168.2.2", 20002] for made in (enforced, becomes, recalled(kept, found))]
    assert opened[2] == overlap(*opened[:2]) == mine.within
    assert opened[2] not in (opened[0], opened[1], NEVER)


def test_what_is_left_of_times_is_stored():
    before, after = policy(), policy(**TIMES, **{"grants__myself-debianx__schedule": "mornings"})
    kept, _ = stored(before)
    found = closing.provable(kept, asked(kept, after))
    assert found.day == DAY and any(access.within for access in found.accesses)
    assert load(dump(found)) == found


def test_a_loan_that_was_made_shorter_is_not_longer_afterwards():
    kept, _ = stored(temporary=Temporary((LOAN,)))
    shorter = LOAN._replace(end=NOW + 60)
    found = closing.provable(kept, asked(kept, temporary=Temporary((shorter,))))
    assert found.temporary.loans == (shorter,)
    assert times(recalled(kept, found))[1023, "192.168.2.2", 20002] == ((NOW, NOW + 60),)


def test_a_lock_that_is_taken_away_stays_until_the_run_gives():
    temporary = Temporary((), (Lock(USER, "myself", "old"),))
    kept, _ = stored(temporary=temporary)
    assert closing.provable(kept, asked(kept, temporary=Temporary())).temporary == temporary


def test_an_open_session_may_go_on_where_its_grant_drains():
    kept, _ = stored(policy(**{"grants__myself-debianx__on_end": "drain"}))
    door = (1021, "192.168.2.2", 20002)
    found = closing.certain(kept, asked(kept, policy(**{"grants__myself-debianx": ...})))
    made = closing.desired(kept, found, GID, NOW, [door], confined=False)
    assert [(drain.uid, drain.address, drain.port) for drain in made.draining] == [door]
    assert times(made).keys() == {(1022, "192.168.2.2", 20004)}


def test_who_is_to_be_asked_for_a_password():
    """Also where the run cannot go on; and what is stored says the same."""
    kept, _ = stored(policy(**{"grants__myself-debianx__nopasswd": True}))
    for less in (closing.certain, closing.provable):
        found = less(kept, asked(kept, policy(**{"grants__myself-debianx__nopasswd": False})))
        assert closing.takes_away(kept, found)
        assert not any(access.nopasswd for access in found.accesses if access.user == "myself")
        assert found.policy.grants["myself-debianx"].nopasswd is False
        assert closing.lost_doors(recalled(kept, kept), recalled(kept, found)) == set()


def test_where_somebody_lost_something():
    kept, _ = stored()
    found = closing.certain(kept, asked(kept, policy(**{"grants__myself-debianx": ...})))
    assert closing.lost_doors(recalled(kept, kept), recalled(kept, found)) == {(1021, "192.168.2.2", 20002)}


# By any pair of policies

subjects = st.sampled_from([{"user": "myself"}, {"user": "mybro"}, {"user": "guest"}, {"group": "family"}])
limits = st.sampled_from(
    [{}, {"schedule": "mornings"}, {"schedule": ["later", "mornings"]}, {"valid_until": "2026-11-25T00:00Z"}]
)
grants = st.builds(
    lambda *parts: {**parts[0], **parts[1], "vm": parts[2], "nopasswd": parts[3]},
    subjects,
    limits,
    st.sampled_from("ab"),
    st.booleans(),
)
places = st.sampled_from([20002, 20003])


@st.composite
def pillars(draw):
    """Small enough that two of them have much in common."""
    first = draw(places)
    spelled = draw(st.sampled_from([MORNINGS, LATER]))
    return policy(
        time={"horizon": "3d"},
        schedules={"mornings": spelled, "later": LATER},
        servers__mysrv__addresses=draw(st.sampled_from([["192.168.2.2"], ["192.168.2.2", "192.168.2.3"]])),
        vms={"a": {"server": "mysrv", "tls_port": first}, "b": {"server": "mysrv", "tls_port": 20004}},
        grants=draw(st.dictionaries(st.sampled_from(["one", "two", "three"]), grants)),
    )


loans = st.sampled_from(
    [
        Loan(user, vm, NOW, NOW + span, None, False, uid)
        for user, uid in (("guest", 1023), ("myself", 1021))
        for vm in "ab"
        for span in (60, 3600)
    ]
)
temporaries = st.builds(
    lambda lent, locked: Temporary(tuple({loan.name: loan for loan in lent}.values()), tuple(sorted(locked))),
    st.lists(loans, max_size=2),
    st.sets(st.sampled_from([Lock(USER, "myself"), Lock(VM, "a"), Lock(ALL)]), max_size=1),
)


@given(pillars(), pillars(), temporaries, temporaries)
def test_closing_gives_nothing_and_leaves_what_both_say(before, after, temporary, other):
    """Less than before; provably no more than the run gives; first nothing of what stays through the run."""
    # A run that changes the pillar changes no loans.
    becomes = temporary._replace(locks=other.locks)
    kept, enforced = stored(before, temporary)
    known = inventory(addresses={"mysrv": after.servers["mysrv"].addresses})
    enforced_then = compile_policy(after, known, (), (), becomes, NOW, DAY)
    given_then = times(enforced_then)
    wish = asked(kept, after, becomes)
    made = [recalled(kept, less(kept, wish)) for less in (closing.certain, closing.provable)]
    first, least = map(times, made)
    assert within(first, times(enforced)) and within(least, first)
    assert free(made[1]) <= free(made[0]) <= free(enforced) and free(made[1]) <= free(enforced_then)
    assert free(enforced) & free(enforced_then) & first.keys() <= free(made[0])
    assert within(least, given_then)
    both = {door: overlap(opened, given_then.get(door, NEVER)) for door, opened in times(enforced).items()}
    assert within({door: opened for door, opened in both.items() if opened}, first)


@given(pillars(), temporaries, temporaries)
def test_a_loan_that_ends_or_is_shorter_and_a_lock(same, temporary, other):
    known = {loan.name for loan in temporary.loans}
    becomes = other._replace(loans=tuple(loan for loan in other.loans if loan.name in known))
    kept, _ = stored(same, temporary)
    given_then = times(compile_policy(same, inventory(addresses=kept.addresses), (), (), becomes, NOW, DAY))
    found = recalled(kept, closing.provable(kept, asked(kept, temporary=becomes)))
    assert within(times(found), given_then)


@given(pillars(), temporaries)
def test_what_stays_is_not_touched(same, temporary):
    kept, _ = stored(same, temporary)
    for less in (closing.certain, closing.provable):
        found = less(kept, asked(kept))
        assert not closing.takes_away(kept, found)
