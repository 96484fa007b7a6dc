"""Changes from the present rules and routes to the desired ones, in words and as lines for `ip -batch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.core.changes import Change, rule_words
from spicegrants.core.paths import DEVICE
from spicegrants.policy.compiler import DesiredState, guards_servers
from spicegrants.policy.model import port_words
from spicegrants.routing.policy_rules import (
    CLOSED,
    DEAD,
    END,
    ENTER,
    GRANTED,
    KINDS,
    PAST,
    PREFERENCES,
    PROTOCOL,
    TABLE,
    Live,
    RoutingRule,
    desired_routes,
    desired_rules,
    granted_rules,
    let_through,
    ours,
    parse_route,
    parse_rule,
    personal,
)


class RoutingPlan(NamedTuple):
    """Changes in words, the device's change (``make``, ``set up``, ``remove``), and lines for `ip -batch`."""

    changes: tuple[Change, ...]
    device: str | None
    commands: Mapping[int, tuple[str, ...]]


def plan_transition(desired: DesiredState | None, live: Live) -> RoutingPlan:
    """Compare the desired rules and routes with the present ones.

    desired
        The desired state; ``None`` if the layer is off, and nothing of it may be left.
    """
    changes: list[Change] = []
    commands: dict[int, tuple[str, ...]] = {}
    device = _device(live.links, desired is not None)
    if device:
        changes.append(Change("routing", {"set up": f"sets {DEVICE} up"}.get(device, f"{device}s {DEVICE}")))
    for version in live.rules:
        rules = desired_rules(desired, version) if desired else []
        routes = desired_routes(live, version) if rules else {}
        own = [entry for entry in live.rules[version] if ours(entry)]
        if desired:
            changes += _changes(desired, version, rules, own)
        elif own:
            changes.append(Change("routing", f"removes the rules (IPv{version})"))
        # A device that is made anew has no routes.
        standing = [entry for entry in live.routes[version] if device != "make" or entry.get("dev") != DEVICE]
        route_changes, lines = _route_plan(version, routes, standing)
        changes += route_changes
        commands[version] = (*lines, *_commands(rules, own)) if rules else (*_removal(own), *lines)
    return RoutingPlan(tuple(changes), device, commands)


def plan_closing(
    desired: DesiredState | None, live: Live, lost_doors: Collection[tuple[int, str, int]] | None = None
) -> RoutingPlan:
    """Return the plan that removes rules of grants beyond the desired state, or narrows them, and nothing else.

    A rule may be for several ports: its replacement is added before it is removed.

    desired
        The desired state, beyond which nothing may stay open; ``None`` if nothing may be open.

    lost_doors
        UID, address and port of what may go; ``None`` for all.
    """
    changes: list[Change] = []
    commands: dict[int, tuple[str, ...]] = {}
    for version in live.rules:
        passing = {rule for rule in map(parse_rule, filter(ours, live.rules[version])) if rule and personal(rule)}
        doors = _every_door(passing)
        beyond = doors - _every_door(granted_rules(desired, version) if desired else ())
        doors -= beyond if lost_doors is None else beyond & set(lost_doors)
        staying = set(let_through(doors))
        if desired:
            changes += _door_changes(desired, staying, passing)
        elif passing:
            changes.append(Change("routing", f"closes all that is open (IPv{version})"))
        added = [f"rule add {rule.words}" for rule in sorted(staying - passing)]
        commands[version] = (*added, *(f"rule del {rule.words}" for rule in sorted(passing - staying)))
    return RoutingPlan(tuple(changes), None, commands)


def _device(links: Iterable[Mapping[str, Any]], needed: bool) -> str | None:
    found = next((link for link in links if link["ifname"] == DEVICE), None)
    if not needed:
        return "remove" if found else None
    if found is None or found.get("linkinfo", {}).get("info_kind") not in KINDS:
        return "make"
    return None if "UP" in found["flags"] else "set up"


def _changes(desired: DesiredState, version: int, rules: list[RoutingRule], own: list[dict[str, Any]]) -> list[Change]:
    """Return the changes in words: rules that close as a whole, those of grants one by one."""
    have = [parse_rule(entry) for entry in own]
    closing, standing = _closing(rules), _closing(have)
    changes = []
    if not own and rules:
        where = "the servers" if guards_servers(desired) else "every destination"
        what = f"guards ports {port_words(desired.policy.guarded_ports())} towards {where} (IPv{version})"
        changes.append(Change("routing", what))
    elif closing != standing:
        what = f"sets the rules that close (IPv{version}): {rule_words([*closing], [*standing])}"
        changes.append(Change("routing", what))
    granted, passing = ({rule for rule in them if rule and personal(rule)} for them in (rules, have))
    changes += _door_changes(desired, granted, passing)
    if granted != passing and _every_door(granted) == _every_door(passing):
        changes.append(Change("routing", f"sets the rules of grants (IPv{version})"))
    return changes


