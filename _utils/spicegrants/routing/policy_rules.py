"""Policy routing as a guard of its own: rules outside netfilter, so that no flush of netfilter removes them.

Six preferences, one behind the other, in each IP version:

``ENTER``
    A packet to a guarded port goes on to ``GRANTED``.
``PAST``
    All other packets leave, to the machine's own rules: that is all that other traffic pays.
``GRANTED``
    The kernel's own lookups, which are root's, and each granted user, server's address and ports leave as well.
``DEAD``
    The remaining packets go to a table whose route is a device that swallows them.
``CLOSED``
    A packet that finds no way there is refused.
``END``
    The target of packets that leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.core.paths import DEVICE, PROTOCOL
from spicegrants.policy.access import Times
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses
from spicegrants.policy.model import PortRange, join_ranges
from spicegrants.schedule.intervals import NEVER

# Behind SHUT.
ENTER, PAST, GRANTED, DEAD, CLOSED, END = PREFERENCES = range(161, 167)
# The number of the table.
TABLE = 7462
# Kinds of devices that swallow what is sent to them, the better one first: a kernel may be built without.
KINDS = ("dummy", "ifb")
VERSIONS = (4, 6)
ROOT = 0
# By `ip -N`, in this version and others.
_TCP, _PROHIBIT, _UNICAST, _LOCAL = {"tcp", "6", "ipproto-6"}, {"prohibit", "8"}, {"unicast", "1"}, {"local", "2"}
_KNOWN = {"priority", "src", "dst", "iif", "uid_start", "uid_end", "ipproto", "protocol", "unresolved"}
_KNOWN |= {"dport", "dport_start", "dport_end", "goto", "nop", "table", "action"}
# Of a single port: Linux since 6.15 can mask it, and iproute2 says so of each.
_ALWAYS_LISTED = (("dport_mask", "0xffff"),)
_ROUTE_KNOWN = {"type", "dst", "dev", "protocol", "scope", "prefsrc", "metric", "flags", "pref", "table"}
# What can stand in a line for `ip -batch` as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


class RoutingRule(NamedTuple):
    """One rule of ours.

    uid
        UID of the packets' owner; ``None`` for everybody's packets. Root's are those sent from here.

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
        """The words of `ip rule add` and `ip rule del`."""
        chosen = [f"pref {self.preference} protocol {PROTOCOL}"]
        if self.uid is not None:
            chosen.append(f"{'iif lo ' if self.uid == ROOT else ''}uidrange {self.uid}-{self.uid}")
        if self.address is not None:
            chosen.append(f"to {self.address}")
        if self.ports is not None:
            chosen.append(f"ipproto tcp dport {self.ports[0]}-{self.ports[1]}")
        return " ".join((*chosen, self.action))


class Live(NamedTuple):
    """The kernel's rules and the routes of our table by IP version, and all links, as `ip -j` lists them."""

    rules: Mapping[int, list[dict[str, Any]]]
    routes: Mapping[int, list[dict[str, Any]]]
    links: list[dict[str, Any]]


def desired_rules(desired: DesiredState, version: int) -> list[RoutingRule]:
    """Return the desired rules of one IP version, in the order of their preferences."""
    closings = closing_rules(desired, version)
    return sorted([*closings, *granted_rules(desired, version)], key=lambda rule: rule.preference) if closings else []


def closing_rules(desired: DesiredState, version: int) -> list[RoutingRule]:
    """Return the rules that close, and those that lead past them, without those of grants.

    There are none if nothing is guarded.
    """
    places: list[str | None] = list(server_addresses(desired, version)) if guards_servers(desired) else [None]
    doors = [(None, place, ports) for place in places for ports in desired.policy.guarded_ports()]
    if not doors:
        return []
    return [
        *(RoutingRule(ENTER, f"goto {GRANTED}", *door) for door in doors),
        RoutingRule(PAST, f"goto {END}"),
        # Packets that have no socket, and lookups of where a reply came from, count as root's.
        RoutingRule(GRANTED, f"goto {END}", ROOT),
        *(RoutingRule(DEAD, f"lookup {TABLE}", *door) for door in doors),
        *(RoutingRule(CLOSED, "prohibit", *door) for door in doors),
        RoutingRule(END, "nop"),
    ]


