"""The table that shuts consoles' ports: as nft lists it, and whatever somebody has changed in it."""

import copy
import json
import pathlib

import pytest

from spicegrants.hypervisor import port_table
from spicegrants.hypervisor.port_table import Place
from unit.nft import body

HERE = pathlib.Path(__file__).parent
PORTS = [(5900, 5900), (20001, 20010)]
PLACES = [Place("192.168.2.22", 20002), Place("2001:db8::22", 20002), Place("192.168.2.23", 20002)]
RELEASES = ["1.0.6", "1.1.3"]


def recorded(release):
    """What nft of Debian 12 or 13 has listed: two desks were let in, one of them for good, and others refused."""
    return json.loads((HERE.parent / "recorded" / f"ports-{release}.json").read_text(encoding="utf-8"))


@pytest.fixture(params=RELEASES)
def listing(request):
    return recorded(request.param)


# What is sent


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("table", port_table.fresh(PORTS)),
        ("admitted", port_table.admitted(PLACES, 30, 3600)),
        ("admitted-without-end", port_table.admitted(PLACES[:1], 30, None)),
        ("closed", port_table.closed(PLACES)),
        ("closed-opening", port_table.closed(PLACES, opening_only=True)),
    ],
)
def test_commands(name, commands, request):
    path = HERE / "golden" / f"{name}.json"
    made = "[\n" + ",\n".join(f" {json.dumps(command)}" for command in commands) + "\n]\n"
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_nobody_is_let_in_or_out():
    assert port_table.admitted([], 30, None) == port_table.closed([]) == []


def test_a_host_without_guarded_ports():
    """nft refuses an empty list of elements."""
    (guarded,) = [entry["set"] for entry in port_table.objects([]) if entry.get("set", {}).get("name") == "guarded"]
    assert "elem" not in guarded


# What is listed


def test_a_table_as_nft_lists_it(listing):
    """Whoever was let in or noted meanwhile is no difference."""
    assert {len(entry["set"].get("elem", ())) for entry in listing if "set" in entry} == {1, 2}
    assert port_table.differences(PORTS, listing) == []


def test_neighbours_and_order_of_ports_do_not_matter(listing):
    body(listing, "set", "guarded")["elem"] = [{"range": [20006, 20010]}, {"range": [20001, 20005]}, 5900]
    assert port_table.differences(PORTS, listing) == []


def test_no_table():
    assert port_table.differences(PORTS, None) == ["shuts the consoles' ports"]


def test_a_table_that_sleeps():
    """Nothing in it is in force; nft 1.0.6 lists no more of it."""
    asleep = [{"table": {"family": "inet", "name": "spice_host", "flags": "dormant"}}]
    said = port_table.differences(PORTS, asleep)
    assert "restores table spice_host" in said and "restores chain input" in said


def test_an_empty_table_of_its_name():
    said = port_table.differences(PORTS, [{"table": {"family": "inet", "name": "spice_host", "handle": 1}}])
    assert said == [
        *(f"restores chain {name}" for name in ("consoles", "forward", "input")),
        *(f"restores set {name}" for name in ("guarded", "logged_ipv4_addr", "logged_ipv6_addr")),
        *(f"restores set {name}" for name in ("open4", "open6", "opening4", "opening6")),
    ]


RULES = [("consoles", number) for number in range(8)] + [("input", 0), ("forward", 0)]
LET_IN = [{"accept": None}]


def rules_of(listing, chain):
    """Return the places of a chain's rules in a listing."""
    return [place for place, entry in enumerate(listing) if entry.get("rule", {}).get("chain") == chain]


def foreign(chain, *expressions):
    return {"rule": {"family": "inet", "table": "spice_host", "chain": chain, "handle": 99, "expr": [*expressions]}}


def test_the_rules_are_all_looked_at(listing):
    assert [(chain, len(rules_of(listing, chain))) for chain in ("consoles", "input", "forward")] == [
        ("consoles", 8),
        ("input", 1),
        ("forward", 1),
    ]


@pytest.mark.parametrize(("chain", "number"), RULES)
def test_a_missing_rule(listing, chain, number):
    del listing[rules_of(listing, chain)[number]]
    assert port_table.differences(PORTS, listing) == [f"restores chain {chain}: 1 rule(s) missing"]


@pytest.mark.parametrize(("chain", "number"), RULES)
@pytest.mark.parametrize("after", [0, 1])
def test_a_foreign_rule(listing, chain, number, after):
    listing.insert(rules_of(listing, chain)[number] + after, foreign(chain, *LET_IN))
    said = port_table.differences(PORTS, listing)
    assert said == [f"restores chain {chain}: 1 rule(s) that do not belong there"]


@pytest.mark.parametrize(("chain", "number"), RULES)
def test_an_altered_rule(listing, chain, number):
    expressions = listing[rules_of(listing, chain)[number]]["rule"]["expr"]
    expressions.pop(0)
    said = port_table.differences(PORTS, listing)
    assert said == [f"restores chain {chain}: 1 rule(s) that do not belong there, 1 rule(s) missing"]


