"""Other firewalls' chains: what they do to a user's first packet, as far as it can be known from their rules."""

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.firewall.trace import iptables_rules, nft_rules, tracer
from spicegrants.firewall.trace.tracer import Cause, Chain, Packet, Step, Table, TracedRule

PACKET = Packet(1021, 995, "192.168.2.2", 20002, "eth0")
PACKET6 = Packet(1021, 995, "fd00:2::2", 20002, "eth0")
# As nft 1.0.6 lists it, one chain of rules that have nothing to do with each other.
SITE = json.loads(
    pathlib.Path(__file__).parents[1].joinpath("recorded").joinpath("site.json").read_text(encoding="utf-8")
)
# What was loaded, in order, and what becomes of the packet: of IPv4, of IPv6.
RULES = [
    ("ct state established,related drop", "passes", "passes"),
    ("ct state new,invalid drop", "drops", "drops"),
    ("ct state { new, established } drop", "drops", "drops"),
    ("ct state != new drop", "passes", "passes"),
    ("ct state != { new, established } drop", "passes", "passes"),
    ("ct state vmap { established : accept, new : drop }", "drops", "drops"),
    ("oif lo drop", "passes", "passes"),
    ('oifname "eth*" drop', "drops", "drops"),
    ('oifname != { "lo", "tun0" } drop', "drops", "drops"),
    ("meta l4proto tcp drop", "drops", "drops"),
    ("meta l4proto { icmp, udp } drop", "passes", "passes"),
    ("meta nfproto ipv4 drop", "drops", "passes"),
    ("meta protocol ip drop", "may drop", "may drop"),
    ("meta skuid 1021 drop", "drops", "drops"),
    ("meta skuid 0-100 drop", "passes", "passes"),
    ("meta skuid != { 1, 1021 } drop", "passes", "passes"),
    ("meta skgid > 100 drop", "drops", "drops"),
    ("meta skgid <= 100 drop", "passes", "passes"),
    ("ip daddr @nets drop", "drops", "passes"),
    ("ip daddr != @nets drop", "passes", "passes"),
    ("ip daddr @moving drop", "may drop", "passes"),
    ("tcp dport @none drop", "passes", "passes"),
    ("ip daddr . tcp dport @places drop", "drops", "passes"),
    ("ip daddr . tcp dport { 1.2.3.4 . 22, 192.168.0.0/16 . 5-9 } drop", "passes", "passes"),
    ('oifname . tcp dport { "lo" . 20002, "eth0" . 22 } drop', "passes", "passes"),
    ("tcp dport vmap @fates", "drops", "drops"),
    ("ip daddr vmap @rest", "drops", "passes"),
    ("tcp dport vmap { 1 : drop, 20000-20009 : goto refuse }", "drops", "drops"),
    ("ip daddr != 10.0.0.0/8 drop", "drops", "passes"),
    ("ip6 daddr fd00::/8 drop", "passes", "drops"),
    ("ip6 daddr != fd00::/8 drop", "passes", "passes"),
    ("udp dport != 53 drop", "passes", "passes"),
    ("tcp flags syn / syn,ack drop", "may drop", "may drop"),
    ("limit rate 5/minute drop", "may drop", "may drop"),
    ("tcp dport { 22, 80 } limit rate 5/minute drop", "passes", "passes"),
    ("th dport 20002 drop", "drops", "drops"),
    ("meta mark 0 drop", "may drop", "may drop"),
    ("ip protocol tcp drop", "drops", "passes"),
    ("ip6 nexthdr tcp drop", "passes", "drops"),
    ("ip daddr & 255.255.0.0 == 192.168.0.0 drop", "drops", "passes"),
    ("ip daddr set 1.2.3.4 tcp dport 20002 drop", "may drop", "may drop"),
    ('counter log prefix "x" drop', "drops", "drops"),
    ("ct mark 1 drop", "may drop", "may drop"),
    ("ct count over 5 drop", "may drop", "may drop"),
    ("fib daddr type local drop", "may drop", "may drop"),
    ("add @moving { ip daddr } drop", "may drop", "may drop"),
]


def word(found):
    if not found:
        return "passes"
    return "drops" if any(obstacle.certain for obstacle in found) else "may drop"


