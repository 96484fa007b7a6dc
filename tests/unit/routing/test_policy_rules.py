"""Rules of policy routing: who passes them, what differs, and that no step on the way opens more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.changes import as_dict
from spicegrants.core.paths import DEVICE
from spicegrants.routing import policy_rules, transition
from spicegrants.routing.policy_rules import Live
from unit.build import TIMED, desired
from unit.roads import Rules

LO = {"ifname": "lo", "flags": ["LOOPBACK", "UP"]}
ETH = {"ifname": "eth0", "flags": ["BROADCAST", "UP"], "linkinfo": {"info_kind": "veth"}}
DEAD = {"ifname": DEVICE, "flags": ["UP"], "linkinfo": {"info_kind": "dummy"}}
WAY = {"type": "unicast", "dst": "default", "dev": DEVICE, "protocol": "74", "scope": "link", "flags": []}
HOLDING = {"type": "2", "dst": "default", "dev": "eth0", "protocol": "74", "metric": 1, "flags": []}
PLACES = [(uid, address, port) for uid in (0, 1021, 1022, 1023) for address in ("192.168.2.2", "192.168.2.9")
          for port in (19999, 20001, 20002, 20003, 20004, 20010, 20011)]  # fmt: skip
POLICIES = {
    "article": {},
    "none": {"grants": {}},
    "other": {"grants__mybro-leaptest__vm": "debianx"},
    "both": {"grants__more": {"user": "myself", "vm": "leaptest"}},
    "neighbours": {"vms__leaptest__tls_port": 20003, "grants__more": {"user": "myself", "vm": "leaptest"}},
    "ports": {"servers__mysrv__ports": ["20001-20005", "20007-20010"]},
    "servers": {"firewall": {"guard": "servers"}},
}


def live(rules=None, routes=(WAY, HOLDING), links=(LO, ETH, DEAD), version=4):
    entries = (rules or Rules()).entries
    return Live({version: entries}, {version: list(routes)}, list(links))


def passing(rules):
    return {place for place in PLACES if rules.passes(*place)}


def loaded(asked, rules=None):
    rules = rules or Rules()
    rules.run(transition.plan_transition(asked, live(rules)).commands[4])
    return rules


def changes(asked, rules, **kw):
    return as_dict(transition.plan_transition(asked, live(rules, **kw)).changes)


@pytest.mark.parametrize("name", POLICIES)
def test_only_the_granted_pass_and_all_that_is_not_guarded(name):
    asked = desired(POLICIES[name])
    rules = loaded(asked)
    doors = {
        (access.uid, address, asked.port(access)) for access in asked.accesses for address in asked.addresses(access)
    }
    guarded = {port for low, high in asked.policy.guarded_ports() for port in range(low, high + 1)}
    for uid, address, port in PLACES:
        free = port not in guarded or (name == "servers" and address != "192.168.2.2")
        # What is root's cannot be distinguished from the kernel's own.
        assert rules.passes(uid, address, port) is (free or uid == 0 or (uid, address, port) in doors)
        assert rules.passes(uid, address, port, tcp=False)
        assert rules.passes(0, address, port, iif="eth1") is free, "what is only forwarded"


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_loaded_is_as_it_must_be(name):
    asked = desired(POLICIES[name])
    assert changes(asked, loaded(asked)) == {}


def test_the_first_run_says_what_is_guarded_and_who_may_pass():
    assert changes(desired(), Rules(), routes=(), links=(LO,)) == {
        "layers": {
            "routing": [
                "makes spice-dead",
                "guards ports 20001-20010 towards every destination (IPv4)",
                "sets table 7462 (IPv4): holds what is sent by spice-dead",
            ]
        },
        "grants": {
            "myself-debianx": {"routing": ["opens 192.168.2.2 port 20002 to myself"]},
            "mybro-leaptest": {"routing": ["opens 192.168.2.2 port 20004 to mybro"]},
        },
    }


def test_neighbouring_ports_are_one_rule():
    asked = desired(POLICIES["neighbours"])
    found = [rule.words for rule in policy_rules.granted_rules(asked, 4)]
    assert found[0].endswith("uidrange 1021-1021 to 192.168.2.2 ipproto tcp dport 20002-20003 goto 166")


def test_a_grant_with_times_has_its_rule_at_all_times():
    assert loaded(desired(TIMED)).passes(1021, "192.168.2.2", 20002)


def test_other_traffic_meets_three_rules_however_many_grants_there_are():
    few, many = loaded(desired({"grants": {}})), loaded(desired())
    for rules in (few, many):
        below = [rule for rule in rules.entries if 0 < rule["priority"] <= policy_rules.PAST]
        assert len(below) == 2 and below[-1]["goto"] == policy_rules.END


# Each is one way to alter what is there: lines that are carried out, and what is said of it.
ALTERED = {
    "granted deleted": (["rule del pref 163 uidrange 1021-1021"], "opens 192.168.2.2 port 20002 to myself"),
    "other user": (
        ["rule add pref 163 protocol 74 uidrange 1023-1023 to 192.168.2.2 ipproto tcp dport 20002 goto 166"],
        "closes 192.168.2.2 port 20002 to UID 1023",
    ),
    "everybody passes": (["rule add pref 163 protocol 74 goto 166"], "1 rule(s) that do not belong there"),
    "everybody passes, by somebody else": (["rule add pref 163 goto 166"], "1 rule(s) that do not belong there"),
    "somebody else's": (["rule add pref 162 table 254"], "1 rule(s) that do not belong there"),
    "entry deleted": (["rule del pref 161"], "1 rule(s) missing"),
    "lookup deleted": (["rule del pref 164"], "1 rule(s) missing"),
    "closing deleted": (["rule del pref 165"], "1 rule(s) missing"),
    "end deleted": (["rule del pref 166"], "1 rule(s) missing"),
    "root's deleted": (["rule del pref 163 uidrange 0-0"], "1 rule(s) missing"),
    "past deleted": (["rule del pref 162"], "1 rule(s) missing"),
    "ours elsewhere": (["rule add pref 90 protocol 74 table 254"], "1 rule(s) that do not belong there"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered_is_said_and_put_right(name):
    lines, words = ALTERED[name]
    asked, rules = desired(), loaded(desired())
    rules.run(lines)
    assert words in str(changes(asked, rules))
    for _ in range(2):
        loaded(asked, rules)
    assert changes(asked, rules) == {} and passing(rules) == passing(loaded(asked))


def test_rules_of_others_stay():
    site = ["rule add pref 100 table 255", "rule add pref 160 iif eth7 table 12", "rule add pref 1000 table 255"]
    rules = loaded(desired(), Rules(*site))
    rules.run(transition.plan_transition(None, live(rules)).commands[4])
    assert rules.entries == Rules(*site).entries


@given(st.sampled_from(list(POLICIES)), st.sampled_from(list(POLICIES)), st.sampled_from([None, *ALTERED]))
def test_no_step_opens_more_than_what_was_and_what_will_be(before, after, altered):
    rules, asked = loaded(desired(POLICIES[before])), desired(POLICIES[after])
    try:
        rules.run(ALTERED[altered][0] if altered else ())
    except (StopIteration, AssertionError):
        return
    allowed = passing(rules) | passing(loaded(asked))
    for line in transition.plan_transition(asked, live(rules)).commands[4]:
        rules.run([line])
        assert passing(rules) <= allowed, line


@pytest.mark.parametrize("name", POLICIES)
def test_no_step_of_the_removal_closes_what_is_not_guarded(name):
    rules = loaded(desired(POLICIES[name]))
    for line in transition.plan_transition(None, live(rules)).commands[4]:
        rules.run([line])
        assert all(rules.passes(*place) for place in PLACES if place[2] == 19999)
    assert rules.entries == Rules().entries


@pytest.mark.parametrize(
    ("routes", "links", "words"),
    [
        ((HOLDING,), (LO, ETH, DEAD), "sets table 7462 (IPv4): holds what is sent by spice-dead"),
        ((WAY,), (LO, ETH, DEAD), "sets table 7462 (IPv4): holds what is sent by eth0"),
        ((WAY, HOLDING, {**WAY, "dst": "192.168.2.2", "dev": "eth0"}), (LO, ETH, DEAD), "its routes were altered"),
        ((WAY, HOLDING, {**WAY, "dev": "eth0"}), (LO, ETH, DEAD), "its routes were altered"),
        ((WAY, HOLDING, {**WAY, "gateway": "192.168.2.2"}), (LO, ETH, DEAD), "its routes were altered"),
        ((WAY, HOLDING), (LO, ETH), "makes spice-dead"),
        ((WAY, HOLDING), (LO, ETH, {**DEAD, "linkinfo": {"info_kind": "veth"}}), "makes spice-dead"),
        ((HOLDING,), (LO, ETH, {**DEAD, "flags": []}), "sets spice-dead up"),
    ],
)
def test_routes_and_device_that_are_not_as_they_must_be(routes, links, words):
    asked = desired()
    assert words in str(changes(asked, loaded(asked), routes=routes, links=links))


def test_devices_that_are_down_or_belong_to_a_bridge_need_no_route():
    idle = [{**ETH, "flags": []}, {**ETH, "master": "br0"}, LO, DEAD, {**ETH, "ifname": 'a"b'}]
    assert policy_rules.bindable_devices(idle) == [] and policy_rules.bindable_devices([ETH]) == ["eth0"]


def test_nothing_is_left_where_the_layer_is_off():
    rules = loaded(desired())
    planned = transition.plan_transition(None, live(rules))
    assert planned.device == "remove" and "route flush table 7462" in planned.commands[4]
    assert as_dict(planned.changes) == {"layers": {"routing": ["removes spice-dead", "removes the rules (IPv4)"]}}
    rules.run(planned.commands[4])
    assert as_dict(transition.plan_transition(None, live(rules, (), (LO, ETH))).changes) == {}


def test_without_an_address_in_an_ip_version_nothing_stands_there():
    asked = desired(POLICIES["servers"])
    assert policy_rules.desired_rules(asked, 6) == [] != policy_rules.desired_rules(asked, 4)
