"""The table of nftables that shuts consoles' ports to every address that has not just been given a ticket. Pure.

Two sets have elements with an end of their own: where a connection may be opened, and where one may go on. So the
kernel ends what has to end, whatever becomes of the program that gives tickets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.core.changes import rule_words
from spicegrants.firewall.nft import deny, guard_table
from spicegrants.firewall.nft.time_chains import ACCEPT, ESTABLISHED, Object, match
from spicegrants.policy.model import PortRange

FAMILY, TABLE = "inet", "spice_host"
_OWN = {"family": FAMILY, "table": TABLE}
# Before the usual filter chains (0), so that the log line and the reset come from here.
_PRIORITY = -5
_NEW = match({"ct": {"key": "state"}}, 8, "in")
# By IP version: the sets of addresses and ports where one may open and where one may go on, and how nft calls these.
_SETS = {4: ("opening4", "open4", "ip", "ipv4_addr"), 6: ("opening6", "open6", "ip6", "ipv6_addr")}
_PLACES = tuple(name for opening, going, _, _ in _SETS.values() for name in (opening, going))
_PREFIX = "spice-host refused: "
# Refused packets a minute that are logged, from each address.
_RATE, _BURST = 10, 20


class Place(NamedTuple):
    """A desk's address and a console's port."""

    address: str
    port: int


class Right(NamedTuple):
    """What is let in from a place: for how many seconds connections may be opened, and for how many they may go on.

    ``going`` is ``None`` where they may without an end.
    """

    opening: int
    going: int | None


def objects(ports: Iterable[PortRange]) -> list[Object]:
    """Return table, sets, chains and rules, without elements."""
    ranges = [low if low == high else {"range": [low, high]} for low, high in ports]
    guarded = {"name": "guarded", "type": "inet_service", "flags": ["interval"], **guard_table.filled(ranges)}
    found: list[Object] = [{"table": {"family": FAMILY, "name": TABLE}}, {"set": {**_OWN, **guarded}}]
    for opening, going, _, kind in _SETS.values():
        for name in (opening, going):
            found.append({"set": {**_OWN, "name": name, "type": [kind, "inet_service"], "flags": ["timeout"]}})
        limits = {"flags": ["timeout"], "timeout": 600, "size": 65535}
        found.append({"set": {**_OWN, "name": f"logged_{kind}", "type": kind, **limits}})
    hook = {"type": "filter", "prio": _PRIORITY, "policy": "accept"}
    found.append({"chain": {**_OWN, "name": "consoles"}})
    found += [{"chain": {**_OWN, "name": name, **hook, "hook": name}} for name in ("input", "forward")]
    to_port = match({"payload": {"protocol": "tcp", "field": "dport"}}, "@guarded")
    rules = [("consoles", rule) for rule in _rules()]
    rules += [(name, [to_port, {"goto": {"target": "consoles"}}]) for name in ("input", "forward")]
    return found + [{"rule": {**_OWN, "chain": chain, "expr": expressions}} for chain, expressions in rules]


def _rules() -> list[list[Object]]:
    rules: list[list[Object]] = []
    for opening, going, protocol, _ in _SETS.values():
        place = {
            "concat": [
                {"payload": {"protocol": protocol, "field": "saddr"}},
                {"payload": {"protocol": "tcp", "field": "dport"}},
            ]
        }
        rules.append([ESTABLISHED, match(place, f"@{going}"), ACCEPT])
        rules.append([_NEW, match(place, f"@{opening}"), ACCEPT])
    # What is left of a session that was ended is no refusal.
    reset: Object = {"reject": {"type": "tcp reset"}}
    rules.append([match({"meta": {"key": "l4proto"}}, 6), ESTABLISHED, reset])
    for _, _, protocol, kind in _SETS.values():
        source = {"payload": {"protocol": protocol, "field": "saddr"}}
        each = {"op": "update", "elem": source, "set": f"@logged_{kind}", "stmt": [deny.limit(_RATE, _BURST)]}
        rules.append([{"set": each}, {"log": {"prefix": _PREFIX, "level": "info"}}])
    return [*rules, [match({"meta": {"key": "l4proto"}}, 6), reset]]


def fresh(ports: Iterable[PortRange]) -> list[Object]:
    """Return the transaction that makes the table anew, whatever was there."""
    table = {"table": {"family": FAMILY, "name": TABLE}}
    return [{"add": table}, {"delete": table}, *({"add": entry} for entry in objects(ports))]


def differences(ports: Iterable[PortRange], live: list[Object] | None) -> list[str]:
    """Return how a listing of the table differs from what it must be, as sentences; none if it does not."""
    if live is None:
        return ["shuts the consoles' ports"]
    wanted, found = _structure(objects(ports)), _structure(live)
    said = []
    for kind, name in sorted({*wanted, *found}):
        want, have = wanted.get((kind, name)), found.get((kind, name))
        if want == have:
            continue
        if want is None or have is None:
            said.append(f"restores {kind} {name}" if have is None else f"removes {kind} {name}")
        elif kind == "chain":
            said.append(f"restores chain {name}: {rule_words(want.get('rules', []), have.get('rules', []))}")
        else:
            said.append(f"restores {kind} {name}")
    return said


def _structure(listed: Iterable[Object]) -> Mapping[tuple[str, str], Any]:
    built = guard_table.structure(listed)
    for (kind, _), body in built.items():
        if kind == "set" and "timeout" in body.get("flags", ()):
            body.pop("elem", None)
    return built


def admitted(places: Iterable[Place], seconds: int, lasting: int | None) -> list[Object]:
    """Return the commands that let sessions be opened from places.

    seconds
        For how long connections may be opened; 0 for not at all.

    lasting
        For how many seconds they may go on; ``None`` without an end.
    """
    commands: list[Object] = []
    for opening, going, found in _by_version(places):
        for name, end in ((opening, seconds), (going, lasting)):
            elements = [{"concat": [*place]} for place in found]
            ending = [value if end is None else {"elem": {"val": value, "timeout": end}} for value in elements]
            # One that is there keeps its end otherwise; and only what is there can be deleted.
            commands += [_element("add", name, elements), _element("delete", name, elements)]
            if end != 0:
                commands.append(_element("add", name, ending))
    return commands


def closed(places: Iterable[Place], opening_only: bool = False) -> list[Object]:
    """Return the commands that let no session be opened from places, and none go on.

    opening_only
        Whether those that are open may go on.
    """
    commands: list[Object] = []
    for opening, going, found in _by_version(places):
        for name in (opening,) if opening_only else (opening, going):
            elements = [{"concat": [*place]} for place in found]
            commands += [_element("add", name, elements), _element("delete", name, elements)]
    return commands


def emptied() -> list[Object]:
    """Return the commands that let nobody in any more, wherever they come from."""
    return [{"flush": {"set": {**_OWN, "name": name}}} for name in _PLACES]


def held(places: Iterable[Place], rights: Mapping[Place, Right]) -> list[Object]:
    """Return the commands that let in from places what their rights say, and from a place without one nothing."""
    commands: list[Object] = []
    for place in places:
        right = rights.get(place)
        commands += closed([place]) if right is None else admitted([place], *right)
    return commands


def guarded(live: Iterable[Object]) -> list[PortRange]:
    """Return the ports that a listing guards."""
    found: list[PortRange] = []
    for entry in live:
        listed = entry.get("set", {})
        for element in listed.get("elem", []) if listed.get("name") == "guarded" else []:
            low, high = element["range"] if isinstance(element, dict) else (element, element)
            found.append((int(low), int(high)))
    return found


def let_in(live: Iterable[Object]) -> tuple[set[Place], set[Place]]:
    """Return from where a listing lets connections be opened, and from where it lets them go on."""
    found: dict[str, set[Place]] = {name: set() for names in _SETS.values() for name in names[:2]}
    for entry in live:
        listed = entry.get("set", {})
        for element in listed.get("elem", []) if listed.get("name") in found else []:
            value = element["elem"]["val"] if "elem" in element else element
            found[listed["name"]].add(Place(*value["concat"]))
    opening, going = ({place for names in _SETS.values() for place in found[names[index]]} for index in (0, 1))
    return opening, going


def _by_version(places: Iterable[Place]) -> Iterable[tuple[str, str, list[Place]]]:
    found = [*places]
    for version, (opening, going, _, _) in _SETS.items():
        own = [place for place in found if (":" in place.address) == (version == 6)]
        if own:
            yield opening, going, own


def _element(verb: str, name: str, elements: list[Any]) -> Object:
    return {verb: {"element": {**_OWN, "name": name, "elem": elements}}}
