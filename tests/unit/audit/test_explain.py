"""Why a user may, or may not, open a console: each layer's answer."""

import dataclasses

import pytest

from spicegrants.audit import explain
from spicegrants.core.errors import Finding
from spicegrants.firewall.trace.tracer import Cause, Obstacle
from spicegrants.schedule.instants import EARLIEST as NOW
from spicegrants.sudo import sudoers
from unit.build import EVENING_WINDOWS, GID, TIMED, desired

BOTH = {"mysrv": ("192.168.2.2", "2001:db8::2")}


def element(**changes):
    ours = {"uid": 1021, "gid": GID, "address": "192.168.2.2", "port": 20002, "verdict": "accept", "foreign": False}
    return {**ours, **changes}


# The policy


def test_granted_names_all_grants_behind_it():
    compiled = desired(
        {
            "grants__myself-debianx__reason": "year-end",
            "grants__myself-debianx__contact": "Anne",
            "grants__everyone": {"group": "family", "vm": "debianx"},
        }
    )
    assert explain.policy(compiled, "myself", "debianx", NOW) == {
        "answer": "granted",
        "why": "grant everyone (group family); grant myself-debianx (user myself, year-end, contact Anne)",
    }
    assert explain.policy(compiled, "mybro", "debianx", NOW)["why"] == "grant everyone (group family)"


def test_no_grant():
    assert explain.policy(desired(), "guest", "debianx", NOW) == {
        "answer": "not granted",
        "why": "no grant of debianx means guest",
    }


def test_a_grant_that_is_hindered_says_why():
    compiled = desired({"grants__gone": {"user": "gone", "vm": "debianx"}})
    assert explain.policy(compiled, "gone", "debianx", NOW) == {
        "answer": "not granted",
        "why": "spice:grants:gone:user: no user 'gone' on this machine",
    }
    assert explain.policy(compiled, "gone", "leaptest", NOW)["why"] == "no grant of leaptest means gone"
    assert explain.policy(compiled, "guest", "debianx", NOW)["why"] == "no grant of debianx means guest"


def test_a_server_that_is_not_found_says_why():
    lost = Finding("spice:servers:mysrv:host", "does not resolve: its consoles stay closed")
    compiled = desired(addresses={}, findings=(lost,))
    assert explain.policy(compiled, "myself", "debianx", NOW)["why"] == str(lost)


def test_a_vm_at_the_place_of_another_says_why():
    """For both of them."""
    compiled = desired(
        {
            "servers__alias": {"host": "alias.example.com", "ports": 20002},
            "vms__twin": {"server": "alias", "tls_port": 20002},
            "grants__twin": {"user": "myself", "vm": "twin"},
        },
        addresses={"mysrv": ("192.168.2.2",), "alias": ("192.168.2.2",)},
    )
    for vm, other in (("debianx", "twin"), ("twin", "debianx")):
        found = explain.policy(compiled, "myself", vm, NOW)
        assert found["answer"] == "not granted" and f"is also the console of vm '{other}'" in found["why"]


# The firewall


def firewall(rules, compiled=None, drift=None, user="myself", obstacles=None):
    return explain.firewall(compiled or desired(), user, "debianx", rules, drift or {}, obstacles or {})


def test_open():
    assert firewall([element()]) == {
        "answer": "open",
        "why": "element(s) for UID 1021 with GID 995 (spicegrp) to 192.168.2.2 port 20002",
    }


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [element(uid=1022)],
        [element(gid=1021)],
        [element(port=20004)],
        [element(address="192.168.2.3")],
        [element(verdict="drop")],
        [element(foreign=True)],
        [{"foreign": True, "verdict": "accept", "uid": 1021}],
    ],
)
def test_closed(rules):
    assert firewall(rules) == {
        "answer": "closed",
        "why": "no element for UID 1021 with GID 995 (spicegrp) to 192.168.2.2 port 20002",
    }


def test_open_at_one_address_only():
    found = firewall([element()], desired(addresses=BOTH))
    assert found["answer"] == "in doubt" and "to 2001:db8::2 port" in found["why"]
    both = [element(), element(address="2001:db8::2")]
    assert firewall(both, desired(addresses=BOTH))["answer"] == "open"


def obstacle(certain):
    return Obstacle("ip filter", "OUTPUT", certain, (Cause("OUTPUT", "policy", "drop"),))


def test_open_and_dropped_by_others():
    """An accept of ours never overrules another chain."""
    assert firewall([element()], obstacles={"192.168.2.2": (obstacle(True),)}) == {
        "answer": "blocked",
        "why": "element(s) for UID 1021 with GID 995 (spicegrp) to 192.168.2.2 port 20002, but towards 192.168.2.2 "
        "chain ip filter OUTPUT (policy drop) drops it",
    }


