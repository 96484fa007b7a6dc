"""What other releases list: nft 1.1.3, cvtsudoers 1.9.16p2 and ip 6.15, all of Debian 13, as recorded there."""

import json
import pathlib

import pytest

from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.nft import egress, guard_table, spelling
from spicegrants.firewall.nft.egress import Uplink
from spicegrants.routing import policy_rules
from spicegrants.routing.policy_rules import RoutingRule
from spicegrants.sudo import sudoers
from unit.build import desired
from unit.timed import timed

RECORDED = pathlib.Path(__file__).with_name("recorded")
MASKED = {"&": [{"payload": {"base": "ll", "offset": 112, "len": 16}}, 0xFFF]}
LOWER = {"payload": {"base": "ll", "offset": 116, "len": 12}}


def recorded(name):
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def equal(left):
    return {"match": {"op": "==", "left": left, "right": 0}}


def test_a_table_as_another_release_lists_it_is_no_difference():
    compiled = timed()
    assert guard_table.plan_guard_table(compiled, recorded("table-times-1.1.3.json")) == FirewallPlan((), ())


def test_nor_is_the_guard_of_an_interface():
    compiled = desired({"firewall": {"guard": "servers"}}, addresses={"mysrv": ("192.168.2.2", "fd00::2")})
    devices = {"on_d0_9": Uplink("d0"), "on_d1_9": Uplink("d1", True)}
    assert egress.plan_egress(compiled, recorded("egress-1.1.3.json"), devices) == FirewallPlan((), ())


def test_lower_bits_of_a_place_are_that_place():
    assert spelling.expression(equal(MASKED)) == spelling.expression(equal(LOWER)) == equal(LOWER)


@pytest.mark.parametrize(
    "left",
    [
        {"&": [{"payload": {"base": "ll", "offset": 112, "len": 16}}, 0xFF0]},
        {"&": [{"payload": {"base": "ll", "offset": 112, "len": 16}}, 0]},
        {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 0x3FFF]},
        {"&": [{"payload": {"base": "ll", "offset": 112, "len": 16}}, "x"]},
        {"&": [1, 2, 3]},
        {"meta": {"key": "skuid"}},
        "anything",
    ],
)
def test_anything_else_stays_as_it_is(left):
    assert spelling.expression(equal(left)) == equal(left)
    assert spelling.expression({"match": None}) == {"match": None}


def test_other_flags_of_a_set_are_a_difference():
    entry = {"type": "uid", "flags": ["timeout", "dynamic"]}
    assert spelling.attributes(entry) == {"type": "uid", "flags": ["timeout"]}
    assert spelling.attributes({**entry, "flags": ["constant", "dynamic"]}) == {"type": "uid", "flags": ["constant"]}
    assert spelling.attributes({"type": "uid", "flags": "interval"}) == {"type": "uid", "flags": ["interval"]}
    assert spelling.attributes({"type": "uid", "flags": ["dynamic"]}) == {"type": "uid"}


def specs(**runas):
    return {"User_Specs": [{"User_List": [], "Cmnd_Specs": [{**runas, "Commands": []}]}]}


def test_a_rule_that_names_a_group_only_is_run_by_whoever_calls():
    group = [{"usergroup": "spicegrp"}]
    spec = specs(runasusers=[{"username": ""}], runasgroups=group)
    assert sudoers.normalize(spec) == specs(runasgroups=group)
    assert sudoers.normalize({}) == {}


@pytest.mark.parametrize("runas", [{"runasusers": [{"username": ""}]}, {"runasusers": [{"username": "root"}]}, {}])
def test_any_other_stays_as_it_is(runas):
    """Without a group, no user is root, and an empty one is a riddle: neither is taken for the other."""
    assert sudoers.normalize(specs(**runas)) == specs(**runas)


@pytest.mark.parametrize("release", ["6.1", "6.15"])
def test_rules_of_routing(release):
    """From 6.15 on ip says of each single port that no bit of it is masked."""
    listed = [entry for entry in recorded(f"rules-{release}.json") if policy_rules.ours(entry)]
    assert [policy_rules.parse_rule(entry) for entry in listed] == [
        RoutingRule(163, "goto 166", 1021, "192.168.2.2", (20002, 20002)),
        RoutingRule(163, "goto 166", 0),
        RoutingRule(164, "lookup 7462", None, None, (20001, 20010)),
        RoutingRule(165, "prohibit", None, None, (20001, 20010)),
        RoutingRule(166, "nop"),
    ]
    assert policy_rules.parse_rule({**listed[0], "dport_mask": "0xff00"}) is None, "it lets more through"