@pytest.mark.parametrize("number", range(len(RULES)), ids=[rule[0] for rule in RULES])
def test_rules_as_nft_lists_them(number):
    (table,) = nft_rules.tables(SITE, ())
    only = Chain("base", "output", rules=[table.chains["rules"].rules[number]])
    alone = [Table("inet site", (4, 6), {**table.chains, "base": only})]
    assert (word(tracer.find(alone, PACKET)), word(tracer.find(alone, PACKET6))) == RULES[number][1:]


def test_all_recorded_rules_are_looked_at():
    (table,) = nft_rules.tables(SITE, ())
    assert len(table.chains["rules"].rules) == len(RULES)
    assert nft_rules.tables(SITE, [("inet", "site")]) == []


@pytest.mark.parametrize(
    ("flags", "active"),
    [("owner", True), (["owner", "persist"], True), ("dormant", None), (["dormant", "owner"], None), ("site", None)],
)
def test_a_table_that_somebody_owns_is_not_asleep(flags, active):
    """nft 1.0.6 may say anything where there is a flag."""
    flagged = [
        {"table": {**entry["table"], "flags": flags}} if "table" in entry else entry
        for entry in SITE
        if "metainfo" not in entry
    ]
    (table,) = nft_rules.tables(flagged, ())
    assert table.active is active


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-d 192.168.2.2/32 -p tcp -m tcp --dport 20002 -j DROP", "drops"),
        ("-d 192.168.0.0/16 -p tcp -m multiport --dports 22,20001:20010 -j REJECT --reject-with tcp-reset", "drops"),
        ("! -d 192.168.0.0/16 -j DROP", "passes"),
        ("-p tcp -m tcp ! --dport 20002 -j DROP", "passes"),
        ("-p udp -m udp --dport 20002 -j DROP", "passes"),
        ("! -p udp -j DROP", "drops"),
        ("-m owner --uid-owner 1000-1999 -j DROP", "drops"),
        ("-m owner ! --uid-owner 1021 -j DROP", "passes"),
        ("-m owner --gid-owner 995 -j DROP", "drops"),
        ("-m owner --gid-owner 4 --suppl-groups -j DROP", "may drop"),
        ("-m conntrack --ctstate RELATED,ESTABLISHED -j DROP", "passes"),
        ("-m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP", "drops"),
        ("-m conntrack --ctstate DNAT -j DROP", "may drop"),
        ("-m owner --socket-exists -j DROP", "drops"),
        ("-j SPICE-GRANTED", "drops"),
        ("-o lo -j DROP", "passes"),
        ("-o eth+ -j DROP", "drops"),
        ('-m comment --comment "from \\"us\\" -j" -j DROP', "drops"),
        ("-m limit --limit 5/min -j DROP", "may drop"),
        ("-d 192.0.0.2/255.0.0.255 -j DROP", "may drop"),
        ("-m set --match-set hosts dst -j DROP", "may drop"),
        ("-p tcp -m tcp --dport 22 -m limit --limit 5/min -j DROP", "passes"),
        ("-j NFQUEUE --queue-num 0", "may drop"),
        ('-j LOG --log-prefix "-j DROP"', "passes"),
        ("-j A", "drops"),
        ("-p tcp -g A", "drops"),
        ("-j B", "passes"),
        ("-j SPICE-GRANT", "passes"),
    ],
)
def test_rules_as_iptables_save_prints_them(rule, expected):
    printed = "\n".join(
        [
            "# Generated by iptables-save v1.8.9 on Mon Nov 23 22:38:30 2026",
            "*filter",
            ":INPUT DROP [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            ":A - [0:0]",
            ":B - [0:0]",
            ":SPICE-GRANT - [0:0]",
            ":SPICE-GRANTED - [0:0]",
            "-A INPUT -j DROP",
            "-A A -p tcp -j REJECT --reject-with icmp-port-unreachable",
            "-A B -m owner --uid-owner 1021 -j RETURN",
            "-A B -j DROP",
            "-A SPICE-GRANT -j DROP",
            "-A SPICE-GRANTED -j DROP",
            f"-A OUTPUT {rule}",
            "COMMIT",
        ]
    )
    assert word(tracer.find(iptables_rules.tables("ip", printed), PACKET)) == expected
    assert tracer.find(iptables_rules.tables("ip", printed), PACKET6) == ()


