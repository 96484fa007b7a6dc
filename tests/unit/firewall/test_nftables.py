"""The firewall layer: what is built, what counts as different, and how that is said."""

import ipaddress
import json
import pathlib

import pytest

from spicegrants.core.accounts import Account, Group
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.nft import guard_table
from spicegrants.firewall.nft.time_chains import ESTABLISHED, RESET
from spicegrants.policy.access import Access
from unit.build import desired, inventory
from unit.nft import MYBRO, MYSELF, body, is_rebuilt, verbs, words

RECORDED = json.loads(
    pathlib.Path(__file__).parents[1].joinpath("recorded").joinpath("table.json").read_text(encoding="utf-8")
)
BOTH = {"mysrv": ("192.168.2.2", "2001:db8::2")}


def only(planned):
    ((what, grants),) = words(planned)
    return what, grants


# What is built


def test_elements_of_the_article():
    assert guard_table.desired_elements(desired()) == {MYSELF: Element(vm="debianx"), MYBRO: Element(vm="leaptest")}


def test_each_address_has_its_element():
    keys = list(guard_table.desired_elements(desired(addresses=BOTH)))
    assert {(key.uid, key.version) for key in keys} == {(1021, 4), (1021, 6), (1022, 4), (1022, 6)}


def test_without_the_viewer_group_nobody_passes():
    without = desired(groups={})
    assert guard_table.desired_elements(without) == {}
    assert not [verb for verb in verbs(guard_table.plan_guard_table(without, None)) if "element" in verb]


def test_a_port_is_guarded_before_anything_is_opened():
    """In the one transaction: whoever reads it from the top meets the guard first."""
    commands = guard_table.plan_guard_table(desired(), None).commands
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
    objects = guard_table.skeleton(desired())
    for expression, ip in zip(rules(objects, "guard"), ("ip", "ip6")):
        assert expression[0]["vmap"]["key"]["concat"] == [
            {"meta": {"key": "skuid"}},
            {"meta": {"key": "skgid"}},
            {"payload": {"protocol": ip, "field": "daddr"}},
            {"payload": {"protocol": "tcp", "field": "dport"}},
        ]
    reset, owned, teardown, rest = rules(objects, "guard")[2:]
    assert reset == [ESTABLISHED, RESET, {"accept": None}]
    assert owned[-1] == {"goto": {"target": "deny"}} and rest[-1] == {"goto": {"target": "deny_ownerless"}}
    assert owned[0]["match"]["left"] == {"meta": {"key": "skuid"}}
    assert owned[0]["match"]["right"] == {"range": [0, 2**32 - 1]}
    assert teardown[0]["match"]["left"] == {"ct": {"key": "state"}} and teardown[-1] == {"accept": None}


