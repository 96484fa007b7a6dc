"""The firewall layer: a table that is built differently, how that is said, and that it is built as it must be."""

import copy

import pytest

from spicegrants.firewall.nft import guard_table
from unit.build import Kernel, desired
from unit.nft import MYBRO, MYSELF, body, is_rebuilt, verbs, words

CHAINS = ["deny", "guard", "output", "forward"]


def rule(chain, *expressions):
    return {"rule": {"family": "inet", "table": "spice_grant", "chain": chain, "handle": 99, "expr": list(expressions)}}


def at_rule(listing, chain, number):
    """Return the place of a chain's rule in a listing."""
    return [place for place, entry in enumerate(listing) if entry.get("rule", {}).get("chain") == chain][number]


def repaired(listing, sentences):
    """The plan says why in these words; once it is carried out, nothing is left to do."""
    planned = guard_table.plan_guard_table(desired(), listing)
    assert words(planned) == [(what, ()) for what in sentences]
    kernel = Kernel.of(listing)
    kernel.carry_out(planned)
    assert guard_table.plan_guard_table(desired(), kernel.listing()).commands == ()
    return planned


def refilled(listing, sentences):
    """Rules and guarded ports are replaced in place: a packet under way still finds the sets of its rules."""
    done = verbs(repaired(listing, sentences))
    assert set(done[: done.index("flush set")]) == {"flush chain"}
    assert not {"delete table", "delete set", "delete map"} & set(done)


def rebuilt(listing, sentences):
    """The table is built anew."""
    assert is_rebuilt(repaired(listing, sentences))


@pytest.mark.parametrize("chain", CHAINS)
def test_a_foreign_rule(kernel, chain):
    """Wherever it stands, it may let something through before ours."""
    for place in (0, -1):
        listing = kernel.listing()
        listing.insert(at_rule(listing, chain, place), rule(chain, {"accept": None}))
        refilled(listing, [f"restores chain {chain}: 1 rule(s) that do not belong there"])


@pytest.mark.parametrize("chain", CHAINS)
def test_a_rule_twice(kernel, chain):
    listing = kernel.listing()
    place = at_rule(listing, chain, 0)
    listing.insert(place, copy.deepcopy(listing[place]))
    refilled(listing, [f"restores chain {chain}: its rules were out of order or altered"])


COUNTS = [("deny", 7), ("guard", 5), ("output", 1), ("forward", 1)]


@pytest.mark.parametrize(("chain", "count"), COUNTS)
def test_a_missing_rule(kernel, chain, count):
    for number in range(count):
        listing = kernel.listing()
        del listing[at_rule(listing, chain, number)]
        refilled(listing, [f"restores chain {chain}: 1 rule(s) missing"])


def test_rules_in_another_order(kernel):
    listing = kernel.listing()
    one, other = at_rule(listing, "guard", 2), at_rule(listing, "guard", 3)
    listing[one], listing[other] = listing[other], listing[one]
    refilled(listing, ["restores chain guard: its rules were out of order or altered"])


def test_an_altered_rule(kernel):
    listing = kernel.listing()
    listing[at_rule(listing, "output", 0)]["rule"]["expr"][-1] = {"accept": None}
    refilled(listing, ["restores chain output: 1 rule(s) that do not belong there, 1 rule(s) missing"])


@pytest.mark.parametrize(("key", "value"), [("prio", 0), ("policy", "drop"), ("hook", "input"), ("type", "route")])
def test_an_altered_chain(kernel, key, value):
    listing = kernel.listing()
    body(listing, "chain", "output")[key] = value
    rebuilt(listing, ["restores chain output: its rules were out of order or altered"])


def test_a_missing_chain(kernel):
    listing = [entry for entry in kernel.listing() if entry.get("rule", {}).get("chain") != "output"]
    listing.remove(next(entry for entry in listing if entry.get("chain", {}).get("name") == "output"))
    rebuilt(listing, ["restores chain output, which was missing"])


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("chain", {"type": "filter", "hook": "output", "prio": -10, "policy": "accept"}),
        ("chain", {}),
        ("set", {"type": "ipv4_addr", "elem": ["10.0.0.1", "10.0.0.2"]}),
        ("set", {"type": "ipv4_addr", "flags": ["interval"], "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}),
        ("set", {"type": "ipv4_addr", "elem": [{"elem": {"val": "10.0.0.1", "comment": "x"}}]}),
        ("set", {"type": ["ipv4_addr", "inet_service"], "elem": [{"concat": ["10.0.0.1", 22]}]}),
        ("set", {"type": "inet_service", "elem": [22, {"elem": {"val": 23, "comment": "x"}}]}),
        ("set", {"type": "inet_service"}),
        ("set", {"type": "ipv4_addr", "timeout": 60, "elem": [{"elem": {"val": "10.0.0.1", "expires": 5}}]}),
        ("map", {"type": "ipv4_addr", "map": "verdict", "elem": [["10.0.0.1", {"accept": None}]]}),
        ("map", {"type": "ipv4_addr", "map": "mark", "elem": [["10.0.0.1", 5]]}),
        ("counter", {"packets": 1, "bytes": 60}),
        ("limit", {"rate": 5, "per": "second"}),
        ("ct helper", {"type": "ftp", "protocol": "tcp"}),
    ],
)
def test_a_foreign_thing(kernel, kind, more):
    listing = kernel.listing()
    listing.insert(2, {kind: {"family": "inet", "table": "spice_grant", "name": "mine", "handle": 99, **more}})
    rebuilt(listing, [f"removes {kind} mine, which does not belong in table spice_grant"])


