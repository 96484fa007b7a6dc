"""One line that says who gets and who loses a console: exact, short, and harmless whatever the names are."""

import bisect
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.accounts import Account
from spicegrants.policy import decision, outcome, pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import ALL, USER, Loan, Lock, Temporary
from unit.build import article, changed, inventory
from unit.timestrategies import timed_pillars

# Tue 2026-11-24, 01:00 UTC
NOW = 1795482000
EVENINGS = {"days": "mon-fri", "hours": "18:00-22:00"}
TIMES = {"time": {"zone": "Europe/Berlin"}, "schedules": {"evenings": EVENINGS, "nights": EVENINGS}}
MINE = "grants__myself-debianx"
IN_THE_EVENING = {**TIMES, f"{MINE}__schedule": "evenings"}
ONLY_MINE = {**IN_THE_EVENING, "grants__mybro-leaptest": ...}
FAR = {"time": {"zone": "Europe/Berlin", "horizon": "9d"}}


def state(temporary=(), now=NOW, addresses=("192.168.2.2",), **changes):
    policy = pillar.parse_policy(changed(article(), **changes))
    system = inventory(addresses={"mysrv": addresses})
    return compile_policy(policy, system, (), (), Temporary(*temporary), now, decision.day_of(now))


UNCHANGED = state()
SAME = "nobody gets or loses a console"
OF_MINE = "1 console for 1 user (myself: debianx)"
OF_BOTH = "2 consoles for 2 users (mybro: leaptest; myself: debianx)"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, UNCHANGED, f"opens {OF_BOTH}, closes nothing"),
        (None, state(grants={}), SAME),
        (UNCHANGED, UNCHANGED, SAME),
        (UNCHANGED, state(grants={}), f"opens nothing, closes {OF_BOTH}"),
        (
            UNCHANGED,
            state(**{f"{MINE}__vm": "leaptest"}),
            f"opens 1 console for 1 user (myself: leaptest), closes {OF_MINE}",
        ),
        # By another grant, without a password, or with another reason: it is the same right.
        (UNCHANGED, state(**{MINE: ..., "grants__mine": {"user": "myself", "vm": "debianx", "nopasswd": True}}), SAME),
        # Locks and loans, which pillar knows nothing of.
        (
            UNCHANGED,
            state(([], [Lock(USER, "myself")])),
            f"opens nothing, closes {OF_MINE}",
        ),
        (
            state(([], [Lock(ALL)])),
            UNCHANGED,
            f"opens {OF_BOTH}, closes nothing",
        ),
        (
            UNCHANGED,
            state(([Loan("guest", "debianx", NOW, NOW + 60, uid=1023)],)),
            "opens 1 console for 1 user (guest: debianx), closes nothing",
        ),
        # Times: a right to a console is one, whenever it is open; hours that pass the same are the same.
        (UNCHANGED, state(**IN_THE_EVENING), f"changes the hours of {OF_MINE}"),
        (state(**IN_THE_EVENING), state(**{**IN_THE_EVENING, f"{MINE}__schedule": "nights"}), SAME),
        (None, state(**ONLY_MINE), f"opens {OF_MINE}, closes nothing"),
        (
            UNCHANGED,
            state(**{f"{MINE}__valid_until": "2026-11-20T00:00Z"}),
            f"opens nothing, closes {OF_MINE}",
        ),
        (UNCHANGED, state(**{f"{MINE}__valid_until": "2028-01-01T00:00Z"}), f"changes the hours of {OF_MINE}"),
        # What is not worked out yet is a right all the same.
        (
            state(grants={}),
            state(**{**ONLY_MINE, f"{MINE}__valid_from": "2027-06-01"}),
            f"opens {OF_MINE}, closes nothing",
        ),
        # Nor are hours that change beyond that.
        (
            state(**IN_THE_EVENING),
            state(**{**IN_THE_EVENING, f"{MINE}__valid_until": "2028-01-01"}),
            f"changes the hours of {OF_MINE}",
        ),
        (
            state(**IN_THE_EVENING),
            state(**{**IN_THE_EVENING, "schedules": {"evenings": {**EVENINGS, "except": ["2027-12-24"]}}}),
            f"changes the hours of {OF_MINE}",
        ),
        (
            state(**{**IN_THE_EVENING, "schedules": {"evenings": {**EVENINGS, "except": ["2020-12-24"]}}}),
            state(**IN_THE_EVENING),
            SAME,
        ),
        # A grant more of what is open anyway.
        (
            UNCHANGED,
            state(**{**TIMES, "grants__more": {"user": "myself", "vm": "debianx", "schedule": "nights"}}),
            SAME,
        ),
        # Another horizon gives and takes nothing.
        (state(**IN_THE_EVENING), state(**{**IN_THE_EVENING, **FAR}), SAME),
        # Where the consoles are.
        (UNCHANGED, state(addresses=("192.168.2.2", "192.168.2.3")), f"follows {OF_BOTH} to another place"),
        (UNCHANGED, state(**{"vms__debianx__tls_port": 20009}), f"follows {OF_MINE} to another place"),
    ],
)
def test_who_gets_and_who_loses_a_console(before, after, said):
    assert outcome.sentence(before, after) == said