def granted_rules(desired: DesiredState, version: int) -> list[RoutingRule]:
    """Return the rules of grants, loans and sessions that may go on, with neighbouring ports in one rule."""
    return let_through(door for door in _doors(desired) if (6 if ":" in door[1] else 4) == version)


def let_through(doors: Iterable[tuple[int, str, int]]) -> list[RoutingRule]:
    """Return the rules that let users through: UID, address and port of each."""
    ports: dict[tuple[int, str], list[PortRange]] = {}
    for uid, address, port in sorted(doors):
        ports.setdefault((uid, address), []).append((port, port))
    return [
        RoutingRule(GRANTED, f"goto {END}", uid, address, joined)
        for (uid, address), found in ports.items()
        for joined in join_ranges(found)
    ]


def _doors(desired: DesiredState) -> set[tuple[int, str, int]]:
    """Return the doors that somebody may pass at some time at least: rules of routing know no time."""
    granted = {
        (access.uid, address, desired.port(access))
        for access in desired.accesses
        if desired.times(access) != Times(NEVER)
        for address in desired.addresses(access)
    }
    return granted | {(drain.uid, drain.address, drain.port) for drain in desired.draining}


def parse_rule(entry: Mapping[str, Any]) -> RoutingRule | None:
    """Return a listed rule as one of ours; ``None`` if it cannot be one."""
    entry = {key: value for key, value in entry.items() if (key, value) not in _ALWAYS_LISTED}
    ours = entry.get("src") == "all" and str(entry.get("protocol")) == str(PROTOCOL) and entry.keys() <= _KNOWN
    uids = entry.get("uid_start"), entry.get("uid_end")
    if not ours or uids[0] != uids[1] or entry.get("iif") != ("lo" if uids[0] == ROOT else None):
        return None
    low, high = entry.get("dport_start", entry.get("dport")), entry.get("dport_end", entry.get("dport"))
    if (low is None) != (entry.get("ipproto") not in _TCP) or (low is None) != (high is None):
        return None
    if "goto" in entry:
        action = f"goto {entry['goto']}"
    elif "nop" in entry:
        action = "nop"
    elif entry.get("action") in _PROHIBIT:
        action = "prohibit"
    else:
        action = f"lookup {entry.get('table')}"
    ports = None if low is None or high is None else (low, high)
    return RoutingRule(entry["priority"], action, uids[0], entry.get("dst"), ports)


def ours(entry: Mapping[str, Any]) -> bool:
    """Tell whether a listed rule is ours or stands among ours, where no other rule may be."""
    return entry["priority"] in PREFERENCES or str(entry.get("protocol")) == str(PROTOCOL)


def bindable_devices(links: Iterable[Mapping[str, Any]]) -> list[str]:
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


def desired_routes(live: Live, version: int) -> dict[tuple[str, str], str]:
    """Return the desired routes of our table by kind and device, with the words for `ip route`.

    IPv4 treats the destination as on-link if a socket is bound to a device that has no route. So each device gets one,
    to this machine itself. IPv6 refuses such packets by itself.
    """
    found = {("unicast", DEVICE): f"default dev {DEVICE} table {TABLE} protocol {PROTOCOL}"}
    if version == 4:
        for device in bindable_devices(live.links):
            line = f"local default dev {device} table {TABLE} protocol {PROTOCOL} metric 1 src 127.0.0.1"
            found["local", device] = line
    return found


def parse_route(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and device of one of our routes; ``None`` if it cannot be one."""
    kind = entry.get("type")
    if entry.get("dst") != "default" or not entry.keys() <= _ROUTE_KNOWN or str(entry.get("protocol")) != str(PROTOCOL):
        return None
    if kind in _LOCAL and entry.get("metric") == 1:
        return "local", entry.get("dev", "")
    return ("unicast", entry.get("dev", "")) if kind in _UNICAST else None


def personal(rule: RoutingRule) -> bool:
    """Tell whether a rule lets one user through to one address, as those of grants do."""
    return rule.preference == GRANTED and bool(rule.uid) and None not in (rule.address, rule.ports)