def test_open_and_perhaps_dropped_by_others():
    """Said, and not taken for an answer; likewise if another address is free."""
    found = firewall([element()], obstacles={"192.168.2.2": (obstacle(False),)})
    assert found["answer"] == "in doubt" and found["why"].endswith("(policy drop) may drop it")
    both = [element(), element(address="2001:db8::2")]
    found = firewall(both, desired(addresses=BOTH), obstacles={"192.168.2.2": (obstacle(False), obstacle(True))})
    assert found["answer"] == "in doubt" and found["why"].count("towards 192.168.2.2 chain") == 2


def test_closed_whatever_others_do():
    assert firewall([], obstacles={"192.168.2.2": (obstacle(True),)})["answer"] == "closed"


def test_a_guard_that_is_altered():
    """An element says nothing while a foreign rule may stand before it."""
    drift = {"layers": {"firewall": ["restores chain output: 1 rule(s) missing"]}}
    assert firewall([element()], drift=drift) == {
        "answer": "in doubt",
        "why": "the guard is not as it must be; a run restores chain output: 1 rule(s) missing",
    }
    assert firewall([element()], drift={"grants": {"x": {"firewall": ["opens"]}}})["answer"] == "open"


def test_unknown_to_the_firewall():
    assert firewall([], user="gone") == {"answer": "closed", "why": "no user gone on this machine"}
    assert firewall([], desired(addresses={})) == {
        "answer": "closed",
        "why": "the address of server mysrv is not known",
    }


# Sudo


def sudo(ours, allowed, compiled=None):
    return explain.sudo(compiled or desired(), "myself", "debianx", ours, allowed)


OURS = [rule for rule in sudoers.rules(desired()) if rule.user == "myself"]


def test_sudo_by_our_rules():
    assert sudo(OURS, True) == {"answer": "allowed", "why": "2 exact rule(s); asks for the user's own password"}
    without = desired({"grants__myself-debianx__nopasswd": True})
    free = [rule for rule in sudoers.rules(without) if rule.user == "myself"]
    assert sudo(free, True) == {"answer": "allowed", "why": "2 exact rule(s); no password is asked"}


@pytest.mark.parametrize("ours", [[], [rule for rule in sudoers.rules(desired()) if rule.user == "mybro"]])
def test_sudo_by_rules_of_others(ours):
    assert sudo(ours, True) == {"answer": "allowed", "why": "by a rule of another file, not by ours"}


def test_sudo_refuses():
    assert sudo([], False) == {"answer": "refused", "why": "no rule"}
    assert sudo(OURS, False) == {"answer": "refused", "why": "our rule is there, but another overrules it"}


MIDDLE = EVENING_WINDOWS[1][0] + 60
ASKED = "asks for the user's own password"


def at(moment, allowed, now=MIDDLE, ours=None, **limits):
    """Ask sudo's answer of a moment, where the rules are open in the evenings."""
    changes = {**TIMED, **{f"grants__myself-debianx__{name}": value for name, value in limits.items()}}
    compiled = dataclasses.replace(desired(changes), now=now)
    rules = sudoers.rules(compiled) if ours is None else ours
    return explain.sudo(compiled, "myself", "debianx", rules, allowed, moment)


def test_sudo_says_until_when_our_rules_allow_it():
    expected = {"answer": "allowed", "why": f"2 exact rule(s); {ASKED}; until Tue 2019-12-31 22:00 Europe/Berlin"}
    assert at(MIDDLE, True) == at(None, True) == expected


def test_sudo_says_when_our_rules_open():
    before = EVENING_WINDOWS[1][0] - 1
    why = "our rule is closed at this moment; it opens Tue 2019-12-31 18:00 Europe/Berlin"
    assert at(before, False, before) == at(None, False, before) == {"answer": "refused", "why": why}


def test_sudo_beyond_the_last_window():
    end = EVENING_WINDOWS[-1][1]
    assert at(end, False, end) == {
        "answer": "refused",
        "why": "our rule is closed at this moment; it does not open again",
    }


def test_sudo_allows_while_our_rules_are_closed():
    end = EVENING_WINDOWS[1][1]
    assert at(end, True, end) == {"answer": "allowed", "why": "by a rule of another file, not by ours"}


def test_sudo_refuses_while_our_rules_are_open():
    assert at(MIDDLE, False)["why"] == "our rule is there, but another overrules it"


