"""The guard of uplinks: an nftables table of the family ``netdev`` for frames of guests and containers.

Such frames leave the machine past its output and forward hooks: a macvlan or ipvlan device and a port of a bridge hand
them to the network card, and the rules of ``inet`` see none of them. So a table of our own looks at each interface just
before a frame leaves. Packets of this machine itself were judged before, and have the viewer's group by then. All
objects are libnftables JSON.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.paths import DEVICE
from spicegrants.firewall import guard
from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.nft import deny as nft_deny
from spicegrants.firewall.nft import guard_table
from spicegrants.firewall.nft.time_chains import ACCEPT, Object, match
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses

FAMILY, TABLE = "netdev", guard_table.TABLE
_OWN = {"family": FAMILY, "table": TABLE}
_PREFIX = "on_"
# Behind a port of a bridge of these kinds is a guest or container of this machine, which sends nothing further.
_GUESTS = ("veth", "tun")
# What they send leaves by the interface below them, or by a port.
_STACKED = ("macvlan", "macvtap", "ipvlan", "ipvtap", "bridge")
_TCP = 6
_PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
# The flags RST and ACK: all of a connection has one, but its first packet.
_BEGUN = match({"payload": {"protocol": "tcp", "field": "flags"}}, [4, 16], "in")
_IPS = (("servers4", "ip", "ipv4_addr", 4), ("servers6", "ip6", "ipv6_addr", 6))
# What a frame itself says that it carries: ETH_P_IP and ETH_P_IPV6, ETH_P_8021Q and ETH_P_8021AD of linux/if_ether.h.
_CARRIED, _CARRIES_IP, _TAGGED = {"payload": {"base": "ll", "offset": 96, "len": 16}}, [2048, 34525], [33024, 34984]
_BEHIND_TAG = {"payload": {"base": "ll", "offset": 128, "len": 16}}
_VLAN = {"&": [{"payload": {"base": "ll", "offset": 112, "len": 16}}, 0xFFF]}


class Uplink(NamedTuple):
    """An interface to guard.

    tagging
        Whether this machine has a VLAN 0 of its own on it.
    """

    name: str
    tagging: bool = False


def uplinks(desired: DesiredState, links: Iterable[Mapping[str, Any]]) -> dict[str, Uplink]:
    """Return the interfaces to guard, by the names of their chains.

    links
        The output of ``ip -j -d link``.

    Unless the policy names interfaces, these are all except the loopback and those whose frames only reach guests of
    this machine or another of its interfaces. A chain's name holds the interface's number, so a later interface with
    the same name gets another chain.
    """
    chosen = desired.policy.firewall.uplinks
    links = list(links)
    tagging = {link.get("link") for link in links if _is_vlan_0(link)}
    found = {}
    for link in links:
        name = link["ifname"]
        # Nothing gets out of that one.
        if name == DEVICE:
            continue
        if _leads_out(link) if chosen is None else any(fnmatch.fnmatchcase(name, pattern) for pattern in chosen):
            found[_chain(link)] = Uplink(name, name in tagging)
    return found


def _chain(link: Mapping[str, Any]) -> str:
    """Return the name of an interface's chain, in characters that nft can read back from its own text."""
    return f"{_PREFIX}{re.sub('[^A-Za-z0-9]', '_', link['ifname'])}_{link['ifindex']}"


def _is_vlan_0(link: Mapping[str, Any]) -> bool:
    info = link.get("linkinfo", {})
    return info.get("info_kind") == "vlan" and info.get("info_data", {}).get("id") == 0


def _leads_out(link: Mapping[str, Any]) -> bool:
    kind = link.get("linkinfo", {}).get("info_kind")
    if "LOOPBACK" in link["flags"] or (kind in _GUESTS and "master" in link):
        return False
    # In a container the interface below may be another machine's.
    return kind not in _STACKED or "link_netnsid" in link


def skeleton(desired: DesiredState) -> list[Object]:
    """Return table, sets, chains and rules, without the chains of interfaces."""
    objects: list[Object] = [{"table": {"family": FAMILY, "name": TABLE}}]
    if guards_servers(desired):
        for name, _, kind, version in _IPS:
            known = server_addresses(desired, version)
            objects.append({"set": {**_OWN, "name": name, "type": kind, **guard_table.filled(known)}})
    objects.append({"set": {**_OWN, **guard_table.guarded(desired)}})
    objects += [{"chain": {**_OWN, "name": name}} for name in ("deny", "guard", "headless", "unseen")]
    return objects + [{"rule": {**_OWN, "chain": chain, "expr": rule}} for chain, rule in _rules(desired)]


