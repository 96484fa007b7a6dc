"""Owner-match rules as plain data: those of our grants, and those of other firewalls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spicegrants.firewall import backstop
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.iptables import guard_chains
from spicegrants.firewall.nft import egress, guard_table
from spicegrants.firewall.trace import nft_rules
from spicegrants.policy.access import Times
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import Windows

_OURS = {(guard_table.FAMILY, guard_table.TABLE), (egress.FAMILY, egress.TABLE)}
_FIELDS = {"skuid": "uid", "skgid": "gid", "daddr": "address", "dport": "port"}
# How what is not understood shows itself.
_STRANGE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_OPTIONS = {"--uid-owner": "uid", "--gid-owner": "gid", "-d": "address", "--dport": "port"}


def is_ours(family: str, table: str) -> bool:
    """Tell whether a table of nftables is ours."""
    return (family, table) in _OURS or (family == backstop.FAMILY and table.startswith(backstop.PREFIX))


def ours(elements: Mapping[Key, Element], chains: Mapping[str, Times | None]) -> list[dict[str, Any]]:
    """Return the elements of our grants as plain dicts.

    An element that leads to one of ``chains`` has that chain's name as its verdict, and the chain's times.
    """
    return [
        {
            "uid": key.uid,
            "gid": key.gid,
            "address": key.address,
            "port": key.port,
            "vm": element.vm,
            "verdict": element.verdict,
            **(_times_fields(chains[element.verdict]) if element.verdict in chains else {}),
            "packets": element.packets,
            "bytes": element.bytes,
            "foreign": False,
        }
        for key, element in sorted(elements.items())
    ]


def _times_fields(times: Times | None) -> dict[str, Any]:
    """Return the windows for new and for open connections; ``None`` if the chain's rules are no times."""
    if times is None:
        return {"times": None, "lasting": None}
    return {"times": _ranges(times.opened), "lasting": _ranges(times.lasting)}


def _ranges(windows: Windows) -> list[list[str]]:
    return [[instants.iso(start), instants.iso(end)] for start, end in windows]


def foreign_rules(table: guard_chains.Table, family: str) -> list[dict[str, Any]]:
    """Return rules outside our iptables chains that match the owner of a socket.

    family
        ``ip`` or ``ip6``.
    """
    found = []
    for chain, rules in table.items():
        for rule in rules if not guard_chains.is_ours(chain) else ():
            options = {option: value[0] for option, *value in rule.normal if value}
            if any(option.lstrip("!") in ("--uid-owner", "--gid-owner") for option in options):
                fields = {name: _plain(options[option]) for option, name in _OPTIONS.items() if option in options}
                place = {"table": f"{family} filter", "chain": chain, "handle": None}
                counted = {"packets": rule.packets, "bytes": rule.bytes}
                verdict = {"verdict": rule.target.lower()} if rule.target else {}
                found.append({**place, **fields, **counted, **verdict, "foreign": True})
    return found


def _plain(text: str) -> int | str:
    return int(text) if text.isdigit() else text.removesuffix("/32").removesuffix("/128")


def foreign(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rules outside our nftables tables that match the owner of a socket.

    Anything that a rule states beyond a plain comparison is left out. A match of the iptables compatibility layer, of
    which nft shows only the name, appears without UID and GID.
    """
    found = []
    for kind, rule in nft_rules.bodies(objects):
        if kind != "rule" or is_ours(str(rule.get("family")), str(rule.get("table"))):
            continue
        try:
            fields = _fields(rule.get("expr"))
        except _STRANGE:
            # Of which nobody can tell what it says; if it may be about owners it is shown.
            fields = {} if "skuid" in repr(rule) or "skgid" in repr(rule) else None
        if fields is not None:
            place = {"table": f"{rule.get('family')} {rule.get('table')}", "chain": rule.get("chain")}
            found.append({**place, "handle": rule.get("handle"), **fields, "foreign": True})
    return found


def _fields(expressions: Any) -> dict[str, Any] | None:
    """Return the facts that an nftables rule states, if it matches the owner of a socket."""
    fields: dict[str, Any] = {}
    owner = False
    for expression in expressions:
        (kind, body), *_ = expression.items()
        if kind == "match":
            field = _field(body["left"])
            owner = owner or _mentions_owner(body["left"])
            if field and body["op"] == "==" and isinstance(body["right"], (int, str)):
                fields[field] = body["right"]
        elif kind in ("vmap", "set") and _mentions_owner(body):
            owner = True
        elif kind == "xt":
            owner = owner or (isinstance(body, dict) and body.get("name") == "owner")
        elif kind == "counter" and isinstance(body, dict):
            fields.update(packets=body["packets"], bytes=body["bytes"])
        elif kind in ("accept", "drop", "reject", "jump", "goto"):
            fields["verdict"] = kind
    return fields if owner else None


def _field(left: Any) -> str | None:
    if not isinstance(left, dict):
        return None
    if "meta" in left:
        return _FIELDS.get(left["meta"]["key"])
    if "payload" in left:
        return _FIELDS.get(left["payload"].get("field"))
    return None


def _mentions_owner(body: Any) -> bool:
    if isinstance(body, dict):
        return body.get("key") in ("skuid", "skgid") or any(map(_mentions_owner, body.values()))
    return isinstance(body, list) and any(map(_mentions_owner, body))