# The walk


def rule(*steps, place="handle 7"):
    return TracedRule(place, lambda packet: steps)


def table(*rules, policy="accept", **chains):
    base = Chain("OUTPUT", "output", 0, policy, list(rules))
    below = {name: Chain(name, rules=list(entries)) for name, entries in chains.items()}
    return Table("ip filter", (4,), {"OUTPUT": base, **below})


def test_words():
    """The reader must find the rule."""
    (found,) = tracer.find([table(policy="drop")], PACKET)
    assert str(found) == "chain ip filter OUTPUT (policy drop) drops it"
    (found,) = tracer.find([table(rule(Step(None, "jump", "x")), x=[rule(Step(True, "reject"))])], PACKET)
    assert str(found) == "chain ip filter OUTPUT (handle 7 reject in chain x) may drop it"
    assert found.causes == (Cause("x", "handle 7", "reject"),)


def test_a_drop_by_one_of_several_is_certain():
    """Which of them it is cannot be known, that it is one can."""
    (found,) = tracer.find([table(rule(Step(None, "reject")), policy="drop")], PACKET)
    assert found.certain and [cause.verdict for cause in found.causes] == ["reject", "drop"]


def test_no_accept_overrules_another_chain():
    tables = [table(rule(Step(True, "accept")), policy="drop"), table(policy="drop")]
    (found,) = tracer.find(tables, PACKET)
    assert found.certain


@pytest.mark.parametrize(
    ("action", "rest", "expected"),
    [
        ("jump", "return", "drops"),
        ("goto", "return", "passes"),
        ("jump", "accept", "passes"),
        ("goto", "drop", "drops"),
    ],
)
def test_where_a_chain_goes_on(action, rest, expected):
    """After a jump with what follows it; after a goto with what follows the jump before, here the policy."""
    walked = table(rule(Step(True, action, "x")), rule(Step(True, "drop")), x=[rule(Step(True, rest))])
    assert word(tracer.find([walked], PACKET)) == expected


def test_a_destination_that_is_rewritten_is_not_known_any_more():
    printed = "*nat\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
    printed += "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 192.168.2.2 -j DROP\nCOMMIT\n"
    assert word(tracer.find(iptables_rules.tables("ip", printed.format("")), PACKET)) == "drops"
    rewritten = printed.format("-A OUTPUT -p tcp --dport 20002 -j DNAT --to 10.0.0.1\n")
    assert word(tracer.find(iptables_rules.tables("ip", rewritten), PACKET)) == "may drop"


def test_before_conntrack_no_state_is_known():
    text = "*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m conntrack --ctstate NEW -j DROP\nCOMMIT\n"
    assert word(tracer.find(iptables_rules.tables("ip", text), PACKET)) == "may drop"
    assert word(tracer.find(iptables_rules.tables("ip", text.replace("raw", "mangle")), PACKET)) == "drops"


def test_hooks_that_a_users_packet_never_meets():
    text = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -j DROP\nCOMMIT\n"
    assert tracer.find(iptables_rules.tables("ip", text), PACKET) == ()
    late = text.replace("filter", "mangle").replace("FORWARD", "POSTROUTING")
    assert word(tracer.find(iptables_rules.tables("ip", late), PACKET)) == "drops"


def test_without_the_device_rules_about_it_cannot_be_told():
    text = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -o lo -j ACCEPT\nCOMMIT\n"
    tables = iptables_rules.tables("ip", text)
    assert word(tracer.find(tables, PACKET)) == "drops"
    assert word(tracer.find(tables, Packet(1021, 995, "192.168.2.2", 20002))) == "may drop"


# What is not known

TO_SERVER = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.168.2.2"}}


def listing(expressions, policy="accept"):
    """A table with one base chain and one rule."""
    own = {"family": "inet", "table": "x"}
    chain = {**own, "name": "o", "handle": 1, "type": "filter", "hook": "output", "prio": 0, "policy": policy}
    rule = {**own, "chain": "o", "handle": 2, "expr": expressions}
    return [{"table": {"family": "inet", "name": "x"}}, {"chain": chain}, {"rule": rule}]


