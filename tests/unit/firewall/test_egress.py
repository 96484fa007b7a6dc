"""The guard of uplinks: which interfaces there are to guard, what is built, and what counts as different."""

import pytest

from spicegrants.core.entries import Directory
from spicegrants.core.paths import UPLINKS
from spicegrants.core.units import UPLINKS_SERVICE
from spicegrants.firewall import boot
from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.nft import egress, guard_table, hotplug
from spicegrants.firewall.nft.egress import Uplink
from unit.build import GID, desired

ETH0 = {"ifindex": 2, "ifname": "eth0", "flags": ["BROADCAST", "UP"], "link_type": "ether"}
CHAIN = "on_eth0_2"
DEVICES = {CHAIN: Uplink("eth0")}


def link(name, kind, *flags, **more):
    return {"ifindex": 9, "ifname": name, "flags": list(flags), "linkinfo": {"info_kind": kind}, **more}


def listing(planned, live=()):
    """What the kernel lists once it has made a plan's changes: nft 1.0.6 does not list the interface of a chain."""
    objects = list(live)
    for command in planned.commands:
        ((verb, entry),) = command.items()
        if (verb, *entry) == ("delete", "table"):
            objects.clear()
        elif verb == "add":
            ((kind, body),) = entry.items()
            objects.append({kind: {name: value for name, value in body.items() if name != "dev"}})
        elif (verb, *entry) == ("delete", "chain"):
            name = entry["chain"]["name"]
            objects = [each for each in objects if name not in (body(each).get("name"), body(each).get("chain"))]
    return objects


def body(entry):
    return next(iter(entry.values()))


def words(planned):
    return [change.what for change in planned.changes]


def rules(chain, compiled=None):
    planned = egress.plan_egress(compiled or desired(), None, DEVICES)
    return [
        command["add"]["rule"]["expr"]
        for command in planned.commands
        if command.get("add", {}).get("rule", {}).get("chain") == chain
    ]


@pytest.mark.parametrize(
    ("found", "guarded"),
    [
        (ETH0, True),
        ({"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP"]}, False),
        (link("wlan0", None), True),
        (link("br0", "bridge"), False),
        (link("eth0.5", "vlan"), True),
        (link("bond0", "bond"), True),
        (link("tun0", "tun"), True),
        (link("wg0", "wireguard"), True),
        (link("enp1s0", None, master="br0"), True),
        (link("vnet0", "tun", master="br0"), False),
        (link("veth7", "veth", master="docker0"), False),
        # In a container they may be all that there is.
        (link("eth0", "veth"), True),
        (link("eth0", "macvlan", link_netnsid=0), True),
        (link("macvtap0", "macvtap", link="eth0"), False),
        (link("ipvlan0", "ipvlan", link="eth0"), False),
    ],
)
def test_which_interfaces_lead_out(found, guarded):
    assert list(egress.uplinks(desired(), [found]).values()) == [Uplink(found["ifname"])] * guarded


def test_names_and_patterns():
    links = [ETH0, link("vnet0", "tun", master="br0"), link("vnet1", "tun", master="br0")]
    chosen = desired({"firewall": {"uplinks": ["vnet[1-9]", "eth0", "wlan0"]}})
    assert sorted(egress.uplinks(chosen, links).values()) == [Uplink("eth0"), Uplink("vnet1")]
    assert egress.uplinks(desired({"firewall": {"uplinks": False}}), links) == {}


def test_a_name_that_nft_could_not_read():
    assert egress.uplinks(desired(), [link("a b-é.5", None)]) == {"on_a_b___5_9": Uplink("a b-é.5")}


def test_what_begins_no_connection_passes_but_fragments():
    viewer, fragment, fragment6, begun, rest = rules("guard")
    assert viewer == [guard_table.match({"meta": {"key": "skgid"}}, GID), {"accept": None}]
    assert fragment[-1] == fragment6[-1] == rest[-1] == {"goto": {"target": "deny"}}
    assert begun[0]["match"]["right"] == [4, 16] and begun[-1] == {"accept": None}
    logged, dropped = rules("deny")
    assert logged[1]["log"]["prefix"] == "spice-grant deny egress: " and dropped == [{"drop": None}]


def test_a_first_fragment_passes_only_if_it_shows_that_its_port_is_not_guarded():
    other_protocol, other_port, rest = rules("headless")
    assert other_protocol[0]["match"]["op"] == other_port[0]["match"]["op"] == "!="
    assert other_protocol[-1] == other_port[-1] == {"accept": None}
    assert rest == [{"goto": {"target": "deny"}}]


def test_without_the_viewers_group_nothing_begins():
    assert len(rules("guard", desired(groups={}))) == 4


def test_towards_the_servers_only():
    rule, first6, *unseen = rules(CHAIN)
    assert rule[0]["match"]["right"] == "@guarded"
    narrowed = rules(CHAIN, desired({"firewall": {"guard": "servers"}}))
    assert narrowed[3:] == unseen
    narrowed = narrowed[:3]
    assert [expressions[0]["match"]["right"] for expressions in narrowed] == ["@servers4", "@servers6", "@servers6"]
    assert [expressions[1:] for expressions in narrowed] == [rule, rule, first6]


