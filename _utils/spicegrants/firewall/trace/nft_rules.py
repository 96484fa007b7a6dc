"""Rules in nft's listing (libnftables-json(5)), read for :mod:`spicegrants.firewall.trace.tracer`."""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.trace import tracer
from spicegrants.firewall.trace.iptables_rules import TARGETS
from spicegrants.firewall.trace.tracer import Chain, Packet, Step, Table, TracedRule, Truth, every, negated, some

_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_TCP = 6
# Numbers, where nft prints numbers when asked for them (-n).
_NEW = 8
_FAMILIES = {4: 2, 6: 10}
_ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
# To match a header, a rule asks for its protocol first; nft does not show that.
_OTHERS = {"udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "comp", "arp"}
_STATEMENTS = {
    **{name.lower(): TARGETS[name] for name in ("SNAT", "MASQUERADE", "DNAT", "REDIRECT", "NOTRACK")},
    "queue": (tracer.UNKNOWN,),
    **dict.fromkeys(("counter", "log", "continue", "last"), ()),
}
_PLAIN = (tracer.ACCEPT, tracer.DROP, tracer.REJECT, tracer.RETURN)
# How what is not understood, or cannot be asked for, shows itself; then nothing can be told.
_STRANGE = (AttributeError, IndexError, KeyError, TypeError, ValueError, LiveStateUnreadable)

_Address = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_NAME_TYPES = (str, type(None))
_NAMES = ("family", "table", "name", "chain")

Object = dict[str, Any]


class Source(NamedTuple):
    """The source of elements for a set or map that is listed without them.

    elements
        Returns all elements, as nft lists them.

    holds
        Tells whether an address is among them; ``None`` unless it is a set of addresses alone.
    """

    elements: Callable[[], list[Any]]
    holds: Callable[[str], bool] | None = None


class NamedSet(NamedTuple):
    """A named set or map as it is listed, and the source of its elements if they are not listed."""

    body: Object
    source: Source | None

    @property
    def changes(self) -> bool:
        """Tell whether packets or time change its elements."""
        return any(flag in self.body.get("flags", ()) for flag in ("dynamic", "timeout"))

    @property
    def elements(self) -> list[Any]:
        """All its elements."""
        return self.body.get("elem", []) if self.source is None else self.source.elements()


Sets = Mapping[str, NamedSet]


# What a table may be without being asleep.
_HARMLESS = {"owner", "persist"}


class _Absent:
    """A field that a packet does not have: no comparison with it is true."""


class _Hidden:
    """A property of a packet that cannot be determined here."""


def tables(
    objects: Iterable[Object],
    without: Iterable[tuple[str, str]],
    source: Callable[[Object], Source | None] = lambda body: None,
) -> list[Table]:
    """Return the tables in a listing of the whole ruleset, that of ``nft -nj list ruleset``.

    without
        Family and name of the tables to leave out.

    source
        Returns the source of a set's or map's elements for its listed form; by default the listed elements are all.
    """
    without, objects = set(without), list(objects)
    chains: dict[tuple[str, str], dict[str, Chain]] = {}
    sets: dict[tuple[str, str], dict[str, NamedSet]] = {}
    active: dict[tuple[str, str], Truth] = {}
    for kind, body in bodies(objects):
        key = (body.get("family", ""), body.get("name" if kind == "table" else "table", ""))
        if kind == "table" and key[0] in _VERSIONS:
            chains[key], sets[key] = {}, {}
            # nft 1.0.6 shows another word for 'dormant'.
            active[key] = True if _words(body.get("flags", [])) <= _HARMLESS else None
        elif kind in ("set", "map") and key in sets:
            sets[key][body.get("name", "")] = NamedSet(body, source(body))
    for kind, body in bodies(objects):
        key = (body.get("family", ""), body.get("table", ""))
        if kind == "chain" and key in chains:
            chains[key][body.get("name", "")] = _chain(body)
        elif kind == "rule" and key in chains:
            # A rule of a chain that is not listed is in force all the same.
            name = body.get("chain", "")
            chain = chains[key].setdefault(name, Chain(name, None, 0, tracer.ACCEPT))
            steps = partial(_steps, body.get("expr"), sets[key], key[0] == "inet")
            chain.rules.append(TracedRule(f"handle {body.get('handle')}", steps))
    return [
        Table(" ".join(map(str, key)), _VERSIONS[key[0]], its_chains, active[key])
        for key, its_chains in chains.items()
        if key not in without
    ]


def bodies(objects: Iterable[Any]) -> Iterator[tuple[str, Object]]:
    """Yield kind and body of all listed objects that have the form of one."""
    for entry in objects:
        for kind, body in entry.items() if isinstance(entry, dict) else ():
            if isinstance(body, dict) and all(isinstance(body.get(key), _NAME_TYPES) for key in _NAMES):
                yield kind, body


def _words(flags: Any) -> set[str]:
    return {str(flag) for flag in flags} if isinstance(flags, list) else {str(flags)}


def _chain(body: Object) -> Chain:
    hook, priority, policy = body.get("hook"), body.get("prio", 0), body.get("policy", tracer.ACCEPT)
    known = policy in (tracer.ACCEPT, tracer.DROP)
    chain = Chain(
        body.get("name", ""),
        hook if isinstance(hook, str) else None,
        priority if isinstance(priority, int) else 0,
        policy if known else tracer.ACCEPT,
    )
    if not known or chain.hook != hook or chain.priority != priority:
        chain.rules.append(TracedRule("its head", lambda packet: [Step(None, tracer.UNKNOWN, tracer.UNKNOWN)]))
    return chain


def _steps(expressions: Any, sets: Sets, inet: bool, packet: Packet) -> list[Step]:
    try:
        return list(_actions(expressions, sets, inet, packet))
    except _STRANGE:
        return [Step(None, tracer.UNKNOWN, tracer.UNKNOWN)]


def _actions(expressions: list[Object], sets: Sets, inet: bool, packet: Packet) -> Iterator[Step]:
    """Yield a rule's actions on a packet, as far as its matches allow."""
    truth: Truth = True
    for expression in expressions:
        ((kind, body),) = expression.items()
        if kind == "match":
            truth = every((truth, _match(body, sets, packet)))
        elif kind == "vmap":
            for applies, verdict in _vmap_verdicts(body, sets, packet):
                yield _verdict(every((truth, applies)), *verdict)
            return
        elif kind == tracer.REJECT:
            yield Step(every((truth, _is_for(body, expressions, inet, packet))), kind)
        elif kind in (*_PLAIN, tracer.JUMP, tracer.GOTO):
            yield _verdict(truth, kind, body)
        elif kind == "mangle":
            if "payload" in body["key"]:
                packet = replace(packet, as_sent=False)
                yield Step(truth, tracer.REWRITE)
            elif "meta" in body["key"]:
                yield Step(truth, tracer.REROUTE)
        elif kind == "xt" and body.get("type") == "target":
            # Of the compatibility layer for iptables nft shows the name only.
            for action in TARGETS.get(body["name"], (tracer.UNKNOWN,)):
                yield Step(truth, action, body["name"] if action == tracer.UNKNOWN else "")
        elif kind in _STATEMENTS:
            for action in _STATEMENTS[kind]:
                yield Step(truth, action, kind if action == tracer.UNKNOWN else "")
        else:
            truth = None if truth else truth
        if truth is False:
            return


def _is_for(body: Object | None, expressions: list[Object], inet: bool, packet: Packet) -> Truth:
    """Tell whether a reject is for the packet's IP version: a match for the version is not always listed with it."""
    kind = (body or {}).get("type")
    if kind in ("icmp", "icmpv6"):
        return kind == {4: "icmp", 6: "icmpv6"}[packet.version]
    if kind == "tcp reset" and inet and not any(map(_names_version, expressions)):
        return None
    return True


def _names_version(part: Any) -> bool:
    """Tell whether an expression reads a field that only one IP version has."""
    if isinstance(part, dict):
        return part.get("protocol") in ("ip", "ip6") or part.get("key") == "nfproto" or _names_version([*part.values()])
    return isinstance(part, list) and any(map(_names_version, part))


def _verdict(applies: Truth, kind: str, body: Any) -> Step:
    if kind in (tracer.JUMP, tracer.GOTO):
        return Step(applies, kind, body["target"])
    if kind == "continue":
        return Step(False, kind)
    return Step(applies, kind) if kind in _PLAIN else Step(applies, tracer.UNKNOWN, kind)


def _vmap_verdicts(body: Object, sets: Sets, packet: Packet) -> Iterator[tuple[Truth, tuple[str, Any]]]:
    """Yield, for each element of a verdict map, whether it matches the packet, and its verdict."""
    value = _value(body["key"], packet)
    if isinstance(body["data"], str):
        named_set = sets.get(body["data"][1:])
        entries = None if named_set is None or named_set.changes else named_set.elements
    else:
        entries = body["data"]["set"]
    if entries is None:
        yield None, ("vmap", None)
        return
    # What holds for all others stands for those that no other has.
    for pattern, verdict in sorted(entries, key=lambda entry: entry[0] == "*"):
        (action,) = verdict.items()
        yield _holds(value, pattern, sets), action


def _match(body: Object, sets: Sets, packet: Packet) -> Truth:
    try:
        value = _value(body["left"], packet)
        if value is _Absent:
            return False
        if body["op"] in ("==", "in", "!="):
            truth = _holds(value, body["right"], sets)
            return negated(truth) if body["op"] == "!=" else truth
        if value is _Hidden:
            return None
        return _ORDER[body["op"]](value, _same_kind(value, body["right"]))
    except _STRANGE:
        return None


def _value(left: Object, packet: Packet) -> Any:
    """Return the packet's value of a field that rules match."""
    ((kind, body),) = left.items()
    if kind == "concat":
        parts = tuple(_value(part, packet) for part in body)
        return _Absent if _Absent in parts else parts
    if kind == "meta":
        return {
            "skuid": packet.uid,
            "skgid": packet.gid,
            "l4proto": _TCP,
            "nfproto": _FAMILIES[packet.version],
            "oif": packet.device or _Hidden,
            "oifname": packet.device or _Hidden,
        }.get(body["key"], _Hidden)
    if kind == "ct" and body == {"key": "state"} and packet.tracked:
        return _NEW
    if kind == "payload" and "protocol" in body:
        return _header(body["protocol"], body["field"], packet)
    return _Hidden


def _header(protocol: str, name: str, packet: Packet) -> Any:
    if protocol in _OTHERS or protocol == {4: "ip6", 6: "ip"}[packet.version]:
        return _Absent
    if (protocol, name) in (("ip", "protocol"), ("ip6", "nexthdr")):
        return _TCP
    if not packet.as_sent:
        return _Hidden
    if name == "daddr" and protocol in ("ip", "ip6"):
        return ipaddress.ip_address(packet.address)
    return packet.port if name == "dport" and protocol in ("tcp", "th") else _Hidden


def _holds(value: Any, pattern: Any, sets: Sets) -> Truth:
    """Tell whether a value equals, or is among, the value spelled in a rule or an element."""
    try:
        return _compare(value, pattern, sets)
    except _STRANGE:
        return None


def _compare(value: Any, pattern: Any, sets: Sets) -> Truth:
    if value is _Absent:
        return False
    if isinstance(pattern, list):
        return some(_holds(value, member, sets) for member in pattern)
    if isinstance(pattern, str) and pattern.startswith("@"):
        named_set = sets[pattern[1:]]
        if named_set.changes:
            return None
        if named_set.source and named_set.source.holds and isinstance(value, _Address):
            return named_set.source.holds(str(value))
        return _compare(value, named_set.elements, sets)
    if pattern == "*":
        return True
    if isinstance(pattern, dict):
        ((kind, body),) = pattern.items()
        if kind == "elem":
            return _compare(value, body["val"], sets)
        if kind == "set":
            return _compare(value, body, sets)
        if kind == "concat":
            return every(_holds(part, member, sets) for part, member in zip(value, body))
        if value is _Hidden:
            return None
        if kind == "prefix":
            return value in ipaddress.ip_network((body["addr"], body["len"]), strict=False)
        if kind == "range":
            low, high = (_same_kind(value, end) for end in body)
            return low <= value <= high
        return None
    if value is _Hidden:
        return None
    if isinstance(value, str) and pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == _same_kind(value, pattern)


def _same_kind(value: Any, pattern: Any) -> Any:
    """Return a spelled value converted to the kind of the packet's value; raise if it is not of that kind."""
    if not isinstance(pattern, int if isinstance(value, int) else str):
        raise TypeError(pattern)
    return type(value)(pattern)