@pytest.mark.parametrize("allowed", [True, False, None])
def test_of_another_moment_sudo_is_not_asked(allowed):
    """What it says now does not count: our file answers."""
    start, end = EVENING_WINDOWS[2]
    assert at(start, allowed)["answer"] == at(end - 1, allowed)["answer"] == "allowed"
    assert at(start - 1, allowed)["answer"] == at(end, allowed)["answer"] == "refused"
    assert at(start, allowed)["why"] == f"2 exact rule(s); {ASKED}; until Wed 2020-01-01 22:00 Europe/Berlin"
    assert at(end, allowed)["why"].endswith("it opens Thu 2020-01-02 18:00 Europe/Berlin")
    assert at(start, allowed, ours=[]) == {"answer": "refused", "why": "no rule"}


def test_of_another_moment_some_rules_are_open():
    first, second = (rule for rule in sudoers.rules(desired(TIMED)) if rule.user == "myself")
    ours = [first, dataclasses.replace(second, windows=EVENING_WINDOWS[:2])]
    expected = {"answer": "in doubt", "why": "our file lets some of the calls, and refuses others"}
    assert at(EVENING_WINDOWS[2][0], True, ours=ours) == expected


def test_what_sudo_says_is_of_what_the_file_holds():
    """Not of what it should hold."""
    ours = [dataclasses.replace(rule, windows=EVENING_WINDOWS[:1]) for rule in sudoers.rules(desired(TIMED))]
    assert at(EVENING_WINDOWS[0][0], None, ours=ours)["answer"] == "allowed"
    assert at(EVENING_WINDOWS[2][0], None, ours=ours)["answer"] == "refused"


# The viewer, and all together


def test_viewer():
    assert explain.viewer({})["answer"] == "only through sudo"
    assert explain.viewer({"grants": {"x": {"viewer": ["creates"]}}})["answer"] == "only through sudo"
    assert explain.viewer({"layers": {"viewer": ["takes guest out of group spicegrp", "b"]}}) == {
        "answer": "in doubt",
        "why": "a run takes guest out of group spicegrp; b",
    }


ANSWERS = {
    "policy": ("granted", "not granted"),
    "firewall": ("open", "closed", "blocked", "in doubt"),
    "sudo": ("allowed", "refused"),
    "viewer": ("only through sudo", "in doubt"),
}


@pytest.mark.parametrize("viewer", ANSWERS["viewer"])
@pytest.mark.parametrize("sudo_answer", ANSWERS["sudo"])
@pytest.mark.parametrize("firewall_answer", ANSWERS["firewall"])
@pytest.mark.parametrize("policy", ANSWERS["policy"])
def test_summary(policy, firewall_answer, sudo_answer, viewer):
    """Only layers that all say the same are an answer."""
    words = (policy, firewall_answer, sudo_answer, viewer)
    expected = "in doubt"
    if words == ("granted", "open", "allowed", "only through sudo"):
        expected = "may open"
    if words == ("granted", "blocked", "allowed", "only through sudo"):
        expected = "blocked"
    if words == ("not granted", "closed", "refused", "only through sudo"):
        expected = "may not open"
    answers = {layer: {"answer": answer} for layer, answer in zip(ANSWERS, words)}
    for routed in ("open", "closed", "off", "in doubt"):
        # It lets through whom others refuse at this moment; where it hinders, it is no answer.
        hinders = routed == "in doubt" or (routed == "closed" and policy == "granted")
        found = explain.summary({**answers, "routing": {"answer": routed}})
        assert found == ("in doubt" if hinders else expected)


def test_routing():
    compiled, rules = desired(), [{"uid": 1021, "address": "192.168.2.2", "ports": [20001, 20002]}]
    assert explain.routing(compiled, "myself", "debianx", rules, {}) == {
        "answer": "open",
        "why": "rule(s) lead UID 1021 to 192.168.2.2 port 20002",
    }
    for user, vm in (("myself", "leaptest"), ("mybro", "debianx"), ("stranger", "debianx")):
        assert explain.routing(compiled, user, vm, rules, {})["answer"] == "closed"
    two = desired(addresses={"mysrv": ("192.168.2.2", "192.168.2.3")})
    assert explain.routing(two, "myself", "debianx", rules, {})["why"].endswith("to 192.168.2.2 port 20002")
    assert explain.routing(compiled, "myself", "debianx", None, {})["answer"] == "off"
    altered = {"layers": {"routing": ["makes spice-dead"]}}
    assert explain.routing(compiled, "myself", "debianx", rules, altered)["answer"] == "in doubt"
