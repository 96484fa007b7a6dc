"""The guard's table for nftables: one table of our own, with grants as elements of a verdict map.

The desired state and the kernel's listing are both lists of libnftables JSON objects (libnftables-json(5)). Both go
through :func:`structure` and :func:`elements`, so that they compare as data. Nothing here is text for nft to parse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spicegrants.core.changes import Change, rule_words
from spicegrants.firewall import guard
from spicegrants.firewall.guard import DRAIN, PASS, Element, FirewallPlan, Key, desired_chains, desired_elements
from spicegrants.firewall.nft import deny, spelling, time_chains
from spicegrants.firewall.nft.time_chains import ACCEPT, ESTABLISHED, RESET, Object, match
from spicegrants.policy.access import Times
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses
from spicegrants.policy.model import join_ranges, port_words

FAMILY = "inet"
TABLE = "spice_grant"
# Before the usual filter chains (0), so that the log line and the reset come from here.
PRIORITY = -5
# A number, as nft prints it when asked for numbers (-n): a rule compares equal to what was sent.
_TCP = 6
# What a map of grants says of a key, and what that means.
_VERDICTS: dict[str, Object] = {PASS: ACCEPT, DRAIN: {"jump": {"target": "draining"}}}
_GUARDED = ("set", "guarded")
_IPS = {
    4: ("grants4", "denied4", "servers4", "ip", "ipv4_addr"),
    6: ("grants6", "denied6", "servers6", "ip6", "ipv6_addr"),
}


def is_ours(body: Object) -> bool:
    """Tell whether an object of a listing, given without its kind, belongs to our table."""
    return (body.get("family"), body.get("table")) == (FAMILY, TABLE)


def skeleton(desired: DesiredState) -> list[Object]:
    """Return table, sets, maps, chains and rules, without the elements of the grant maps and without time chains."""
    own = {"family": FAMILY, "table": TABLE}
    guard_servers = guards_servers(desired)
    objects: list[Object] = [{"table": {"family": FAMILY, "name": TABLE}}]
    for version, (grants, denied, servers, _, kind) in _IPS.items():
        key = ["uid", "gid", kind, "inet_service"]
        counted = {"stmt": [{"counter": None}]}
        objects.append({"map": {**own, "name": grants, "type": key, "map": "verdict", **counted}})
        evidence = {"flags": ["timeout"], "timeout": 3600, "size": 65535, **counted}
        objects.append({"set": {**own, "name": denied, "type": key, **evidence}})
        if guard_servers:
            known = server_addresses(desired, version)
            objects.append({"set": {**own, "name": servers, "type": kind, **filled(known)}})
    objects.append({"set": {**own, **guarded(desired)}})
    objects += [{"set": {**own, **limits}} for limits in deny.SETS]
    hook = {"type": "filter", "prio": PRIORITY, "policy": "accept"}
    objects += [
        *({"chain": {**own, "name": name}} for name in deny.CHAINS),
        {"chain": {**own, "name": "draining"}},
        {"chain": {**own, "name": "guard"}},
        {"chain": {**own, "name": "output", **hook, "hook": "output"}},
        {"chain": {**own, "name": "forward", **hook, "hook": "forward"}},
    ]
    for chain, expressions in _rules(guard_servers):
        objects.append({"rule": {**own, "chain": chain, "expr": expressions}})
    return objects


def guarded(desired: DesiredState) -> Object:
    """Return the set of guarded ports, without the table that it belongs to."""
    ports = [low if low == high else {"range": [low, high]} for low, high in desired.policy.guarded_ports()]
    return {"name": "guarded", "type": "inet_service", "flags": ["interval"], **filled(ports)}


def filled(elements: list[Any]) -> Object:
    """Return the key and value that fill a set; nothing for an empty list, which nft refuses."""
    return {"elem": elements} if elements else {}


def _rules(guard_servers: bool) -> list[tuple[str, list[Object]]]:
    """Return chain and expressions of each rule, in order."""
    rules: list[tuple[str, list[Object]]] = [("draining", [ESTABLISHED, ACCEPT])]
    for grants, _, _, ip, _ in _IPS.values():
        rules.append(("guard", [{"vmap": {"key": _key(ip), "data": f"@{grants}"}}]))
    rules += [
        # The end of a session that is cut, sent while its socket still has an owner: the server is to know at once. It
        # carries no data.
        ("guard", [ESTABLISHED, RESET, ACCEPT]),
        # Whatever else has an owner and was not accepted above is denied, established or not: a removed grant ends a
        # live session.
        ("guard", [match({"meta": {"key": "skuid"}}, {"range": [0, 4294967295]}), _goto(deny.OWNED)]),
        # What has no owner is the teardown of a socket that is gone already. Its connection was let in once;
        # refusing the rest would leave the server's side hanging and log denials that are none.
        ("guard", [ESTABLISHED, ACCEPT]),
        ("guard", [_goto(deny.OWNERLESS)]),
    ]
    rules += deny.rules({denied: _key(ip) for _, denied, _, ip, _ in _IPS.values()})
    to_port = match({"payload": {"protocol": "tcp", "field": "dport"}}, "@guarded")
    for chain, target in (("output", "guard"), ("forward", deny.FORWARDED)):
        if guard_servers:
            for _, _, servers, ip, _ in _IPS.values():
                to_server = match({"payload": {"protocol": ip, "field": "daddr"}}, f"@{servers}")
                rules.append((chain, [to_server, to_port, _goto(target)]))
        else:
            rules.append((chain, [to_port, _goto(target)]))
    return rules


def _goto(chain: str) -> Object:
    return {"goto": {"target": chain}}


def _key(ip: str) -> Object:
    return {
        "concat": [
            {"meta": {"key": "skuid"}},
            {"meta": {"key": "skgid"}},
            {"payload": {"protocol": ip, "field": "daddr"}},
            {"payload": {"protocol": "tcp", "field": "dport"}},
        ]
    }


def structure(objects: Iterable[Object]) -> dict[tuple[str, str], Any]:
    """Return a table's structure, by kind and name, in a form that compares.

    Rules are listed with their chain, in order. Handles and the elements of the maps and of the sets that
    the kernel fills itself are left out; the elements of the other sets are put in order.
    """
    built: dict[tuple[str, str], Any] = {}
    for entry in objects:
        for kind, body in entry.items():
            if kind == "rule":
                rules = built.setdefault(("chain", body["chain"]), {}).setdefault("rules", [])
                rules.append(list(map(spelling.expression, body["expr"])))
            elif kind != "metainfo":
                fields = {key: value for key, value in body.items() if key not in ("handle", "elem", "family", "table")}
                fields.pop("name")
                if kind == "set":
                    fields = spelling.attributes(fields)
                if kind == "set" and not fields.get("timeout"):
                    fields["elem"] = _normal_elements(body.get("elem", []))
                built.setdefault((kind, body["name"]), {}).update(fields)
    return built


def _normal_elements(values: list[Any]) -> list[Any]:
    """Return ports as joined ranges, and anything else in order."""
    plain = [value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value for value in values]
    ranges = [tuple(value.get("range", (None,))) if isinstance(value, dict) else (value, value) for value in plain]
    if all(isinstance(end, int) for ends in ranges for end in ends):
        return list(join_ranges(ranges))
    return sorted(plain, key=repr)


def elements(objects: Iterable[Object]) -> dict[Key, Element]:
    """Return the elements of the grant maps that a listing holds."""
    found: dict[Key, Element] = {}
    for entry in objects:
        body = entry.get("map", {})
        for grants, _, _, _, kind in _IPS.values():
            own = [grants, ["uid", "gid", kind, "inet_service"], "verdict"]
            # A map of another type under this name holds no grants; it goes with the whole table.
            if [body.get(field) for field in ("name", "type", "map")] == own:
                found.update(_element(value, verdict) for value, verdict in body.get("elem", []))
    return found


def _element(value: Object, verdict: Object) -> tuple[Key, Element]:
    detail = value.get("elem", {"val": value})
    counter = detail.get("counter") or {}
    known = next((name for name, own_verdict in _VERDICTS.items() if own_verdict == verdict), None)
    target = (verdict.get("jump") or {}).get("target", "")
    # A verdict that is none of ours, by its name in nft; it is not what is wanted, whatever that is.
    name = known or (target if guard.is_timed(target) else next(iter(verdict)))
    return Key(*detail["val"]["concat"]), Element(
        name, detail.get("comment"), counter.get("packets", 0), counter.get("bytes", 0)
    )


def _verdict(name: str) -> Object:
    return _VERDICTS.get(name) or {"jump": {"target": name}}


def chains(objects: Iterable[Object]) -> dict[str, Times | None]:
    """Return the time chains of a listing; ``None`` for one whose rules are no times."""
    return _without_times(structure(objects))[1]


def _without_times(
    built: Mapping[tuple[str, str], Any],
) -> tuple[dict[tuple[str, str], Any], dict[str, Times | None]]:
    """Return a table's structure without time chains, and the time chains."""
    rest, timed = {}, {}
    for (kind, name), body in built.items():
        # With a hook it is more than that.
        if kind == "chain" and guard.is_timed(name) and body.keys() <= {"rules"}:
            timed[name] = time_chains.parse_chain(body.get("rules", []))
        else:
            rest[kind, name] = body
    return rest, timed