def test_the_same_name_with_another_uid_is_somebody_else():
    users = {**inventory().users, "myself": Account("myself", 1050, 1050)}
    other = compile_policy(UNCHANGED.policy, inventory(users=users), now=NOW, day=UNCHANGED.day)
    expected = f"opens {OF_MINE}, closes {OF_MINE}"
    assert outcome.sentence(UNCHANGED, other) == expected


def test_a_clock_that_was_never_set_closes_what_has_times_and_the_right_stays():
    unset = compile_policy(state(**IN_THE_EVENING).policy, inventory(), now=NOW, day=None)
    assert outcome.sentence(state(**IN_THE_EVENING), unset) == (f"changes the hours of {OF_MINE}")


def test_of_many_some_are_named():
    vms = {f"vm{index}": {"server": "mysrv", "tls_port": 20001 + index} for index in range(6)}
    grants = {f"{user}-{vm}": {"user": user, "vm": vm} for vm in vms for user in ("guest", "mybro", "myself")}
    users = {**inventory().users, **{f"u{index}": Account(f"u{index}", 3000 + index, 100) for index in range(1500)}}
    grants |= {name: {"user": name, "vm": "vm0"} for name in users if name.startswith("u")}
    policy = pillar.parse_policy(changed(article(), vms=vms, grants=grants))
    said = outcome.sentence(None, compile_policy(policy, inventory(users=users), now=NOW, day=UNCHANGED.day))
    four = "vm0, vm1, vm2, vm3, 2 more"
    assert said == (
        f"opens 6 consoles for 1,503 users (guest: {four}; mybro: {four}; myself: {four}; u0: vm0; 1,499 more), "
        "closes nothing"
    )


def test_a_name_that_is_anything_is_quoted():
    (access, *_) = UNCHANGED.accesses
    odd = replace(UNCHANGED, accesses=(access._replace(user="a\x1b[2J\n\u202e"),))
    said = outcome.sentence(None, odd)
    assert said.isprintable() and "'a\\x1b[2J\\n\\u202e': leaptest" in said


@given(st.data())
def test_what_it_says_is_what_decisions_say(data):
    """At each moment at which anything can change, whether a console is open is asked for before and after."""
    first = pillar.parse_policy(data.draw(timed_pillars()))
    kept = {name: grant for name, grant in first.grants.items() if data.draw(st.booleans())}
    schedules = {**first.schedules}
    if schedules and data.draw(st.booleans()):
        name, other = (data.draw(st.sampled_from(sorted(schedules))) for _ in range(2))
        schedules[name] = schedules[other]._replace(name=name)
    now = NOW + data.draw(st.integers(-3, 40)) * 43_200
    users = sorted({grant.user for grant in first.grants.values() if grant.user})
    system = inventory(
        users={name: Account(name, 2000 + index, 100) for index, name in enumerate(users)},
        addresses=dict.fromkeys(first.servers, ("192.168.2.2",)),
        groups={first.viewer.group: inventory().groups["spicegrp"]._replace(name=first.viewer.group)},
    )
    before, after = (
        compile_policy(policy, system, now=now, day=decision.day_of(now))
        for policy in (first, replace(first, grants=kept, schedules=schedules))
    )
    opens, closes, changes, moves = outcome.compare(before, after)
    end = decision.span(first, decision.day_of(now))[1]
    rights = {(access.user, access.uid, access.vm) for each in (before, after) for access in each.accesses}
    # None is given here; what goes has either ended or no grant.
    assert opens == moves == [] and {*closes, *changes} <= rights
    for right in rights:
        old, new = (_openings(each, right) for each in (before, after))
        edges = {now, *(edge for edge in (*old, *new) if now <= edge < end)}
        differs = any(_open(old, edge) != _open(new, edge) for edge in edges)
        if differs:
            assert right in (*closes, *changes)
        elif right in changes:
            terms = before.access(*right[1:])[0].terms
            assert any(term.end > end for term in terms), "only what is not worked out yet can be different as well"


def _openings(state_, right):
    access, _ = state_.access(*right[1:])
    return [] if access is None else [edge for span in state_.times(access).opened for edge in span]


def _open(edges, moment):
    return bisect.bisect_right(edges, moment) % 2 == 1
