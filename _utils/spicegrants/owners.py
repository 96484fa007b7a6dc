"""Owner-match rules in a listing of the whole ruleset: our elements, and other tables' rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spicegrants import nftables

_FIELDS = {"skuid": "uid", "skgid": "gid", "daddr": "address", "dport": "port"}


def ours(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the elements of our maps as plain dicts."""
    own = [entry for entry in objects if entry.get("map", {}).get("table") == nftables.TABLE]
    return [
        {
            "uid": key.uid,
            "gid": key.gid,
            "address": key.address,
            "port": key.port,
            "vm": element.vm,
            "verdict": element.verdict,
            "packets": element.packets,
            "bytes": element.bytes,
            "foreign": False,
        }
        for key, element in sorted(nftables.elements(own).items())
    ]


def foreign(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rules outside our table that match the owner of a socket.

    What a rule states beyond a plain comparison stays out; a match of the iptables compatibility layer, of which nft
    shows the name only, appears without UID and GID.
    """
    found = []
    for entry in objects:
        rule = entry.get("rule")
        if rule is None or (rule["family"], rule["table"]) == (nftables.FAMILY, nftables.TABLE):
            continue
        stated: dict[str, Any] = {}
        owner = False
        for expression in rule["expr"]:
            (kind, body), *_ = expression.items()
            if kind == "match":
                field = _field(body["left"])
                owner = owner or _mentions_owner(body["left"])
                if field and body["op"] == "==" and isinstance(body["right"], (int, str)):
                    stated[field] = body["right"]
            elif kind in ("vmap", "set") and _mentions_owner(body):
                owner = True
            elif kind == "xt":
                owner = owner or (isinstance(body, dict) and body.get("name") == "owner")
            elif kind == "counter" and isinstance(body, dict):
                stated.update(packets=body["packets"], bytes=body["bytes"])
            elif kind in ("accept", "drop", "reject", "jump", "goto"):
                stated["verdict"] = kind
        if owner:
            place = {"table": f"{rule['family']} {rule['table']}", "chain": rule["chain"], "handle": rule["handle"]}
            found.append({**place, **stated, "foreign": True})
    return found


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
