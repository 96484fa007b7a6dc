"""The firewall layer: what is built, what counts as different, and how that is said."""

import copy
import ipaddress
import json
import pathlib

import pytest

from spicegrants import nftables
from spicegrants.access import Access
from spicegrants.guard import Element, Key
from spicegrants.inventory import Account, Group
from unit.build import Kernel, inventory, wanted

RECORDED = json.loads(pathlib.Path(__file__).with_name("recorded").joinpath("table.json").read_text(encoding="utf-8"))
BOTH = {"mysrv": ("192.168.2.2", "2001:db8::2")}
MYSELF = Key(1021, 995, "192.168.2.2", 20002)
MYBRO = Key(1022, 995, "192.168.2.2", 20004)
CHAINS = ["deny", "guard", "output", "forward"]


@pytest.fixture
def kernel():
    """Holds what the article wants."""
    held = Kernel()
    held.load(nftables.plan(wanted(), None).commands)
    return held


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


def only(planned):
    ((what, grants),) = words(planned)
    return what, grants


def verbs(planned):
    return [f"{verb} {kind}" for command in planned.commands for verb, body in command.items() for kind in body]


def is_rebuilt(planned):
    """The old table goes and the new one comes in one transaction, complete."""
    assert verbs(planned)[:3] == ["add table", "delete table", "add table"]
    return True


# What is built


def test_elements_of_the_article():
    assert nftables.wanted_elements(wanted()) == {MYSELF: Element(vm="debianx"), MYBRO: Element(vm="leaptest")}


def test_each_address_has_its_element():
    keys = list(nftables.wanted_elements(wanted(addresses=BOTH)))
    assert {(key.uid, key.version) for key in keys} == {(1021, 4), (1021, 6), (1022, 4), (1022, 6)}


def test_without_the_viewer_group_nobody_passes():
    without = wanted(groups={})
    assert nftables.wanted_elements(without) == {}
    assert not [verb for verb in verbs(nftables.plan(without, None)) if "element" in verb]


def test_a_port_is_guarded_before_anything_is_opened():
    """In the one transaction: whoever reads it from the top meets the guard first."""
    commands = nftables.plan(wanted(), None).commands
    kinds = [kind for command in commands for kind in command.get("add", {})]
    assert kinds.index("rule") < kinds.index("element")
    hooks = {
        entry["add"]["chain"]["hook"]: entry["add"]["chain"]
        for entry in commands
        if "hook" in entry.get("add", {}).get("chain", {})
    }
    assert set(hooks) == {"output", "forward"}
    assert all(chain["prio"] < 0 and chain["type"] == "filter" for chain in hooks.values())


def rules(objects, chain):
    return [entry["rule"]["expr"] for entry in objects if "rule" in entry and entry["rule"]["chain"] == chain]


def test_the_guard_decides_by_owner_alone():
    objects = nftables.skeleton(wanted())
    for expression, ip in zip(rules(objects, "guard"), ("ip", "ip6")):
        assert expression[0]["vmap"]["key"]["concat"] == [
            {"meta": {"key": "skuid"}},
            {"meta": {"key": "skgid"}},
            {"payload": {"protocol": ip, "field": "daddr"}},
            {"payload": {"protocol": "tcp", "field": "dport"}},
        ]
    owned, teardown, rest = rules(objects, "guard")[2:]
    assert owned[-1] == rest[-1] == {"goto": {"target": "deny"}}
    assert owned[0]["match"]["left"] == {"meta": {"key": "skuid"}}
    assert owned[0]["match"]["right"] == {"range": [0, 2**32 - 1]}
    assert teardown[0]["match"]["left"] == {"ct": {"key": "state"}} and teardown[-1] == {"accept": None}


def test_a_denial_is_counted_logged_and_reset():
    deny = rules(nftables.skeleton(wanted()), "deny")
    assert [expression[0]["set"]["set"] for expression in deny[:2]] == ["@denied4", "@denied6"]
    assert deny[2][0]["limit"] == {"rate": 30, "burst": 30, "per": "minute"}
    assert deny[2][1]["log"]["flags"] == "skuid" and deny[2][1]["log"]["prefix"] == "spice-grant deny: "
    assert deny[3][-1] == {"reject": {"type": "tcp reset"}}


