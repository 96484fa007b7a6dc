"""Rules of all other firewalls on this machine: those in nft, and those of iptables-legacy, which nft does not see."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable
from typing import Any

from spicegrants.core.errors import SystemFault
from spicegrants.firewall import owner_rules
from spicegrants.firewall.live import nft, set_element
from spicegrants.firewall.trace import iptables_rules, nft_rules, tracer
from spicegrants.firewall.trace.tracer import Obstacle, Packet, Table
from spicegrants.host import disk, run
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide

# By family: its programs, and where the kernel names the tables that iptables-legacy made.
_FAMILIES = {"ip": ("iptables", "/proc/net/ip_tables_names"), "ip6": ("ip6tables", "/proc/net/ip6_tables_names")}

# Whether packets of others pass through this machine.
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")

# Rules that are there and that no program of this machine can read: they may be anything.
_UNREAD = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j which-cannot-be-read\n"


def read() -> list[Table]:
    """Return all tables except ours.

    Tables of iptables-nft are read from iptables-nft-save if nft is missing or would show only the names of their
    matches. No program of iptables-legacy is run if the kernel has none of its tables: it would create them.
    """
    objects, whole = [], _installed("nft")
    if whole:
        objects = nft.outline()
    found: list[Table] = []
    table_names = (
        (body.get("family"), body.get("name")) for kind, body in nft_rules.bodies(objects) if kind == "table"
    )
    hidden = {(where, name) for where, name in table_names if where and name and owner_rules.is_ours(where, name)}
    for family, (program, names) in _FAMILIES.items():
        if not (whole and _tells_all(objects, family)) and _installed(f"{program}-nft-save"):
            saved_tables = iptables_rules.tables(family, run.run([f"{program}-nft-save"]))
            hidden |= {(family, table.name.partition(" ")[2]) for table in saved_tables}
            found += saved_tables
        if disk.read_text(names):
            found += iptables_rules.tables(family, _legacy(program), "iptables-legacy")
    return [*nft_rules.tables(objects, hidden, source), *found]


def obstacles(tables: Iterable[Table], uid: int, gid: int, address: str, port: int) -> tuple[Obstacle, ...]:
    """Return the chains that stop, or may stop, a user's connection made with a group."""
    return tracer.find(tables, Packet(uid, gid, address, port, _device(uid, address)))


def before(desired: DesiredState, user: str, vm: str, tables: Iterable[Table]) -> dict[str, tuple[Obstacle, ...]]:
    """Return, by address of a vm, the chains that stop, or may stop, a user who may open it.

    Return nothing for a user who may not open it.
    """
    decision = decide(desired, user, vm, desired.now)
    access = decision.access
    if access is None or not decision.open or desired.gid is None:
        return {}
    tables, port = list(tables), desired.port(access)
    found = {
        address: obstacles(tables, access.uid, desired.gid, address, port) for address in desired.addresses(access)
    }
    return {address: chains for address, chains in found.items() if chains}


def flowtables() -> list[str]:
    """Return family, table and name of all flowtables if this machine forwards packets; none if nft lists none."""
    if not _installed("nft") or not any(disk.read_text(path) in (b"1\n", b"2\n") for path in _FORWARDING):
        return []
    try:
        found = nft.objects(run.run(["nft", "-j", "list", "flowtables"]), "nft list flowtables")
    except SystemFault:
        # It hinders nothing: what holds up a run is found by whatever needs an answer.
        return []
    bodies = (body for kind, body in nft_rules.bodies(found) if kind == "flowtable")
    return sorted(f"{body.get('family')} {body.get('table')} {body.get('name')}" for body in bodies)


def source(body: dict[str, Any]) -> nft_rules.Source | None:
    """Return the source of the elements of a set or map; ``None`` if the listing has them."""
    if "elem" in body or not isinstance(body.get("name"), str):
        return None
    place = body["family"], body["table"], body["name"]
    elements = functools.cache(functools.partial(nft.elements, "map" if "map" in body else "set", *place))
    addresses = "map" not in body and body.get("type") in ("ipv4_addr", "ipv6_addr")
    return nft_rules.Source(elements, functools.partial(set_element.holds, *place) if addresses else None)


def _tells_all(objects: list[dict[str, Any]], family: str) -> bool:
    rules = (body for kind, body in nft_rules.bodies(objects) if kind == "rule" and body.get("family") == family)
    found = (rule.get("expr") for rule in rules)
    return not any(
        "xt" in expression for expressions in found if isinstance(expressions, list) for expression in expressions
    )


def _legacy(program: str) -> str:
    """Return the output of iptables-legacy-save, by whatever name it is installed here."""
    for name in (f"{program}-legacy-save", f"{program}-save"):
        if _installed(name) and "nf_tables" not in run.run([name, "--version"]):
            return run.run([name])
    return _UNREAD


def _device(uid: int, address: str) -> str | None:
    """Return the interface by which a user's packets leave; ``None`` if it cannot be determined."""
    if not _installed("ip"):
        return None
    result = run.attempt(["ip", "-json", "route", "get", address, "uid", str(uid)])
    routes = run.as_json(result.stdout, "ip route get", list) if result.returncode == 0 else []
    return routes[0].get("dev") if routes and isinstance(routes[0], dict) else None


def _installed(program: str) -> bool:
    return shutil.which(program, path=run.SEARCH) is not None
