"""Policy routing as a guard of its own: rules that netfilter has no part in, and so no flush of it takes away.

Six preferences, one behind the other, in each IP version:

``ENTER``
    A packet to a guarded port goes on to ``GRANTED``.
``PAST``
    Everything else leaves, to the machine's own rules: that is all that other traffic pays.
``GRANTED``
    The kernel's own lookups, which are root's, and each granted user, server's address and ports leave as well.
``DEAD``
    What is left goes to a table whose way out is a device that swallows it.
``CLOSED``
    Whatever finds no way there is refused.
``END``
    Where those go on that leave.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.access import Times
from spicegrants.compile import Wanted
from spicegrants.guard import guards_servers, rule_words, server_addresses
from spicegrants.model import PortRange, join_ranges, port_words
from spicegrants.plan import Change
from spicegrants.times import NEVER

ENTER, PAST, GRANTED, DEAD, CLOSED, END = PREFERENCES = range(161, 167)
# By these numbers ours are told from others': of rules and routes, and of the table.
PROTOCOL, TABLE = 74, 7462
DEVICE = "spice-dead"
# Kinds of devices that swallow what is sent to them, the better one first: a kernel may be built without.
KINDS = ("dummy", "ifb")
VERSIONS = (4, 6)
ROOT = 0
# By `ip -N`, in this version and others.
_TCP, _PROHIBIT, _UNICAST, _LOCAL = {"tcp", "6", "ipproto-6"}, {"prohibit", "8"}, {"unicast", "1"}, {"local", "2"}
_KNOWN = {"priority", "src", "dst", "iif", "uid_start", "uid_end", "ipproto", "protocol", "unresolved"}
_KNOWN |= {"dport", "dport_start", "dport_end", "goto", "nop", "table", "action"}
_ROUTE_KNOWN = {"type", "dst", "dev", "protocol", "scope", "prefsrc", "metric", "flags", "pref", "table"}
# What can stand in a line for `ip -batch` as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


class Rule(NamedTuple):
    """One rule of ours.

    uid
        Whose packets; ``None`` for everybody's. Root's are those that are sent from here.

    action
        Words of `ip rule`: ``goto 166``, ``lookup 7462``, ``prohibit`` or ``nop``.
    """

    preference: int
    action: str
    uid: int | None = None
    address: str | None = None
    ports: PortRange | None = None

    @property
    def words(self) -> str:
        """What `ip rule add` and `ip rule del` are told."""
        chosen = [f"pref {self.preference} protocol {PROTOCOL}"]
        if self.uid is not None:
            chosen.append(f"{'iif lo ' if self.uid == ROOT else ''}uidrange {self.uid}-{self.uid}")
        if self.address is not None:
            chosen.append(f"to {self.address}")
        if self.ports is not None:
            chosen.append(f"ipproto tcp dport {self.ports[0]}-{self.ports[1]}")
        return " ".join((*chosen, self.action))


class Live(NamedTuple):
    """What the kernel holds, by IP version, as `ip -j` lists it: all rules, the routes of our table; and all links."""

    rules: Mapping[int, list[dict[str, Any]]]
    routes: Mapping[int, list[dict[str, Any]]]
    links: list[dict[str, Any]]


class RoutingPlan(NamedTuple):
    """Changes in words; what of the device is to be done (``make``, ``set up``, ``remove``); lines for `ip -batch`."""

    changes: tuple[Change, ...]
    device: str | None
    commands: Mapping[int, tuple[str, ...]]


def wanted_rules(wanted: Wanted, version: int) -> list[Rule]:
    """Return the rules that there must be in one IP version, in the order of their preferences."""
    closings = closing_rules(wanted, version)
    return sorted([*closings, *granted_rules(wanted, version)], key=lambda rule: rule.preference) if closings else []


def closing_rules(wanted: Wanted, version: int) -> list[Rule]:
    """Return the rules that close, and lead past: those that stand for no grant. None where nothing is guarded."""
    places: list[str | None] = list(server_addresses(wanted, version)) if guards_servers(wanted) else [None]
    doors = [(None, place, ports) for place in places for ports in wanted.policy.guarded_ports()]
    if not doors:
        return []
    return [
        *(Rule(ENTER, f"goto {GRANTED}", *door) for door in doors),
        Rule(PAST, f"goto {END}"),
        # Packets that have no socket, and lookups of where a reply came from, count as root's.
        Rule(GRANTED, f"goto {END}", ROOT),
        *(Rule(DEAD, f"lookup {TABLE}", *door) for door in doors),
        *(Rule(CLOSED, "prohibit", *door) for door in doors),
        Rule(END, "nop"),
    ]


def granted_rules(wanted: Wanted, version: int) -> list[Rule]:
    """Return the rules of grants, loans, and sessions that may go on, neighbouring ports in one."""
    ports: dict[tuple[int, str], list[PortRange]] = {}
    for uid, address, port in sorted(_doors(wanted)):
        if (6 if ":" in address else 4) == version:
            ports.setdefault((uid, address), []).append((port, port))
    return [
        Rule(GRANTED, f"goto {END}", uid, address, joined)
        for (uid, address), found in ports.items()
        for joined in join_ranges(found)
    ]


def _doors(wanted: Wanted) -> set[tuple[int, str, int]]:
    """Return who may come through, at some time at least: rules of routing know no time."""
    granted = {
        (access.uid, address, wanted.port(access))
        for access in wanted.accesses
        if wanted.times(access) != Times(NEVER)
        for address in wanted.addresses(access)
    }
    return granted | {(drain.uid, drain.address, drain.port) for drain in wanted.draining}


def parse(entry: Mapping[str, Any]) -> Rule | None:
    """Return a listed rule as one of ours; ``None`` if it cannot be one."""
    ours = entry.get("src") == "all" and str(entry.get("protocol")) == str(PROTOCOL) and entry.keys() <= _KNOWN
    uids = entry.get("uid_start"), entry.get("uid_end")
    if not ours or uids[0] != uids[1] or entry.get("iif") != ("lo" if uids[0] == ROOT else None):
        return None
    low, high = entry.get("dport_start", entry.get("dport")), entry.get("dport_end", entry.get("dport"))
    if (low is None) != (entry.get("ipproto") not in _TCP):
        return None
    if "goto" in entry:
        action = f"goto {entry['goto']}"
    elif "nop" in entry:
        action = "nop"
    elif entry.get("action") in _PROHIBIT:
        action = "prohibit"
    else:
        action = f"lookup {entry.get('table')}"
    ports = None if low is None else (low, high)
    return Rule(entry["priority"], action, uids[0], entry.get("dst"), ports)


def ours(entry: Mapping[str, Any]) -> bool:
    """Tell whether a listed rule is ours, or stands among ours, where nothing else may be."""
    return entry["priority"] in PREFERENCES or str(entry.get("protocol")) == str(PROTOCOL)


def held_devices(links: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the devices to which a socket may bind itself so that routes of other devices do not count for it.

    What belongs to a bridge or a bond gets no replies of its own.
    """
    return sorted(
        link["ifname"]
        for link in links
        if "UP" in link["flags"]
        and "LOOPBACK" not in link["flags"]
        and "master" not in link
        and link["ifname"] != DEVICE
        and _PLAIN.fullmatch(link["ifname"])
    )