def denied(objects: Iterable[Object]) -> dict[Key, int]:
    """Return the number of packets that a listing shows as refused within the last hour, by key."""
    found: dict[Key, int] = {}
    for entry in objects:
        body = entry.get("set")
        if body and body["name"] in ("denied4", "denied6"):
            for value in body.get("elem", []):
                key, element = _element(value, ACCEPT)
                found[key] = element.packets
    return found


def plan_guard_table(desired: DesiredState, live: list[Object] | None, giving: bool = True) -> FirewallPlan:
    """Compare the desired state with a listing of our table; ``None`` if there is no such table.

    giving
        Whether elements may be added. Otherwise elements only go, or are open less often.

    Elements and time chains are changed one by one, so that all others keep their counters. Rules and guarded ports are
    replaced in place. If the table differs beyond that, it is built anew in the same transaction that removes the old
    one, so there is no moment without a guard.

    Sets are kept where possible: a packet on its way through the old rules may find nothing in old, deleted sets, and a
    granted session could be reset. The rules of a time chain have sets of their own, so new ones are added before
    anything else changes, and old ones go when nothing needs them any more.
    """
    want_elements, want_chains, want_objects = desired_elements(desired), desired_chains(desired), skeleton(desired)
    have_elements = {} if live is None else elements(live)
    if not giving:
        want_elements = {key: element for key, element in want_elements.items() if key in have_elements}
    if live is None:
        changes = (guard.guarding(desired), *guard.element_changes(desired, want_elements, {}))
        return FirewallPlan(changes, tuple(_fresh(desired, want_elements)))
    have_built, have_chains = _without_times(structure(live))
    want_built = structure(want_objects)
    wrong = structural(want_built, have_built)
    changes = (
        *wrong,
        *guard.chain_changes(desired, want_chains, have_chains, have_elements),
        *guard.element_changes(desired, want_elements, have_elements),
    )
    if wrong and _frame(want_built) != _frame(have_built):
        return FirewallPlan(changes, tuple(_fresh(desired, want_elements)))
    commands = _refilled(want_objects) if wrong else []
    commands += _element_commands(want_elements, have_elements)
    return FirewallPlan(
        changes,
        tuple(commands),
        before=tuple(_time_chain_commands(want_chains, have_chains)),
        after=tuple(_time_chain_removals(want_chains, have_chains, live)),
    )