def test_whoever_may_be_one_of_many_owners_has_limits_apart():
    """Local accounts are below; subordinate UIDs, and a directory's accounts, are not."""
    match, leads_on = rules(guard_table.skeleton(desired()), "deny")[1]
    assert match["match"] == {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": {"range": [65536, 2**32 - 1]}}
    assert leads_on == {"goto": {"target": "deny_many"}}


@pytest.mark.parametrize(("chain", "first", "kept"), [("deny", 2, ""), ("deny_many", 0, "_many")])
def test_a_denial_is_counted_logged_and_reset(chain, first, kept):
    *noting, logged, reset = rules(guard_table.skeleton(desired()), chain)[first:]
    for name, known, new in zip(("@denied4", "@denied6"), noting[:2], noting[2:]):
        (asked,) = known
        assert (asked["match"]["op"], asked["match"]["right"]) == ("==", name)
        asked, by_owner, *together, note = (next(iter(expression.values())) for expression in new)
        assert (asked["op"], asked["right"], note["set"]) == ("!=", name, name)
        assert by_owner["elem"] == {"meta": {"key": "skuid"}} and by_owner["set"] == f"@noted{kept}"
        assert by_owner["stmt"] == [{"limit": {"rate": 60, "burst": 3000, "per": "minute"}}]
        assert together == ([{"rate": 300, "burst": 15000, "per": "minute"}] if kept else [])
    by_owner, together, log = (next(iter(expression.values())) for expression in logged)
    assert by_owner["elem"] == {"meta": {"key": "skuid"}} and by_owner["set"] == f"@limited{kept}"
    assert by_owner["stmt"] == [{"limit": {"rate": 6, "burst": 10, "per": "minute"}}]
    assert together == {"rate": 300, "burst": 300, "per": "minute"}
    assert log["flags"] == "skuid" and log["prefix"] == "spice-grant deny output: "
    assert reset[-1] == {"reject": {"type": "tcp reset"}}


def test_what_a_session_without_a_grant_sends_is_reset_and_no_denial():
    tcp, established, reset = rules(guard_table.skeleton(desired()), "deny")[0]
    assert (tcp["match"]["right"], established, reset) == (6, ESTABLISHED, {"reject": {"type": "tcp reset"}})


@pytest.mark.parametrize(("chain", "rule"), [("deny_ownerless", "output"), ("deny_forward", "forward")])
def test_what_has_no_owner_is_limited_by_its_rule(chain, rule):
    (limit, log), reset = rules(guard_table.skeleton(desired()), chain)
    assert limit == {"limit": {"rate": 30, "burst": 30, "per": "minute"}}
    assert log["log"]["prefix"] == f"spice-grant deny {rule}: "
    assert reset[-1] == {"reject": {"type": "tcp reset"}}


def test_what_others_send_through_this_machine_is_never_let_in():
    forward = rules(guard_table.skeleton(desired()), "forward")
    assert [expression[-1] for expression in forward] == [{"goto": {"target": "deny_forward"}}]


def test_every_destination_is_guarded():
    for chain in ("output", "forward"):
        (expression,) = rules(guard_table.skeleton(desired()), chain)
        assert len(expression) == 2 and expression[0]["match"]["right"] == "@guarded"


def sets(objects):
    return {entry["set"]["name"]: entry["set"].get("elem") for entry in objects if "set" in entry}


def test_the_servers_only_where_pillar_says_so():
    compiled = desired({"firewall": {"guard": "servers"}}, addresses=BOTH)
    objects = guard_table.skeleton(compiled)
    assert sets(objects)["servers4"] == ["192.168.2.2"] and sets(objects)["servers6"] == ["2001:db8::2"]
    for chain in ("output", "forward"):
        assert [expression[0]["match"]["right"] for expression in rules(objects, chain)] == ["@servers4", "@servers6"]
    assert only_first(guard_table.plan_guard_table(compiled, None)) == "guards ports 20001-20010 towards the servers"


def only_first(planned):
    return planned.changes[0].what


def test_every_destination_while_an_address_is_not_known():
    """Its console must stay shut, and nobody knows where it is."""
    lost = {"servers__lost": {"host": "lost.example.com", "ports": "20001-20010"}, "firewall": {"guard": "servers"}}
    compiled = desired(lost)
    assert "servers4" not in sets(guard_table.skeleton(compiled))
    assert (
        only_first(guard_table.plan_guard_table(compiled, None)) == "guards ports 20001-20010 towards every destination"
    )
    assert only_first(
        guard_table.plan_guard_table(desired(lost, addresses={"mysrv": ("192.168.2.2",), "lost": ()}), None)
    ).endswith("every destination")


def test_guarded_ports_are_those_of_all_servers():
    other = {"servers__other": {"host": "other.example.com", "ports": [5900, "20011"]}}
    assert sets(guard_table.skeleton(desired(other)))["guarded"] == [5900, {"range": [20001, 20011]}]


# What a listing says


def test_a_real_listing_equals_what_was_sent():
    """As nft 1.0.6 lists it."""
    compiled = desired({"servers__mysrv__addresses": list(BOTH["mysrv"])}, addresses=BOTH)
    assert guard_table.structure(RECORDED) == guard_table.structure(guard_table.skeleton(compiled))
    assert guard_table.plan_guard_table(compiled, RECORDED) == guard_table.FirewallPlan((), ())
    elements = guard_table.elements(RECORDED)
    assert set(elements) == set(guard_table.desired_elements(compiled))
    assert elements[MYSELF].packets > 0 and elements[MYSELF].bytes > 0 and elements[MYBRO].packets == 0
    assert guard_table.denied(RECORDED) == {Key(1023, 1023, "192.168.2.2", 20004): 1}


def test_structure_leaves_out_what_changes_by_itself(kernel):
    assert guard_table.structure(kernel.listing(packets=5)) == guard_table.structure(guard_table.skeleton(desired()))


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
    assert guard_table.plan_guard_table(desired(), listing).commands == ()


def test_an_empty_listing_has_no_elements():
    assert guard_table.elements([]) == {} and guard_table.denied([]) == {} and guard_table.structure([]) == {}


# Plans


def test_the_first_run():
    planned = guard_table.plan_guard_table(desired(), None)
    assert words(planned) == [
        ("guards ports 20001-20010 towards every destination", ()),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
        ("opens 192.168.2.2 port 20004 to mybro", ("mybro-leaptest",)),
    ]
    assert is_rebuilt(planned)


def test_the_second_run_has_nothing_to_do(kernel):
    assert guard_table.plan_guard_table(desired(), kernel.listing(packets=9)) == guard_table.FirewallPlan((), ())


def test_before_the_group_is_made_the_first_run_says_what_it_will_open():
    assert words(guard_table.plan_guard_table(desired(groups={}), None))[1:] == [
        ("opens 192.168.2.2 port 20004 to mybro", ("mybro-leaptest",)),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
    ]


def test_a_new_grant_is_one_element(kernel):
    more = desired({"grants__more": {"user": "guest", "vm": "debianx"}})
    planned = guard_table.plan_guard_table(more, kernel.listing())
    assert only(planned) == ("opens 192.168.2.2 port 20002 to guest", ("more",))
    assert verbs(planned) == ["add element"]
    kernel.carry_out(planned)
    assert guard_table.plan_guard_table(more, kernel.listing()).commands == ()


def test_a_grant_less_is_one_element(kernel):
    less = desired({"grants__myself-debianx": ...}, previous=desired().accesses)
    planned = guard_table.plan_guard_table(less, kernel.listing())
    assert only(planned) == ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",))
    assert planned.commands == (
        {
            "delete": {
                "element": {
                    "family": "inet",
                    "table": "spice_grant",
                    "name": "grants4",
                    "elem": [{"concat": ["+1021", "+995", "192.168.2.2", 20002]}],
                }
            }
        },
    )


def test_elements_of_both_ip_versions(kernel):
    planned = guard_table.plan_guard_table(desired(addresses=BOTH), kernel.listing())
    assert [command["add"]["element"]["name"] for command in planned.commands] == ["grants6"]
    assert [ipaddress.ip_address(change.what.split()[1]).version for change in planned.changes] == [6, 6]


def insert(kernel, key, verdict=None, comment="debianx"):
    """Put an element into the map behind our back."""
    kernel.elements["grants4"][(key.uid, key.gid, key.address, key.port)] = [
        {"elem": {"comment": comment} if comment else {}},
        verdict or {"accept": None},
    ]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (Key(1021, 1021, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to myself with GID 1021"),
        (Key(1022, 995, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to mybro"),
        (Key(4711, 995, "192.168.2.2", 20002), "closes 192.168.2.2 port 20002 to UID 4711"),
        (Key(1021, 995, "10.0.0.1", 20002), "closes 10.0.0.1 port 20002 to myself"),
        (Key(1021, 995, "192.168.2.2", 22), "closes 192.168.2.2 port 22 to myself"),
    ],
)
def test_a_foreign_element_goes(kernel, key, sentence):
    insert(kernel, key)
    planned = guard_table.plan_guard_table(desired(), kernel.listing())
    assert only(planned)[0] == sentence
    assert verbs(planned) == ["delete element"]
    kernel.carry_out(planned)
    assert guard_table.plan_guard_table(desired(), kernel.listing()).commands == ()


def test_a_foreign_element_next_to_a_grant_is_laid_to_that_grant(kernel):
    """Whoever looks for what happened to a grant finds it there."""
    insert(kernel, Key(1021, 1021, "192.168.2.2", 20002), comment=None)
    assert only(guard_table.plan_guard_table(desired(), kernel.listing()))[1] == ("myself-debianx",)


@pytest.mark.parametrize("verdict", [{"drop": None}, {"jump": {"target": "deny"}}, {"continue": None}])
def test_an_altered_verdict_is_restored(kernel, verdict):
    insert(kernel, MYSELF, verdict)
    planned = guard_table.plan_guard_table(desired(), kernel.listing())
    assert only(planned) == ("restores the element that opens 192.168.2.2 port 20002 to myself", ("myself-debianx",))
    assert verbs(planned) == ["delete element", "add element"]
    kernel.carry_out(planned)
    assert guard_table.plan_guard_table(desired(), kernel.listing()).commands == ()


@pytest.mark.parametrize("comment", [None, "leaptest"])
def test_an_altered_comment_is_restored(kernel, comment):
    """The comment is what a listing shows as the vm."""
    insert(kernel, MYSELF, comment=comment)
    assert only(guard_table.plan_guard_table(desired(), kernel.listing()))[0].startswith("restores the element")


def test_a_missing_element_is_opened_again(kernel):
    kernel.elements["grants4"].clear()
    planned = guard_table.plan_guard_table(desired(), kernel.listing())
    assert [what for what, _ in words(planned)] == [
        "opens 192.168.2.2 port 20002 to myself",
        "opens 192.168.2.2 port 20004 to mybro",
    ]


def test_a_user_with_another_uid(kernel):
    """The old UID may be somebody else's by now."""
    moved = desired(users={**inventory().users, "myself": Account("myself", 4000, 4000)}, previous=desired().accesses)
    assert words(guard_table.plan_guard_table(moved, kernel.listing())) == [
        ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
        ("opens 192.168.2.2 port 20002 to myself", ("myself-debianx",)),
    ]


def test_a_viewer_group_with_another_gid(kernel):
    moved = desired(groups={"spicegrp": Group("spicegrp", 900)})
    assert [what for what, _ in words(guard_table.plan_guard_table(moved, kernel.listing()))] == [
        "opens 192.168.2.2 port 20002 to myself",
        "closes 192.168.2.2 port 20002 to myself with GID 995",
        "opens 192.168.2.2 port 20004 to mybro",
        "closes 192.168.2.2 port 20004 to mybro with GID 995",
    ]


def test_the_last_grant_of_somebody_who_left(kernel):
    gone = desired({"grants": {}}, users={}, previous=[Access("myself", 1021, "debianx", ("myself-debianx",))])
    assert ("closes 192.168.2.2 port 20002 to myself", ("myself-debianx",)) in words(
        guard_table.plan_guard_table(gone, kernel.listing())
    )
    assert ("closes 192.168.2.2 port 20004 to UID 1022", ()) in words(
        guard_table.plan_guard_table(gone, kernel.listing())
    )