def test_what_others_send_through_this_machine_is_never_let_in():
    forward = rules(nftables.skeleton(wanted()), "forward")
    assert [expression[-1] for expression in forward] == [{"goto": {"target": "deny"}}]


def test_every_destination_is_guarded():
    for chain in ("output", "forward"):
        (expression,) = rules(nftables.skeleton(wanted()), chain)
        assert len(expression) == 2 and expression[0]["match"]["right"] == "@guarded"


def sets(objects):
    return {entry["set"]["name"]: entry["set"].get("elem") for entry in objects if "set" in entry}


def test_the_servers_only_where_pillar_says_so():
    compiled = wanted({"firewall": {"guard": "servers"}}, addresses=BOTH)
    objects = nftables.skeleton(compiled)
    assert sets(objects)["servers4"] == ["192.168.2.2"] and sets(objects)["servers6"] == ["2001:db8::2"]
    for chain in ("output", "forward"):
        assert [expression[0]["match"]["right"] for expression in rules(objects, chain)] == ["@servers4", "@servers6"]
    assert only_first(nftables.plan(compiled, None)) == "guards ports 20001-20010 towards the servers"


def only_first(planned):
    return planned.changes[0].what


def test_every_destination_while_an_address_is_not_known():
    """Its console must stay shut, and nobody knows where it is."""
    lost = {"servers__lost": {"host": "lost.example.com", "ports": "20001-20010"}, "firewall": {"guard": "servers"}}
    compiled = wanted(lost)
    assert "servers4" not in sets(nftables.skeleton(compiled))
    assert only_first(nftables.plan(compiled, None)) == "guards ports 20001-20010 towards every destination"
    assert only_first(nftables.plan(wanted(lost, addresses={"mysrv": ("192.168.2.2",), "lost": ()}), None)).endswith(
        "every destination"
    )


def test_guarded_ports_are_those_of_all_servers():
    other = {"servers__other": {"host": "other.example.com", "ports": [5900, "20011"]}}
    assert sets(nftables.skeleton(wanted(other)))["guarded"] == [5900, {"range": [20001, 20011]}]


# What a listing says


def test_a_real_listing_equals_what_was_sent():
    """As nft 1.0.6 lists it."""
    compiled = wanted({"servers__mysrv__addresses": list(BOTH["mysrv"])}, addresses=BOTH)
    assert nftables.structure(RECORDED) == nftables.structure(nftables.skeleton(compiled))
    assert nftables.plan(compiled, RECORDED) == nftables.FirewallPlan((), ())
    held = nftables.elements(RECORDED)
    assert set(held) == set(nftables.wanted_elements(compiled))
    assert held[MYSELF].packets > 0 and held[MYSELF].bytes > 0 and held[MYBRO].packets == 0
    assert nftables.denied(RECORDED) == {Key(1023, 1023, "192.168.2.2", 20004): 1}


def test_structure_leaves_out_what_changes_by_itself(kernel):
    assert nftables.structure(kernel.listing(packets=5)) == nftables.structure(nftables.skeleton(wanted()))


@pytest.mark.parametrize(
    "values",
    [
        [20010, {"range": [20001, 20005]}, 20006, {"range": [20007, 20009]}],
        [{"range": [20001, 20010]}],
        [{"elem": {"val": {"range": [20001, 20010]}, "comment": "x"}}],
    ],
)
def test_ports_compare_by_what_they_cover(values, kernel):
    listing = kernel.listing()
    body(listing, "set", "guarded")["elem"] = values
    assert nftables.plan(wanted(), listing).commands == ()


def test_an_empty_listing_has_no_elements():
    assert nftables.elements([]) == {} and nftables.denied([]) == {} and nftables.structure([]) == {}


def body(listing, kind, name):
    """Return the body of a thing in a listing."""
    return next(entry[kind] for entry in listing if kind in entry and entry[kind].get("name") == name)


# Plans


def test_the_first_run():
    planned = nftables.plan(wanted(), None)
    assert words(planned) == [
        ("guards ports 20001-20010 towards every destination", ()),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
        ("opens 192.168.2.2 port 20004 to mybro", ("mybro-leaptest",)),
    ]
    assert is_rebuilt(planned)


def test_the_second_run_has_nothing_to_do(kernel):
    assert nftables.plan(wanted(), kernel.listing(packets=9)) == nftables.FirewallPlan((), ())


