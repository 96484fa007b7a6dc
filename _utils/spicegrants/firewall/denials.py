"""Denials: packets that the guard refused and logged, parsed from lines of the kernel's log."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from spicegrants.firewall.guard import EGRESS, FORWARD, LOG_PREFIXES
from spicegrants.policy import wording
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.schedule import instants

# Seconds within which the same denial is one entry.
_FOLDED = 60
_NUMBER = re.compile(r"[0-9]{1,10}")
# (uid_t) -1 is nobody's.
_LARGEST_ID = 2**32 - 2
# Lines of former versions do not say which rule it was.
_RULES = {"spice-grant deny: ": None, **{prefix: rule for rule, prefix in LOG_PREFIXES.items()}}
_PREFIX = re.compile("|".join(map(re.escape, _RULES)))
_READ = ("SRC", "DST", "PROTO", "SPT", "DPT", "UID", "GID")


class Denial(NamedTuple):
    """A packet that the guard refused. ``uid`` and ``gid`` are ``None`` where the kernel knew no owner.

    ``moment`` is in seconds since 1970, ``version`` is that of IP, 4 or 6. ``rule`` is the rule that refused it:
    ``output``, ``forward`` or ``egress``, and ``None`` where the line does not say.
    """

    moment: int
    uid: int | None
    gid: int | None
    address: str
    port: int
    version: int
    source_port: int
    rule: str | None = None


def parse_denials(lines: Iterable[tuple[int, str]]) -> tuple[list[Denial], int]:
    """Return the denials among lines of the kernel's log, and how many with the guard's prefix cannot be read.

    lines
        Each with its moment. A line that does not begin with the prefix is not the guard's, whatever else is in it.
    """
    found, unread = [], 0
    for moment, line in lines:
        prefix = _PREFIX.match(line)
        if prefix:
            try:
                found.append(_denial(moment, line[prefix.end() :], _RULES[prefix[0]]))
            except ValueError:
                unread += 1
    return found, unread


def _denial(moment: int, text: str, rule: str | None) -> Denial:
    """Parse the fields of a line as the kernel writes them for TCP; raise ValueError for any other."""
    fields: dict[str, str] = {}
    if not text.rstrip(" \n").isprintable():
        raise ValueError("control characters")
    for word in text.split():
        name, sign, value = word.partition("=")
        if sign and name in _READ and fields.setdefault(name, value) != value:
            raise ValueError(f"two different {name}")
    source, address = (ipaddress.ip_address(fields.get(name, "")) for name in ("SRC", "DST"))
    if fields.get("PROTO") != "TCP" or source.version != address.version:
        raise ValueError("no packet of TCP")
    uid, gid = (_number(fields[name], _LARGEST_ID) if name in fields else None for name in ("UID", "GID"))
    if (uid is None) is not (gid is None):
        raise ValueError("half an owner")
    port, source_port = (_number(fields.get(name, ""), 65535) for name in ("DPT", "SPT"))
    return Denial(
        moment=moment,
        uid=uid,
        gid=gid,
        address=str(address),
        port=port,
        version=address.version,
        source_port=source_port,
        rule=rule,
    )


def _number(text: str, largest: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > largest:
        raise ValueError(f"{text[:20]!r} is no number from 0 to {largest}")
    return int(text)


def fold(denials: Iterable[Denial]) -> list[tuple[Denial, int]]:
    """Fold denials of one minute with the same owner, place and rule; return each with its count, newest first."""
    entries: list[tuple[Denial, int]] = []
    newest: dict[tuple, int] = {}
    for denial in sorted(denials, key=lambda denial: -denial.moment):
        key = denial.uid, denial.gid, denial.address, denial.port, denial.rule
        index = newest.get(key)
        if index is not None and entries[index][0].moment - denial.moment < _FOLDED:
            entries[index] = (entries[index][0], entries[index][1] + 1)
        else:
            newest[key] = len(entries)
            entries.append((denial, 1))
    return entries


def entry(desired: DesiredState, denial: Denial, count: int, user: str | None) -> dict[str, Any]:
    """Return the entry that reports a denial.

    user
        Name of its UID's account; ``None`` if there is none.
    """
    vm = desired.vm_at(denial.address, denial.port)
    return {
        "at": instants.iso(denial.moment),
        "user": user,
        "uid": denial.uid,
        "gid": denial.gid,
        "vm": vm,
        "server": _server(desired, vm, denial.address),
        "address": denial.address,
        "port": denial.port,
        "rule": denial.rule,
        "count": count,
        "by": "guard",
        "why": why(desired, denial, user, vm),
    }


def note(remark: str, count: int | None = None) -> dict[str, Any]:
    """Return a remark about the list itself, in the form of an entry of it."""
    names = ("at", "user", "uid", "gid", "vm", "server", "address", "port", "rule")
    return {**dict.fromkeys(names), "count": count, "by": None, "why": remark}


def _server(desired: DesiredState, vm: str | None, address: str) -> str | None:
    if vm is not None:
        return desired.policy.vms[vm].server
    return next((name for name, known in sorted(desired.inventory.addresses.items()) if address in known), None)


def why(desired: DesiredState, denial: Denial, user: str | None, vm: str | None) -> str:
    """Say why a packet was refused, by the policy as it is now."""
    if vm is None:
        return "no console of the policy is there, only a guarded port"
    if denial.uid is None and denial.rule == EGRESS:
        return "from a guest or container that shares a network card of this machine"
    if denial.uid is None and denial.rule == FORWARD:
        return "forwarded, from a guest, a container or another machine"
    if denial.uid is None:
        return "the kernel knows no owner: forwarded, or from a socket that is gone"
    if user is None:
        return f"no account has UID {denial.uid}"
    decision = decide(desired, user, vm, denial.moment)
    if decision.access is None:
        return f"no grant of {vm} means {user}"
    if decision.lock is not None and decision.lock.since <= denial.moment:
        return wording.decision(desired.policy, decision)
    if denial.gid != desired.gid:
        return f"not with the viewer's group {desired.policy.viewer.group}"
    if decision.lock is None and not decision.open:
        return f"closed at that moment for {user}"
    return "not denied by what holds now: grants, times or locks have changed since"