def _door_changes(desired: DesiredState, granted: set[RoutingRule], passing: set[RoutingRule]) -> list[Change]:
    opened, closed = _every_door(granted - passing), _every_door(passing - granted)
    users = {access.uid: access.user for access in (*desired.previous, *desired.accesses)}
    users.update((drain.uid, drain.user) for drain in desired.leaving)
    changes = []
    for door in sorted(opened ^ closed):
        uid, address, port = door
        who = users.get(uid) or f"UID {uid}"
        what = f"{'opens' if door in opened else 'closes'} {address} port {port} to {who}"
        changes.append(Change("routing", what, desired.grants_of(uid, desired.vm_at(address, port))))
    return changes


def _every_door(rules: Iterable[RoutingRule]) -> set[tuple[int, str, int]]:
    return {
        (rule.uid, rule.address, port)
        for rule in rules
        if rule.uid is not None and rule.address is not None and rule.ports is not None
        for port in range(rule.ports[0], rule.ports[1] + 1)
    }


def _commands(rules: list[RoutingRule], own: list[dict[str, Any]]) -> list[str]:
    """Return the lines that turn the held rules into the desired ones, and never let more through than both do.

    A preference that holds a rule which cannot be ours is emptied, since `ip rule del` cannot name a rule so that no
    other fits. Meanwhile the other preferences close. While closing rules change, no packet is led past them.
    """
    by_preference: dict[int, list[RoutingRule | None]] = {preference: [] for preference in PREFERENCES}
    lines = []
    for entry in own:
        if entry["priority"] in by_preference:
            by_preference[entry["priority"]].append(parse_rule(entry))
        else:
            lines.append(f"rule del pref {entry['priority']} protocol {PROTOCOL}")
    changed = {preference for preference, have in by_preference.items() if _differs(rules, preference, have)}
    if not changed:
        return lines
    if _closing(rules) != _closing(rule for have in by_preference.values() for rule in have):
        changed.add(PAST)
        lines += _empty_lines(PAST, by_preference[PAST])
        by_preference[PAST] = []
    # What is revoked goes before an end that was missing lets anybody through again.
    for preference in (CLOSED, DEAD, GRANTED, END, ENTER, PAST):
        if preference in changed:
            lines += _replace_lines(preference, rules, by_preference[preference])
    return lines


def _closing(rules: Iterable[RoutingRule | None]) -> Counter:
    return Counter(rule for rule in rules if rule is None or not personal(rule))


def _differs(rules: list[RoutingRule], preference: int, have: list[RoutingRule | None]) -> bool:
    return Counter(have) != Counter(rule for rule in rules if rule.preference == preference)


def _replace_lines(preference: int, rules: list[RoutingRule], have: list[RoutingRule | None]) -> list[str]:
    want = [rule for rule in rules if rule.preference == preference]
    known, target = set(have), set(want)
    leaving = [rule for rule in have if rule not in target]
    if len(known) < len(have) or not all(rule and _is_first_match(rule, have) for rule in leaving):
        return [*_empty_lines(preference, have), *(f"rule add {rule.words}" for rule in want)]
    removals = [f"rule del {rule.words}" for rule in leaving if rule]
    additions = [f"rule add {rule.words}" for rule in want if rule not in known]
    return removals + additions if preference == GRANTED else additions + removals


def _is_first_match(rule: RoutingRule, have: list[RoutingRule | None]) -> bool:
    """Tell whether `ip rule del` removes the given rule: the kernel takes the first that has all it is told."""
    if personal(rule):
        return True
    places = [at for at, field in enumerate(rule) if field is not None]
    return rule == next(other for other in have if other and all(other[at] == rule[at] for at in places))


def _empty_lines(preference: int, have: list[RoutingRule | None]) -> list[str]:
    return [f"rule del pref {preference}"] * len(have)


def _removal(own: list[dict[str, Any]]) -> list[str]:
    """Return the lines that remove all our rules: first those that lead in, last the targets of others."""
    return [
        f"rule del pref {entry['priority']}" + ("" if entry["priority"] in PREFERENCES else f" protocol {PROTOCOL}")
        for entry in sorted(own, key=lambda entry: entry["priority"])
    ]


def _route_plan(
    version: int, routes: Mapping[tuple[str, str], str], live: list[dict[str, Any]]
) -> tuple[list[Change], list[str]]:
    have = [parse_route(entry) for entry in live]
    if routes and None not in have and len(set(have)) == len(have) and set(have) == routes.keys():
        return [], []
    if not routes:
        # They go with what they are for.
        return [], [f"route flush table {TABLE}"] if live else []
    strange = None in have or len(set(have)) < len(have) or bool(set(have) - routes.keys())
    lines = [f"route flush table {TABLE}"] if strange else []
    missing = [key for key in routes if strange or key not in have]
    lines += [f"route append {routes[key]}" for key in missing]
    if strange:
        words = "its routes were altered"
    else:
        words = f"holds what is sent by {', '.join(device for _, device in missing)}"
    return [Change("routing", f"sets table {TABLE} (IPv{version}): {words}")], lines