def test_before_the_group_is_made_the_first_run_says_what_it_will_open():
    assert words(nftables.plan(wanted(groups={}), None))[1:] == [
        ("opens 192.168.2.2 port 20004 to mybro", ("mybro-leaptest",)),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
    ]


def test_a_new_grant_is_one_element(kernel):
    more = wanted({"grants__more": {"user": "guest", "vm": "debianx"}})
    planned = nftables.plan(more, kernel.listing())
    assert only(planned) == ("opens 192.168.2.2 port 20002 to guest", ("more",))
    assert verbs(planned) == ["add element"]
    kernel.load(planned.commands)
    assert nftables.plan(more, kernel.listing()).commands == ()


def test_a_grant_less_is_one_element(kernel):
    less = wanted({"grants__myself-debianx": ...}, previous=wanted().accesses)
    planned = nftables.plan(less, kernel.listing())
    assert only(planned) == ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",))
    assert planned.commands == (
        {
            "delete": {
                "element": {
                    "family": "inet",
                    "table": "spice_grant",
                    "name": "grants4",
                    "elem": [{"concat": [1021, 995, "192.168.2.2", 20002]}],
                }
            }
        },
    )


def test_elements_of_both_ip_versions(kernel):
    planned = nftables.plan(wanted(addresses=BOTH), kernel.listing())
    assert [command["add"]["element"]["name"] for command in planned.commands] == ["grants6"]
    assert [ipaddress.ip_address(change.what.split()[1]).version for change in planned.changes] == [6, 6]