@pytest.mark.parametrize("name", ["grants6", "denied4"])
def test_a_missing_map_or_set(kernel, name):
    kind = "map" if name.startswith("grants") else "set"
    listing = [entry for entry in kernel.listing() if entry.get(kind, {}).get("name") != name]
    rebuilt(listing, [f"restores {kind} {name}, which was missing"])


@pytest.mark.parametrize(
    "altered",
    [
        {"type": "ipv4_addr", "elem": [["10.0.0.1", {"accept": None}]]},
        {"type": ["uid", "ipv4_addr"], "elem": [[{"concat": [1021, "10.0.0.1"]}, {"accept": None}]]},
        {"map": "mark", "elem": [[{"concat": [1021, 995, "192.168.2.2", 20002]}, 7]]},
    ],
)
def test_a_map_of_another_type_under_the_name_of_ours(kernel, altered):
    """Its elements are no grants, and do not keep it from being replaced."""
    listing = kernel.listing()
    body(listing, "map", "grants4").update(altered)
    planned = guard_table.plan_guard_table(desired(), listing)
    assert is_rebuilt(planned)
    assert [what for what, _ in words(planned)] == [
        "restores map grants4, which was altered",
        "opens 192.168.2.2 port 20002 to myself",
        "opens 192.168.2.2 port 20004 to mybro",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([{"range": [20001, 20005]}], "guards ports 20001-20010 instead of 20001-20005"),
        ([22, {"range": [20001, 20010]}], "guards ports 20001-20010 instead of 22, 20001-20010"),
        ([], "guards ports 20001-20010 instead of none"),
    ],
)
def test_other_guarded_ports(kernel, values, sentence):
    listing = kernel.listing()
    body(listing, "set", "guarded")["elem"] = values
    refilled(listing, [sentence])


@pytest.mark.parametrize(
    "altered",
    [
        {"type": "ipv4_addr", "elem": ["10.0.0.1"]},
        {"type": "ipv4_addr", "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]},
        {"timeout": 5},
    ],
)
def test_a_set_of_another_type_under_the_name_of_ours(kernel, altered):
    listing = kernel.listing()
    body(listing, "set", "guarded").update(altered)
    planned = guard_table.plan_guard_table(desired(), listing)
    assert is_rebuilt(planned)
    assert words(planned) == [("restores set guarded, which was altered", ())]


def test_other_guarded_addresses():
    servers = desired({"firewall": {"guard": "servers"}})
    kernel = Kernel()
    kernel.carry_out(guard_table.plan_guard_table(servers, None))
    assert guard_table.plan_guard_table(servers, kernel.listing()).commands == ()
    listing = kernel.listing()
    body(listing, "set", "servers4")["elem"] = ["10.0.0.1"]
    assert words(guard_table.plan_guard_table(servers, listing)) == [("restores set servers4, which was altered", ())]
    assert is_rebuilt(guard_table.plan_guard_table(servers, listing))


def test_from_every_destination_to_the_servers(kernel):
    planned = guard_table.plan_guard_table(desired({"firewall": {"guard": "servers"}}), kernel.listing())
    assert is_rebuilt(planned)
    assert [what for what, _ in words(planned)] == [
        "restores chain forward: 1 rule(s) that do not belong there, 2 rule(s) missing",
        "restores chain output: 1 rule(s) that do not belong there, 2 rule(s) missing",
        "restores set servers4, which was missing",
        "restores set servers6, which was missing",
    ]


def test_a_table_rebuilt_also_mends_its_elements(kernel):
    kernel.elements["grants4"].clear()
    listing = kernel.listing()
    listing.append(rule("output", {"accept": None}))
    planned = guard_table.plan_guard_table(desired(), listing)
    assert len(planned.changes) == 3
    mended = Kernel.of(listing)
    mended.carry_out(planned)
    assert set(guard_table.elements(mended.listing())) == {MYSELF, MYBRO}
    assert guard_table.plan_guard_table(desired(), mended.listing()).commands == ()
