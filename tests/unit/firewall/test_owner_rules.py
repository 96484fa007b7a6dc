"""Owner-match rules in a listing of the whole ruleset, as nft 1.0.6 printed it."""

import json
import pathlib

import pytest

from spicegrants.firewall import owner_rules
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.nft import guard_table
from spicegrants.policy.access import Times
from unit.timed import TODAY

RECORDED = json.loads(
    pathlib.Path(__file__).parents[1].joinpath("recorded").joinpath("ruleset.json").read_text(encoding="utf-8")
)
OTHER = {"table": "ip other", "chain": "o", "foreign": True}


def test_our_elements():
    assert owner_rules.ours(guard_table.elements(RECORDED), {})[0] == {
        "uid": 1021,
        "gid": 995,
        "address": "192.168.2.2",
        "port": 20002,
        "vm": "debianx",
        "verdict": "accept",
        "packets": 1,
        "bytes": 60,
        "foreign": False,
    }
    assert [(rule["uid"], rule["address"]) for rule in owner_rules.ours(guard_table.elements(RECORDED), {})] == [
        (1021, "192.168.2.2"),
        (1021, "2001:db8::2"),
        (1022, "192.168.2.2"),
        (1022, "2001:db8::2"),
    ]


def test_foreign_rules():
    """Whatever matches an owner, in any form; only plain comparisons are spelled out."""
    found = [{key: value for key, value in rule.items() if key != "handle"} for rule in owner_rules.foreign(RECORDED)]
    assert found == [
        {**OTHER, "verdict": "accept"},  # meta skuid { 1000, 1001 } accept
        {**OTHER, "port": 20001, "verdict": "accept"},  # meta skuid 1000-1010 tcp dport 20001 accept
        {**OTHER, "verdict": "drop"},  # meta skuid != 1000 drop
        {**OTHER, "verdict": "accept"},  # meta skuid . tcp dport { 1000 . 22 } accept
        {**OTHER, "uid": 1000, "verdict": "accept"},  # meta skuid 1000 ip daddr 10.0.0.0/8 accept
        {
            **OTHER,  # meta skuid 1000 meta skgid 995 ip daddr 192.168.2.2 tcp dport 20002 counter accept
            "uid": 1000,
            "gid": 995,
            "address": "192.168.2.2",
            "port": 20002,
            "packets": 0,
            "bytes": 0,
            "verdict": "accept",
        },
        {**OTHER, "verdict": "accept"},  # meta skuid & 1 == 1 accept
        OTHER,  # meta skuid vmap { 1000 : accept }
        {**OTHER, "uid": 1000},  # meta skuid 1000 log
        {**OTHER, "gid": 4, "verdict": "reject"},  # meta skgid 4 reject
        {
            "table": "ip filter",  # iptables -A OUTPUT -m owner --uid-owner 1000 -p tcp --dport 20001 -j ACCEPT
            "chain": "OUTPUT",
            "foreign": True,
            "port": 20001,
            "packets": 0,
            "bytes": 0,
            "verdict": "accept",
        },
    ]


def test_each_has_its_handle():
    handles = [rule["handle"] for rule in owner_rules.foreign(RECORDED)]
    assert all(isinstance(handle, int) for handle in handles)


def test_what_is_stated_can_be_looked_up():
    """UIDs are looked up in a table of users, so they are numbers and no sets or ranges."""
    for rule in owner_rules.foreign(RECORDED):
        for value in rule.values():
            assert isinstance(value, (int, str, bool))


def test_rules_of_our_own_table_are_not_foreign():
    ours = [entry for entry in RECORDED if entry.get("rule", {}).get("table") == "spice_grant"]
    assert ours and owner_rules.foreign(ours) == []


def test_a_table_of_our_name_in_another_family_is_foreign():
    match = {"match": {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": 1000}}
    place = {"family": "ip", "table": "spice_grant", "chain": "output", "handle": 3}
    assert owner_rules.foreign([{"rule": {**place, "expr": [match]}}]) == [
        {"table": "ip spice_grant", "chain": "output", "handle": 3, "uid": 1000, "foreign": True}
    ]


@pytest.mark.parametrize(
    "expression",
    [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}},
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}},
        {"vmap": {"key": {"meta": {"key": "oifname"}}, "data": "@x"}},
        {"xt": {"type": "match", "name": "conntrack"}},
        {"xt": None},
        {"counter": None},
        {"accept": None},
    ],
)
def test_rules_without_an_owner_are_left_out(expression):
    place = {"family": "ip", "table": "x", "chain": "y", "handle": 3}
    assert owner_rules.foreign([{"rule": {**place, "expr": [expression]}}]) == []


def test_an_empty_ruleset():
    assert owner_rules.ours({}, {}) == [] and owner_rules.foreign([]) == []


def test_elements_that_are_open_at_some_times_show_them():
    """As the chain holds them that they lead to; where it holds something else, that cannot be said."""
    times = Times(((TODAY, TODAY + 3600),), ((TODAY, TODAY + 5400),))
    chains = {"schedule_evenings": times, "schedule_altered": None}
    keys = [Key(uid, 995, "192.168.2.2", 20002) for uid in (1, 2, 3)]
    verdicts = ("schedule_evenings", "schedule_altered", "accept")
    timed, altered, always = owner_rules.ours(dict(zip(keys, map(Element, verdicts))), chains)
    assert timed["verdict"] == "schedule_evenings"
    assert timed["times"] == [["2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"]]
    assert timed["lasting"] == [["2026-11-24T00:00:00Z", "2026-11-24T01:30:00Z"]]
    assert altered["times"] is None and altered["lasting"] is None
    assert "times" not in always and "lasting" not in always