def insert(kernel, key, verdict=None, comment="debianx"):
    """Put an element into the map behind our back."""
    kernel.elements["grants4"][(key.uid, key.gid, key.address, key.port)] = [
        {"elem": {"comment": comment} if comment else {}},
        verdict or {"accept": None},
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (Key(1021, 1021, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to myself with GID 1021"),
        (Key(1022, 995, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to mybro"),
        (Key(4711, 995, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to UID 4711"),
        (Key(1021, 995, "10.0.0.1", 20002), "closes 10.0.0.1 port 20002 to myself"),
        (Key(1021, 995, "192.168.2.2", 22), "closes 192.168.2.2 port 22 to myself"),
    ],
)
def test_a_foreign_element_goes(kernel, key, said):
    insert(kernel, key)
    planned = nftables.plan(wanted(), kernel.listing())
    assert only(planned)[0] == said
    assert verbs(planned) == ["delete element"]
    kernel.load(planned.commands)
    assert nftables.plan(wanted(), kernel.listing()).commands == ()


def test_a_foreign_element_next_to_a_grant_is_laid_to_that_grant(kernel):
    """Whoever looks for what happened to a grant finds it there."""
    insert(kernel, Key(1021, 1021, "192.168.2.2", 20002), comment=None)
    assert only(nftables.plan(wanted(), kernel.listing()))[1] == ("myself-debianx",)


@pytest.mark.parametrize("verdict", [{"drop": None}, {"jump": {"target": "deny"}}, {"continue": None}])
def test_an_altered_verdict_is_restored(kernel, verdict):
    insert(kernel, MYSELF, verdict)
    planned = nftables.plan(wanted(), kernel.listing())
    assert only(planned) == ("restores the element that opens 192.168.2.2 port 20002 to myself", ("myself-debianx",))
    assert verbs(planned) == ["delete element", "add element"]
    kernel.load(planned.commands)
    assert nftables.plan(wanted(), kernel.listing()).commands == ()


@pytest.mark.parametrize("comment", [None, "leaptest"])
def test_an_altered_comment_is_restored(kernel, comment):
    """The comment is what a listing shows as the vm."""
    insert(kernel, MYSELF, comment=comment)
    assert only(nftables.plan(wanted(), kernel.listing()))[0].startswith("restores the element")


def test_a_missing_element_is_opened_again(kernel):
    kernel.elements["grants4"].clear()
    planned = nftables.plan(wanted(), kernel.listing())
    assert [what for what, _ in words(planned)] == [
        "opens 192.168.2.2 port 20002 to myself",
        "opens 192.168.2.2 port 20004 to mybro",
    ]


def test_a_user_with_another_uid(kernel):
    """The old UID may be somebody else's by now."""
    moved = wanted(users={**inventory().users, "myself": Account("myself", 4000, 4000)}, previous=wanted().accesses)
    assert words(nftables.plan(moved, kernel.listing())) == [
        ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
    ]


def test_a_viewer_group_with_another_gid(kernel):
    moved = wanted(groups={"spicegrp": Group("spicegrp", 900)})
    assert [what for what, _ in words(nftables.plan(moved, kernel.listing()))] == [
        "opens 192.168.2.2 port 20002 to myself",
        "closes 192.168.2.2 port 20002 to myself with GID 995",
        "opens 192.168.2.2 port 20004 to mybro",
        "closes 192.168.2.2 port 20004 to mybro with GID 995",
    ]


def test_the_last_grant_of_somebody_who_left(kernel):
    gone = wanted({"grants": {}}, users={}, previous=[Access("myself", 1021, "debianx", ("myself-debianx",))])
    assert ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",)) in words(
        nftables.plan(gone, kernel.listing())
    )
    assert ("closes 192.168.2.2 port 20004 to UID 1022", ()) in words(nftables.plan(gone, kernel.listing()))


# A table that is built differently


def rule(chain, *expressions):
    return {"rule": {"family": "inet", "table": "spice_grant", "chain": chain, "handle": 99, "expr": list(expressions)}}


def at_rule(listing, chain, number):
    """Return the place of a chain's rule in a listing."""
    return [place for place, entry in enumerate(listing) if entry.get("rule", {}).get("chain") == chain][number]


def repaired(listing, said):
    """The plan says why in these words; once it is carried out, nothing is left to do."""
    planned = nftables.plan(wanted(), listing)
    assert words(planned) == [(what, ()) for what in said]
    kernel = Kernel.of(listing)
    kernel.load(planned.commands)
    assert nftables.plan(wanted(), kernel.listing()).commands == ()
    return planned


def refilled(listing, said):
    """Rules and guarded ports are replaced in place: a packet under way still finds the sets of its rules."""
    assert verbs(repaired(listing, said))[:2] == ["flush table", "flush set"]


def rebuilt(listing, said):
    """The table is built anew."""
    assert is_rebuilt(repaired(listing, said))


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


@pytest.mark.parametrize(("chain", "count"), [("deny", 4), ("guard", 5), ("output", 1), ("forward", 1)])
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
    planned = nftables.plan(wanted(), listing)
    assert is_rebuilt(planned)
    assert [what for what, _ in words(planned)] == [
        "restores map grants4, which was altered",
        "opens 192.168.2.2 port 20002 to myself",
        "opens 192.168.2.2 port 20004 to mybro",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([{"range": [20001, 20005]}], "guards ports 20001-20010 instead of 20001-20005"),
        ([22, {"range": [20001, 20010]}], "guards ports 20001-20010 instead of 22, 20001-20010"),
        ([], "guards ports 20001-20010 instead of none"),
    ],
)
def test_other_guarded_ports(kernel, values, said):
    listing = kernel.listing()
    body(listing, "set", "guarded")["elem"] = values
    refilled(listing, [said])


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
    planned = nftables.plan(wanted(), listing)
    assert is_rebuilt(planned)
    assert words(planned) == [("restores set guarded, which was altered", ())]


def test_other_guarded_addresses():
    servers = wanted({"firewall": {"guard": "servers"}})
    kernel = Kernel()
    kernel.load(nftables.plan(servers, None).commands)
    assert nftables.plan(servers, kernel.listing()).commands == ()
    listing = kernel.listing()
    body(listing, "set", "servers4")["elem"] = ["10.0.0.1"]
    assert words(nftables.plan(servers, listing)) == [("restores set servers4, which was altered", ())]
    assert is_rebuilt(nftables.plan(servers, listing))


def test_from_every_destination_to_the_servers(kernel):
    planned = nftables.plan(wanted({"firewall": {"guard": "servers"}}), kernel.listing())
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
    planned = nftables.plan(wanted(), listing)
    assert len(planned.changes) == 3
    mended = Kernel.of(listing)
    mended.load(planned.commands)
    assert set(nftables.elements(mended.listing())) == {MYSELF, MYBRO}
    assert nftables.plan(wanted(), mended.listing()).commands == ()