def plan_closing(
    desired: DesiredState | None, live: list[Object] | None, doors: Collection[tuple[int, str, int]] | None
) -> FirewallPlan:
    """Return the plan that removes elements shown in a listing of our table, and leaves all else as it is.

    desired
        The desired state: what may stay open at most; ``None`` for nothing.

    doors
        UID, address and port of the elements that may go; ``None`` for all.
    """
    have, have_chains = elements(live or ()), chains(live or ())
    want, timed = (desired_elements(desired), desired_chains(desired)) if desired else ({}, {})
    removals, becomes = guard.elements_to_remove(want, have, doors)
    needed = {element.verdict for element in becomes.values()}
    remaining = needed | {element.verdict for key, element in have.items() if key not in removals}
    unused = {element.verdict for element in removals.values()} & have_chains.keys() - remaining
    return FirewallPlan(
        guard.removal_changes(desired, removals, becomes),
        tuple(_element_commands(becomes, removals)),
        before=tuple(
            _time_chain_commands({name: times for name, times in timed.items() if name in needed}, have_chains)
        ),
        after=tuple(_time_chain_removals({}, dict.fromkeys(sorted(unused)), ())),
    )


def _element_commands(want: Mapping[Key, Element], have: Mapping[Key, Element]) -> list[Object]:
    deletions = [key for key, element in have.items() if not guard.same(want.get(key), element)]
    new = {key: element for key, element in want.items() if not guard.same(element, have.get(key))}
    commands = [{"delete": body} for body in _element_objects(dict.fromkeys(deletions))]
    return commands + [{"add": body} for body in _element_objects(new)]