def test_a_vlan_0_of_the_machines_own_may_be_tagged_for():
    """Its frames are the machine's own; those that are called something else are looked at all the same."""
    zero = link("eth0.0", "vlan", link="eth0")
    zero["linkinfo"]["info_data"] = {"protocol": "802.1Q", "id": 0}
    found = egress.uplinks(desired(), [ETH0, zero])
    assert found == {CHAIN: Uplink("eth0", tagging=True), "on_eth0_0_9": Uplink("eth0.0")}
    # A number 0 of another kind is no tag.
    zero["linkinfo"]["info_kind"] = "vxlan"
    assert egress.uplinks(desired(), [ETH0, zero])[CHAIN] == Uplink("eth0")
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    planned = egress.plan_egress(desired(), live, {CHAIN: found[CHAIN]})
    assert words(planned) == [f"restores chain {CHAIN}: 1 rule(s) that do not belong there (egress)"]
    assert egress.plan_egress(desired(), listing(planned, live), {CHAIN: found[CHAIN]}) == FirewallPlan((), ())


def test_what_was_made_is_no_difference():
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    assert egress.plan_egress(desired(), live, DEVICES) == FirewallPlan((), ())
    assert egress.covered(live, [ETH0, link("eth1", None)]) == ["eth0"]


def test_an_interface_that_comes_touches_no_other():
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    planned = egress.plan_egress(desired(), live, {**DEVICES, "on_wlan0_3": Uplink("wlan0")})
    assert words(planned) == ["guards what leaves by wlan0 past the other rules"]
    assert {body(next(iter(command.values()))).get("name", "on_wlan0_3") for command in planned.commands} == {
        "on_wlan0_3"
    }
    assert (
        egress.plan_egress(desired(), listing(planned, live), {**DEVICES, "on_wlan0_3": Uplink("wlan0")}).changes == ()
    )


def test_an_interface_that_went_is_no_difference():
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    planned = egress.plan_egress(desired(), live, {})
    assert words(planned) == []
    assert planned.commands == ({"delete": {"chain": {"family": "netdev", "table": "spice_grant", "name": CHAIN}}},)


def test_another_interface_by_the_same_name_is_covered_anew():
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    planned = egress.plan_egress(desired(), live, {"on_eth0_7": Uplink("eth0")})
    assert words(planned) == ["guards what leaves by eth0 past the other rules"]


def test_anything_else_that_differs_makes_all_of_it_anew():
    live = listing(egress.plan_egress(desired(), None, DEVICES))
    more = desired({"servers__mysrv__ports": "20001-20020"})
    planned = egress.plan_egress(more, live, DEVICES)
    assert words(planned) == ["guards ports 20001-20020 instead of 20001-20010 (egress)"]
    assert listing(planned, live) == listing(egress.plan_egress(more, None, DEVICES))
    altered = [entry for entry in live if "rule" not in entry or body(entry)["chain"] != CHAIN]
    assert words(egress.plan_egress(desired(), altered, DEVICES)) == [
        f"restores chain {CHAIN}: 6 rule(s) missing (egress)"
    ]


def test_switched_off_it_goes():
    off = desired({"firewall": {"uplinks": False}})
    planned = egress.plan_egress(off, listing(egress.plan_egress(desired(), None, DEVICES)), {})
    assert words(planned) == ["removes the guard from uplinks"]
    assert egress.plan_egress(off, None, {}) == FirewallPlan((), ())


# Interfaces that appear


def test_what_covers_interfaces_that_appear():
    """The rule is written only where udev is, and starts the unit that runs the program."""
    places = {hotplug.RULES: Directory(0o755)}
    with_udev, without = (hotplug.desired_entries(desired(), live) for live in (places, {}))
    assert set(with_udev) == set(hotplug.PATHS) and set(with_udev) - set(without) == {hotplug.PATHS[-1]}
    program, unit, rule = (with_udev[path].content.decode() for path in hotplug.PATHS)
    assert f"--no-block restart {UPLINKS_SERVICE}" in rule
    assert f"ExecStart=/usr/bin/python3 -I {UPLINKS}\n" in unit
    compile(program, UPLINKS, "exec")
    assert hotplug.plan_hotplug(desired(), {**places, **with_udev}) == ((), ())


def test_where_no_interface_is_guarded_nothing_of_it_is_there():
    off = desired({"firewall": {"uplinks": False}})
    live = hotplug.desired_entries(desired(), {hotplug.RULES: Directory(0o755)})
    changes, paths = hotplug.plan_hotplug(off, live)
    assert [change.what for change in changes] == [f"removes {path}" for path in hotplug.PATHS]
    assert paths == hotplug.PATHS and hotplug.plan_hotplug(off, {}) == ((), ())
    assert not any("uplinks" in command for command in boot.for_nftables(off).commands)