def wanted_routes(live: Live, version: int) -> dict[tuple[str, str], str]:
    """Return the routes of our table by kind and device, as `ip route` is told them.

    IPv4 takes a socket that is bound to a device for on-link where that device has no route. So each has one, to this
    machine itself. IPv6 refuses by itself.
    """
    found = {("unicast", DEVICE): f"default dev {DEVICE} table {TABLE} protocol {PROTOCOL}"}
    if version == 4:
        for device in held_devices(live.links):
            line = f"local default dev {device} table {TABLE} protocol {PROTOCOL} metric 1 src 127.0.0.1"
            found["local", device] = line
    return found


def _route(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and device of a route of ours; ``None`` if it cannot be one."""
    kind = entry.get("type")
    if entry.get("dst") != "default" or not entry.keys() <= _ROUTE_KNOWN or str(entry.get("protocol")) != str(PROTOCOL):
        return None
    if kind in _LOCAL and entry.get("metric") == 1:
        return "local", entry.get("dev", "")
    return ("unicast", entry.get("dev", "")) if kind in _UNICAST else None


def plan(wanted: Wanted | None, live: Live) -> RoutingPlan:
    """Compare what there must be with what there is.

    wanted
        ``None`` where the layer is off: then nothing of it may be left.
    """
    changes: list[Change] = []
    commands: dict[int, tuple[str, ...]] = {}
    device = _device(live.links, wanted is not None)
    if device:
        changes.append(Change("routing", {"set up": f"sets {DEVICE} up"}.get(device, f"{device}s {DEVICE}")))
    for version in live.rules:
        rules = wanted_rules(wanted, version) if wanted else []
        routes = wanted_routes(live, version) if rules else {}
        held = [entry for entry in live.rules[version] if ours(entry)]
        if wanted:
            changes += _changes(wanted, version, rules, held)
        elif held:
            changes.append(Change("routing", f"removes the rules (IPv{version})"))
        # A device that is made anew has no routes.
        standing = [entry for entry in live.routes[version] if device != "make" or entry.get("dev") != DEVICE]
        said, lines = _route_plan(version, routes, standing)
        changes += said
        commands[version] = (*lines, *_commands(rules, held)) if rules else (*_removal(held), *lines)
    return RoutingPlan(tuple(changes), device, commands)


def _device(links: Iterable[Mapping[str, Any]], needed: bool) -> str | None:
    found = next((link for link in links if link["ifname"] == DEVICE), None)
    if not needed:
        return "remove" if found else None
    if found is None or found.get("linkinfo", {}).get("info_kind") not in KINDS:
        return "make"
    return None if "UP" in found["flags"] else "set up"


def _changes(wanted: Wanted, version: int, rules: list[Rule], held: list[dict[str, Any]]) -> list[Change]:
    """Say in words how rules differ: those that close as a whole, those of grants one by one."""
    have = [parse(entry) for entry in held]
    closing = [rule for rule in rules if not personal(rule)]
    standing = [rule for rule in have if rule is None or not personal(rule)]
    changes = []
    if not held and rules:
        where = "the servers" if guards_servers(wanted) else "every destination"
        what = f"guards ports {port_words(wanted.policy.guarded_ports())} towards {where} (IPv{version})"
        changes.append(Change("routing", what))
    elif Counter(closing) != Counter(standing):
        what = f"sets the rules that close (IPv{version}): {rule_words(closing, standing)}"
        changes.append(Change("routing", what))
    granted, passing = ({rule for rule in them if rule and personal(rule)} for them in (rules, have))
    changes += _door_changes(wanted, granted, passing)
    if granted != passing and _every_door(granted) == _every_door(passing):
        changes.append(Change("routing", f"sets the rules of grants (IPv{version})"))
    return changes


def _door_changes(wanted: Wanted, granted: set[Rule], passing: set[Rule]) -> list[Change]:
    opened, closed = _every_door(granted - passing), _every_door(passing - granted)
    users = {access.uid: access.user for access in (*wanted.previous, *wanted.accesses)}
    users.update((drain.uid, drain.user) for drain in wanted.leaving)
    changes = []
    for door in sorted(opened ^ closed):
        uid, address, port = door
        who = users.get(uid) or f"UID {uid}"
        what = f"{'opens' if door in opened else 'closes'} {address} port {port} to {who}"
        changes.append(Change("routing", what, wanted.grants_of(uid, wanted.vm_at(address, port))))
    return changes


def _every_door(rules: Iterable[Rule]) -> set[tuple[int, str, int]]:
    return {(rule.uid, rule.address, port) for rule in rules for port in range(rule.ports[0], rule.ports[1] + 1)}


def personal(rule: Rule) -> bool:
    """Tell whether a rule lets one user through to one place, as those of grants do."""
    return rule.preference == GRANTED and bool(rule.uid) and None not in (rule.address, rule.ports)


def _commands(rules: list[Rule], held: list[dict[str, Any]]) -> list[str]:
    """Return the lines that make the held rules the wanted ones, and at no moment let through more than both do.

    A preference with something that cannot be ours is emptied: to name what is to go, `ip rule del` knows no way that
    fits nothing else. Meanwhile the others close. While rules that close are changed nothing is led past them.
    """
    by_preference: dict[int, list[Rule | None]] = {preference: [] for preference in PREFERENCES}
    lines = []
    for entry in held:
        if entry["priority"] in by_preference:
            by_preference[entry["priority"]].append(parse(entry))
        else:
            lines.append(f"rule del pref {entry['priority']} protocol {PROTOCOL}")
    changed = {preference for preference, have in by_preference.items() if _differs(rules, preference, have)}
    if not changed:
        return lines
    if changed - {GRANTED} or None in by_preference[GRANTED]:
        changed.add(PAST)
        lines += _emptied(PAST, by_preference[PAST])
        by_preference[PAST] = []
    for preference in (END, CLOSED, DEAD, GRANTED, ENTER, PAST):
        if preference in changed:
            lines += _replaced(preference, rules, by_preference[preference])
    return lines


def _differs(rules: list[Rule], preference: int, have: list[Rule | None]) -> bool:
    return Counter(have) != Counter(rule for rule in rules if rule.preference == preference)


def _replaced(preference: int, rules: list[Rule], have: list[Rule | None]) -> list[str]:
    want = [rule for rule in rules if rule.preference == preference]
    if None in have or len(set(have)) < len(have):
        return [*_emptied(preference, have), *(f"rule add {rule.words}" for rule in want)]
    known, asked = set(have), set(want)
    added = [f"rule add {rule.words}" for rule in want if rule not in known]
    removed = [f"rule del {rule.words}" for rule in have if rule not in asked]
    return removed + added if preference == GRANTED else added + removed


def _emptied(preference: int, have: list[Rule | None]) -> list[str]:
    return [f"rule del pref {preference}"] * len(have)


def _removal(held: list[dict[str, Any]]) -> list[str]:
    """Return the lines that remove all of ours: first what leads in, last what the others lead to."""
    return [
        f"rule del pref {entry['priority']}" + ("" if entry["priority"] in PREFERENCES else f" protocol {PROTOCOL}")
        for entry in sorted(held, key=lambda entry: entry["priority"])
    ]


def _route_plan(
    version: int, routes: Mapping[tuple[str, str], str], live: list[dict[str, Any]]
) -> tuple[list[Change], list[str]]:
    have = [_route(entry) for entry in live]
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
