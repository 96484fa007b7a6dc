"""What verify tries of a large office: every user's own, and somebody without a grant at each console.

What is left out is said in figures, and nothing is left out of a small one.
"""

import random
import re

import pytest

from spicegrants.audit import sampling
from spicegrants.core.accounts import Account, Group
from spicegrants.firewall import guard
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.policy.loans_locks import Lock, Temporary


def office(users, vms, addresses=("192.168.2.2",), **grant):
    """Return the state of an office in which each user has a console, as far as there are any, and its accounts."""
    names, consoles = [f"user{index}" for index in range(users)], [f"vm{index}" for index in range(vms)]
    data = {
        "servers": {"mysrv": {"host": "mysrv", "addresses": list(addresses), "ports": "20001-60000"}},
        "vms": {name: {"server": "mysrv", "tls_port": 20001 + index} for index, name in enumerate(consoles)},
        "grants": {f"g-{name}": {"user": name, "vm": vm, **grant} for name, vm in zip(names, consoles)},
    }
    accounts = {name: Account(name, 2000 + index, 100) for index, name in enumerate([*names, "guest"])}
    inventory = Inventory(accounts, {"spicegrp": Group("spicegrp", 995)}, addresses={"mysrv": addresses})
    return compile_policy(pillar.parse_policy(data), inventory), list(accounts.values()), consoles


def choose(desired, users, vms, full, hour):
    return sampling.choose(desired, users, vms, full, random.Random(hour))  # noqa: S311


def pairs(trials):
    return {(name, vm) for name, tried in trials.connected.items() for vm in tried}


@pytest.mark.parametrize("full", [False, True])
def test_of_a_small_office_everything_is_tried(full):
    desired, users, vms = office(15, 20)
    trials = choose(desired, users, vms, full, 1)
    assert pairs(trials) == trials.asked == {(user.name, vm) for user in users for vm in vms}
    assert trials.entered == {user.name for user in users}
    assert trials.certificates == set(vms[:15])
    assert trials.left_out == ()


@pytest.mark.parametrize("hour", range(12))
@pytest.mark.parametrize(("users", "vms"), [(70, 70), (400, 300), (300, 1500)])
def test_of_a_large_office_each_users_own_and_each_console(users, vms, hour):
    desired, accounts, consoles = office(users, vms)
    trials = choose(desired, accounts, consoles, False, hour)
    own = {(access.user, access.vm) for access in desired.accesses}
    tried = pairs(trials)
    assert own <= tried
    assert {vm for _, vm in tried - own} == set(consoles), "somebody without a grant tries each"
    assert {name for name, _ in tried - own} >= {"guest"}
    assert len(tried) <= len(own) + len(consoles) + sampling.OTHERS * len(accounts)
    assert trials.asked < tried and trials.entered < {user.name for user in accounts}


def test_what_is_left_out_is_said_in_figures():
    desired, users, vms = office(400, 300)
    trials = choose(desired, users, vms, False, 1)
    said = [tuple(int(word.replace(",", "")) for word in re.findall(r"[0-9,]*[0-9]", line)) for line in trials.left_out]
    assert said == [
        (len(pairs(trials)), 401 * 300),
        (len(trials.asked), 401 * 300),
        (len(trials.entered), 401),
        (len(trials.certificates), 300),
    ]


def test_each_kind_of_rule_is_asked_of_sudo():
    desired, users, vms = office(400, 300)
    free = pillar.parse_policy(
        {
            "servers": {"mysrv": {"host": "mysrv", "addresses": ["192.168.2.2"], "ports": "20001-60000"}},
            "vms": {name: {"server": "mysrv", "tls_port": 20001 + index} for index, name in enumerate(vms)},
            "grants": {f"g{index}": {"user": f"user{index}", "vm": vm} for index, vm in enumerate(vms)}
            | {"one": {"user": "guest", "vm": "vm7", "nopasswd": True}},
        }
    )
    desired = compile_policy(free, desired.inventory)
    for hour in range(20):
        assert ("guest", "vm7") in choose(desired, users, vms, False, hour).asked


def test_what_is_drawn_is_another_each_hour_and_the_same_within_it():
    desired, users, vms = office(400, 300)
    first, again, later = (choose(desired, users, vms, False, hour) for hour in (1, 1, 2))
    assert first == again
    assert pairs(first) != pairs(later) and first.asked != later.asked and first.entered != later.entered


@pytest.mark.parametrize("alone", [False, True], ids=["all", "one user"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("addresses", [("192.168.2.2",), ("192.168.2.2", "192.168.2.3")])
def test_the_guard_can_note_all_that_is_refused(alone, full, addresses):
    """Of one user, and of all; what it did not note would be taken for a hole."""
    desired, users, vms = office(60, 3000, addresses)
    trials = choose(desired, users[:1] if alone else users, vms, full, 1)
    for tried in trials.connected.values():
        assert 2 * len(addresses) * len(tried) < guard.NOTED_BURST
    assert len(pairs(trials)) <= (sampling.MOST_IN_FULL if full else sampling.MOST)
    own = {(access.user, access.vm) for access in desired.accesses if access.user in trials.connected}
    assert own and own <= pairs(trials)


def test_in_full_all_is_tried_that_can_be():
    desired, users, vms = office(100, 150)
    trials = choose(desired, users, vms, True, 1)
    assert len(pairs(trials)) == len(trials.asked) == 101 * 150 and trials.left_out == ()
    desired, users, vms = office(200, 200)
    trials = choose(desired, users, vms, True, 1)
    assert len(pairs(trials)) == sampling.MOST_IN_FULL
    assert "30,000 of 40,200 pairs" in trials.left_out[0]


def test_a_locked_users_consoles_are_their_own():
    """Who was locked out tries to get in."""
    desired, users, vms = office(400, 300)
    locked = compile_policy(desired.policy, desired.inventory, temporary=Temporary(locks=(Lock("all"),)))
    assert not locked.accesses
    trials = choose(locked, users, vms, False, 1)
    assert {(access.user, access.vm) for access, _ in locked.locked} <= pairs(trials)