def _rules(desired: DesiredState) -> list[tuple[str, list[Object]]]:
    fragment = match({"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 0x3FFF]}, 0, "!=")
    fragment6 = match({"exthdr": {"name": "frag"}}, True)
    deny = {"goto": {"target": "deny"}}
    viewer = [] if desired.gid is None else [("guard", [match({"meta": {"key": "skgid"}}, desired.gid), ACCEPT])]
    limit = nft_deny.limit(guard.OWNERLESS_RATE, guard.OWNERLESS_BURST)
    return [
        # A socket of another network namespace has no owner here.
        *viewer,
        # A later fragment could overwrite the flags, where a server lets it. TCP makes no fragments.
        ("guard", [fragment, deny]),
        ("guard", [fragment6, deny]),
        # Among these are the last packets of this machine's own connections, which have no owner any more. Where flags
        # are not in the packet, because a fragment ends before them, this does not hold.
        ("guard", [_BEGUN, ACCEPT]),
        ("guard", [deny]),
        # A first fragment shows its port, or nobody can tell: a server may put it together with others.
        ("headless", [match({"meta": {"key": "l4proto"}}, _TCP, "!="), ACCEPT]),
        ("headless", [match(_PORT, "@guarded", "!="), ACCEPT]),
        ("headless", [deny]),
        # A program of this machine's may use the tag for a priority, if not for IP: what a guest sends by a tap device
        # counts as this machine's as well.
        (
            "unseen",
            [
                match({"meta": {"key": "skuid"}}, {"range": [0, 4294967295]}),
                match(_BEHIND_TAG, {"set": sorted([*_CARRIES_IP, *_TAGGED])}, "!="),
                ACCEPT,
            ],
        ),
        ("unseen", [deny]),
        ("deny", [limit, nft_deny.log(guard.EGRESS)]),
        ("deny", [{"drop": None}]),
    ]


def _on(desired: DesiredState, chain: str, uplink: Uplink) -> list[Object]:
    """Return the chain of an interface and its rules."""
    hook = {"type": "filter", "hook": "egress", "dev": uplink.name, "prio": 0, "policy": "accept"}
    rule = [match(_PORT, "@guarded"), {"goto": {"target": "guard"}}]
    first6 = [match({"exthdr": {"name": "frag", "field": "frag-off"}}, 0), {"goto": {"target": "headless"}}]
    rules = [rule, first6]
    if guards_servers(desired):
        towards = [match({"payload": {"protocol": ip, "field": "daddr"}}, f"@{name}") for name, ip, _, _ in _IPS]
        rules = [*([to_server, *rule] for to_server in towards), [towards[1], *first6]]
    return [
        {"chain": {**_OWN, "name": chain, **hook}},
        *({"rule": {**_OWN, "chain": chain, "expr": rule}} for rule in [*rules, *_unseen(uplink)]),
    ]


def _unseen(uplink: Uplink) -> list[list[Object]]:
    """Return the rules for frames in which the other rules see no TCP, but a server does.

    These are frames with a tag for VLAN 0, which is no VLAN: a receiver drops the tag, or several of them. And frames
    to which a packet socket gave a false type: the other rules go by that type, a server does not.
    """
    unseen = {"goto": {"target": "unseen"}}
    tagged = [match(_CARRIED, {"set": _TAGGED}), match(_VLAN, 0), unseen]
    by_version = [
        [match({"payload": {"protocol": ip, "field": "version"}}, number), ACCEPT] for _, ip, _, number in _IPS
    ]
    # A tag may look like the begin of a packet, so these are first.
    return [*([] if uplink.tagging else [tagged]), *by_version, [match(_CARRIED, {"set": _CARRIES_IP}), unseen]]


def plan_egress(desired: DesiredState, live: list[Object] | None, devices: Mapping[str, Uplink]) -> FirewallPlan:
    """Compare the desired state with a listing of the table.

    live
        The listing; ``None`` if there is no such table.

    devices
        The interfaces to guard, from :func:`uplinks`.

    An interface that came is covered without touching the others. The chain of one that went, or is not to be guarded
    any more, is no difference; it goes with the next change.
    """
    if desired.policy.firewall.uplinks == ():
        removals = [Change("firewall", "removes the guard from uplinks")] if live is not None else []
        return FirewallPlan(tuple(removals), tuple(removal()) if removals else ())
    covering = {chain: _on(desired, chain, uplink) for chain, uplink in devices.items()}
    if live is None:
        return FirewallPlan((_covers(devices.values()),), tuple(_fresh(desired, covering)))
    want, have = guard_table.structure(skeleton(desired)), _structure(live)
    stale = [name for kind, name in have if kind == "chain" and name.startswith(_PREFIX) and name not in devices]
    desired_chains = {key: body for chain in covering.values() for key, body in _structure(chain).items()}
    missing = [chain for chain in devices if ("chain", chain) not in have]
    current = {key: body for key, body in have.items() if key not in {("chain", name) for name in stale}}
    expected = {**want, **{key: body for key, body in desired_chains.items() if key[1] not in missing}}
    changes = [Change("firewall", f"{change.what} (egress)") for change in guard_table.structural(expected, current)]
    news = [_covers(devices[chain] for chain in missing)] if missing else []
    if changes:
        return FirewallPlan((*changes, *news), tuple(_fresh(desired, covering)))
    commands = [{"delete": {"chain": {**_OWN, "name": name}}} for name in stale]
    for chain in missing:
        new, *rules = ({"add": entry} for entry in covering[chain])
        # Emptied: two that add it at once leave its rules once.
        commands += [new, {"flush": {"chain": {**_OWN, "name": chain}}}, *rules]
    return FirewallPlan(tuple(news), tuple(commands))


def _covers(devices: Iterable[Uplink]) -> Change:
    names = ", ".join(sorted(uplink.name for uplink in devices)) or "none yet"
    return Change("firewall", f"guards what leaves by {names} past the other rules")


def _structure(objects: Iterable[Object]) -> dict[tuple[str, str], Any]:
    """Return the structure of a table without its chains' interfaces, which some releases of nft do not list."""
    built = guard_table.structure(objects)
    return {key: {name: value for name, value in body.items() if name != "dev"} for key, body in built.items()}


def covered(objects: Iterable[Object], links: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the interfaces whose chains a listing holds."""
    chains = {entry["chain"]["name"] for entry in objects if "chain" in entry}
    return sorted(link["ifname"] for link in links if _chain(link) in chains)


def removal() -> list[Object]:
    """Return the transaction that removes the table, whether it exists or not."""
    table = {"table": {"family": FAMILY, "name": TABLE}}
    return [{"add": table}, {"delete": table}]


def _fresh(desired: DesiredState, covering: Mapping[str, list[Object]]) -> list[Object]:
    objects = [*skeleton(desired), *(entry for chain in covering.values() for entry in chain)]
    return [*removal(), *({"add": entry} for entry in objects)]