def _time_chain_commands(want: Mapping[str, Times], have: Mapping[str, Times | None]) -> list[Object]:
    """Return the commands that add missing time chains, and new rules behind those of time chains that differ."""
    commands: list[Object] = []
    for name, times in want.items():
        own = {"family": FAMILY, "table": TABLE}
        if name not in have:
            commands.append({"add": {"chain": {**own, "name": name}}})
        if name not in have or times != have[name]:
            rules = time_chains.rules(times)
            commands += [{"add": {"rule": {**own, "chain": name, "expr": expressions}}} for expressions in rules]
    return commands


def _time_chain_removals(
    want: Mapping[str, Times], have: Mapping[str, Times | None], live: Iterable[Object]
) -> list[Object]:
    """Return the commands that delete outdated rules of time chains in a listing, and undesired chains as a whole.

    Chains are emptied first, because one may lead to another.
    """
    differ = {name for name in have if name in want and want[name] != have[name]}
    found = [entry["rule"] for entry in live if entry.get("rule", {}).get("chain") in differ]
    own = ("family", "table", "chain", "handle")
    commands = [{"delete": {"rule": {key: rule[key] for key in own}}} for rule in found]
    superfluous = [{"chain": {"family": FAMILY, "table": TABLE, "name": name}} for name in have if name not in want]
    return commands + [{verb: chain} for verb in ("flush", "delete") for chain in superfluous]


def _frame(built: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Return a table's structure without rules and guarded ports, which can be replaced in place."""
    return {
        key: {name: value for name, value in body.items() if name != "rules" and (key, name) != (_GUARDED, "elem")}
        for key, body in built.items()
    }


def _refilled(objects: list[Object]) -> list[Object]:
    """Return the commands that replace all rules and guarded ports of a table with the right frame.

    Time chains are not among them.
    """
    own = {"family": FAMILY, "table": TABLE, "name": _GUARDED[1]}
    chains = [entry["chain"]["name"] for entry in objects if "chain" in entry]
    commands: list[Object] = [{"flush": {"chain": {**own, "name": name}}} for name in chains]
    commands.append({"flush": {"set": own}})
    for entry in objects:
        if "rule" in entry:
            commands.append({"add": entry})
        elif entry.get("set", {}).get("name") == own["name"] and "elem" in entry["set"]:
            commands.append({"add": {"element": {**own, "elem": entry["set"]["elem"]}}})
    return commands


def fresh(desired: DesiredState) -> list[Object]:
    """Return the transaction that creates the table anew, whatever was there."""
    return _fresh(desired, desired_elements(desired))


def _fresh(desired: DesiredState, chosen: Mapping[Key, Element]) -> list[Object]:
    table = {"table": {"family": FAMILY, "name": TABLE}}
    return [
        {"add": table},
        {"delete": table},
        *({"add": entry} for entry in skeleton(desired)),
        *_time_chain_commands(desired_chains(desired), {}),
        *({"add": entry} for entry in _element_objects(chosen)),
    ]


def _element_objects(chosen: Mapping[Key, Element | None]) -> list[Object]:
    """Return one element object for each map; where no element is given only its key, as deleting takes it."""
    objects = []
    for version, (grants, *_) in _IPS.items():
        entries: list[Any] = []
        for key in sorted(key for key in chosen if key.version == version):
            element = chosen[key]
            if element is None:
                entries.append(_concat(key))
            else:
                entries.append([{"elem": {"val": _concat(key), "comment": element.vm}}, _verdict(element.verdict)])
        if entries:
            objects.append({"element": {"family": FAMILY, "table": TABLE, "name": grants, "elem": entries}})
    return objects


def _concat(key: Key) -> Object:
    """Return a key in the form that nft takes."""
    return {"concat": [guard.number(key.uid), guard.number(key.gid), key.address, key.port]}


def structural(want: Mapping, have: Mapping) -> list[Change]:
    """Return the changes in words for differences in a table's structure."""
    changes = []
    for kind, name in sorted({*want, *have}):
        desired, live = want.get((kind, name)), have.get((kind, name))
        if desired == live:
            continue
        if live is None:
            changes.append(f"restores {kind} {name}, which was missing")
        elif desired is None:
            changes.append(f"removes {kind} {name}, which does not belong in table {TABLE}")
        elif name == "guarded" and {**live, "elem": desired["elem"]} == desired:
            ports = port_words(live["elem"]) or "none"
            changes.append(f"guards ports {port_words(desired['elem'])} instead of {ports}")
        elif kind == "chain":
            changes.append(f"restores chain {name}: {rule_words(desired.get('rules', []), live.get('rules', []))}")
        else:
            changes.append(f"restores {kind} {name}, which was altered")
    return [Change("firewall", what) for what in changes]