KEYS = ("match", "op", "left", "right", "set", "range", "prefix", "addr", "len", "concat", "elem", "val", "meta", "key")
KEYS += ("payload", "field", "vmap", "data", "xt", "type", "name", "mangle", "ct", "jump", "target", "limit")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 70000)
    | st.sampled_from(["tcp", "@none", "*", "new", "192.168.2.2", ""]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=3), st.booleans())
def test_nothing_that_nft_may_list_is_fatal(expressions, rejects):
    """And what is not understood never makes a drop, or its absence, certain."""
    end = [{"drop": None}] if rejects else []
    found = tracer.find(nft_rules.tables(listing([*expressions, *end]), ()), PACKET)
    assert rejects or not any(obstacle.certain for obstacle in found)


@given(st.sampled_from(["==", "!=", "in", "<", "!"]), JSON)
def test_a_match_and_its_opposite(operator, right):
    """Of the two just one is true; or it cannot be known of both, or the packet has no such header."""
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    opposite = {"==": "!=", "!=": "=="}.get(operator)
    if opposite is None:
        return
    words = [
        word(
            tracer.find(
                nft_rules.tables(listing([{"match": {"op": op, "left": left, "right": right}}, {"drop": None}]), ()),
                PACKET,
            )
        )
        for op in (operator, opposite)
    ]
    assert sorted(words) in (["drops", "passes"], ["may drop", "may drop"])


@pytest.mark.parametrize(
    "unknown", [{"later": {"a": 1}}, {"limit": {"rate": 1}}, {"xt": {"type": "match", "name": "owner"}}]
)
def test_an_expression_that_is_not_known(unknown):
    assert word(tracer.find(nft_rules.tables(listing([unknown, {"drop": None}]), ()), PACKET)) == "may drop"
    assert word(tracer.find(nft_rules.tables(listing([unknown, {"accept": None}], "drop"), ()), PACKET)) == "may drop"
    udp = {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}
    assert word(tracer.find(nft_rules.tables(listing([unknown, udp, {"drop": None}]), ()), PACKET)) == "passes"


@pytest.mark.parametrize(
    ("expressions", "family", "expected"),
    [
        ([{"reject": {"type": "icmp", "expr": 3}}], "inet", ("drops", "passes")),
        ([{"reject": {"type": "icmpv6", "expr": 4}}], "inet", ("passes", "drops")),
        ([{"reject": {"type": "icmpx", "expr": 1}}], "inet", ("drops", "drops")),
        ([{"reject": {"type": "tcp reset"}}], "inet", ("may drop", "may drop")),
        ([{"reject": {"type": "tcp reset"}}], "ip", ("drops", "passes")),
        ([TO_SERVER, {"reject": {"type": "tcp reset"}}], "inet", ("drops", "passes")),
    ],
)
def test_a_reject_that_is_for_one_ip_version(expressions, family, expected):
    """nft 1.0.6 does not list 'meta nfproto ipv4' with a reject that goes with it, nor with a reset."""
    objects = json.loads(json.dumps(listing(expressions)).replace("inet", family))
    found = [word(tracer.find(nft_rules.tables(objects, ()), packet)) for packet in (PACKET, PACKET6)]
    assert tuple(found) == expected


@pytest.mark.parametrize(
    ("target", "expected"), [("REJECT", "drops"), ("LOG", "passes"), ("MASQUERADE", "passes"), ("NFQUEUE", "may drop")]
)
def test_a_target_of_which_nft_lists_the_name_only(target, expected):
    objects = listing([{"xt": {"type": "target", "name": target}}])
    assert word(tracer.find(nft_rules.tables(objects, ()), PACKET)) == expected


def test_a_table_that_may_be_asleep():
    """nft 1.0.6 shows that a table has a flag, and not which."""
    objects = listing([{"drop": None}])
    objects[0]["table"]["flags"] = "ip"
    assert word(tracer.find(nft_rules.tables(objects, ()), PACKET)) == "may drop"


def test_chains_that_call_each_other():
    """The kernel has no such thing; nothing is then certain, and nothing goes on for ever."""
    walked = table(rule(Step(True, "jump", "x")), x=[rule(Step(True, "jump", "y"))], y=[rule(Step(True, "jump", "x"))])
    assert word(tracer.find([walked], PACKET)) == "may drop"