@pytest.mark.parametrize(("chain", "number"), RULES)
def test_a_rule_twice(listing, chain, number):
    place = rules_of(listing, chain)[number]
    listing.insert(place, copy.deepcopy(listing[place]))
    said = port_table.differences(PORTS, listing)
    assert said == [f"restores chain {chain}: its rules were out of order or altered"]


@pytest.mark.parametrize("number", range(7))
def test_rules_in_another_order(listing, number):
    one, other = rules_of(listing, "consoles")[number : number + 2]
    listing[one], listing[other] = listing[other], listing[one]
    said = port_table.differences(PORTS, listing)
    assert said == ["restores chain consoles: its rules were out of order or altered"]


@pytest.mark.parametrize("chain", ["input", "forward"])
@pytest.mark.parametrize(("key", "value"), [("prio", 0), ("policy", "drop"), ("hook", "output"), ("type", "route")])
def test_an_altered_chain(listing, chain, key, value):
    body(listing, "chain", chain)[key] = value
    said = port_table.differences(PORTS, listing)
    assert said == [f"restores chain {chain}: its rules were out of order or altered"]


@pytest.mark.parametrize("chain", ["input", "forward"])
def test_a_chain_without_a_hook(listing, chain):
    found = body(listing, "chain", chain)
    for key in ("type", "hook", "prio", "policy"):
        del found[key]
    said = port_table.differences(PORTS, listing)
    assert said == [f"restores chain {chain}: its rules were out of order or altered"]


@pytest.mark.parametrize("chain", ["input", "forward"])
def test_a_missing_chain(listing, chain):
    left = [entry for entry in listing if entry.get("rule", {}).get("chain") != chain]
    left.remove(next(entry for entry in left if entry.get("chain", {}).get("name") == chain))
    assert port_table.differences(PORTS, left) == [f"restores chain {chain}"]


SETS = ["guarded", "open4", "open6", "opening4", "opening6", "logged_ipv4_addr", "logged_ipv6_addr"]


@pytest.mark.parametrize("name", SETS)
def test_a_missing_set(listing, name):
    left = [entry for entry in listing if entry.get("set", {}).get("name") != name]
    assert port_table.differences(PORTS, left) == [f"restores set {name}"]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "altered", [{"type": "mark"}, {"flags": ["constant"]}, {"flags": []}, {"timeout": 5}, {"gc-interval": 5}]
)
def test_a_set_of_another_kind(listing, name, altered):
    """Without an end of their own, elements would let somebody in for good."""
    body(listing, "set", name).update(altered)
    assert port_table.differences(PORTS, listing) == [f"restores set {name}"]


@pytest.mark.parametrize(
    "ports",
    [[5900], [{"range": [20001, 20010]}], [5900, {"range": [20001, 20009]}], [5900, {"range": [20001, 20011]}], []],
)
def test_other_guarded_ports(listing, ports):
    body(listing, "set", "guarded")["elem"] = ports
    assert port_table.differences(PORTS, listing) == ["restores set guarded"]


def test_ports_that_the_policy_has_new(listing):
    assert port_table.differences([*PORTS, (30000, 30000)], listing) == ["restores set guarded"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("chain", {"type": "filter", "hook": "input", "prio": -10, "policy": "accept"}),
        ("chain", {}),
        ("set", {"type": "ipv4_addr", "elem": ["10.0.0.1"]}),
        ("set", {"type": "ipv4_addr", "flags": ["timeout"]}),
        ("map", {"type": "ipv4_addr", "map": "verdict", "elem": [["10.0.0.1", {"accept": None}]]}),
        ("counter", {"packets": 1, "bytes": 60}),
        ("limit", {"rate": 5, "per": "second"}),
    ],
)
def test_a_foreign_thing(listing, kind, more):
    listing.insert(2, {kind: {"family": "inet", "table": "spice_host", "name": "mine", "handle": 99, **more}})
    assert port_table.differences(PORTS, listing) == [f"removes {kind} mine"]


def test_all_differences_are_named(listing):
    body(listing, "set", "guarded")["elem"] = [22]
    body(listing, "chain", "input")["policy"] = "drop"
    left = [entry for entry in listing if entry.get("set", {}).get("name") != "open6"]
    left.append(foreign("consoles", *LET_IN))
    assert port_table.differences(PORTS, left) == [
        "restores chain consoles: 1 rule(s) that do not belong there",
        "restores chain input: its rules were out of order or altered",
        "restores set guarded",
        "restores set open6",
    ]


def test_what_a_listing_guards():
    """Single ports and ranges, as nft prints them; nothing without the set."""
    listed = {"set": {"name": "guarded", "elem": [7000, {"range": [20001, 20010]}]}}
    other = {"set": {"name": "open4", "elem": [9]}}
    assert port_table.guarded([{"table": {}}, other, listed]) == [(7000, 7000), (20001, 20010)]
    assert port_table.guarded([other]) == port_table.guarded([]) == []
