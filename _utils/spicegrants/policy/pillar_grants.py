"""Grants of a pillar: whom they mean, which vms, and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from spicegrants.core import validation
from spicegrants.core.reader import Node, complete, quote
from spicegrants.policy.model import ABOUT, WARN, Grant
from spicegrants.policy.pillar_values import duration, members, named_children
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import DAY

_LIMITS = ("schedule", "valid_from", "valid_until", "on_end", "grace", "warn")


class Choice(NamedTuple):
    """What grants may name: vms, groups of these, schedules; and the zone of their moments."""

    vms: Collection[str]
    vm_groups: Mapping[str, Sequence[str]]
    schedules: Collection[str]
    zone: str | None


def parse_grants(node: Node, choice: Choice) -> dict[str, Grant]:
    """Parse grants. One of several vms becomes as many, each called by its vm as well."""
    parsed = named_children(node, lambda name, child: _grant(name, child, choice), validation.grant_name)
    found: dict[str, Grant] = {}
    for name, grants in parsed.items():
        for grant in grants:
            if grant.name in found:
                node.child(name).wrong(f"{quote(grant.name)} is what another grant is called for vm {quote(grant.vm)}")
            found[grant.name] = grant
    return found


def _vms(name: str, node: Node, choice: Choice) -> dict[str, str] | None:
    """Return the vms of a grant by what the grant is called for each; ``None`` if they cannot be read."""
    given = [key for key in ("vm", "vm_group") if key in node.value]
    if len(given) != 1:
        node.wrong("needs either 'vm' or 'vm_group'")
        return None
    child = node.child(given[0])
    if given == ["vm"] and not isinstance(child.value, list):
        vm = child.reference(choice.vms, "vm")
        _, sign, called_by = name.partition("/")
        if sign and vm is not None and called_by != vm:
            node.wrong(f"is called by vm {quote(called_by)}, and about {quote(vm)}")
        return None if vm is None else {name: vm}
    if given == ["vm"]:
        names = members(child, choice.vms, "vm")
    else:
        groups = members(child, choice.vm_groups, "group of vms") or ()
        names = tuple(vm for group in groups for vm in choice.vm_groups[group])
    if "/" in name:
        node.wrong("is called by one vm, and about several")
    return {f"{name}/{vm}": vm for vm in names or ()}


def _grant(name: str, node: Node, choice: Choice) -> list[Grant] | None:
    if not node.keys((), ("vm", "vm_group", "user", "group", "except", "nopasswd", *_LIMITS, *ABOUT)):
        return None
    # Most grants have little of what they could have, and a pillar may have thousands.
    whom = {key: child.text(validation.account_name) for key, child in node.children("user", "group")}
    if len(whom) != 1:
        node.wrong("needs either 'user' or 'group'")
    if whom.get("user") == "root":
        node.child("user").wrong("root needs no grant: no client can hold root back")
    excepted = [child.text(validation.line) for child in node.child("except").elements(scalar=True)]
    if excepted and "user" in whom:
        node.child("except").wrong("is for a group: whom of its members the grant does not mean")
    vms = _vms(name, node, choice)
    limits = _limits(node, choice.schedules, choice.zone) if not node.value.keys().isdisjoint(_LIMITS) else {}
    nopasswd = node.child("nopasswd").flag(False)
    texts: dict[str, Any] = {key: child.text(validation.line) for key, child in node.children(*ABOUT)}
    if vms is None or limits is None:
        return None
    left_out = tuple(sorted({name for name in excepted if name is not None}))
    fields = {**texts, **limits, "nopasswd": nopasswd, "left_out": left_out}
    return [Grant(called, vm, whom.get("user"), whom.get("group"), **fields) for called, vm in vms.items()]


def _limits(node: Node, schedules: Collection[str], zone: str | None) -> dict[str, Any] | None:
    """Return the fields of a grant that limit it in time; ``None`` if it names an unknown schedule."""
    by = node.child("schedule")
    chosen = complete(child.reference(schedules, "schedule") for child in by.elements(scalar=True))
    if by.value == []:
        by.wrong("is empty: leave it out for a grant that is always open")
    ends = node.children("valid_from", "valid_until")
    valid = {key: _moment(child, zone, last=key == "valid_until") for key, child in ends}
    start, end = valid.get("valid_from"), valid.get("valid_until")
    if start is not None and end is not None and end <= start:
        node.child("valid_until").wrong("is not after 'valid_from'")
    on_end = node.child("on_end").choice(("cut", "drain"), "cut")
    grace = duration(node.child("grace"), DAY)
    if grace is not None and on_end != "drain":
        node.child("grace").wrong("is for 'on_end: drain' only")
    ahead = node.child("warn")
    warn = [duration(child, DAY) for child in ahead.elements(scalar=True)]
    if chosen is None:
        return None
    return {
        **valid,
        "schedules": tuple(dict.fromkeys(chosen)),
        "on_end": on_end,
        "grace": grace,
        "warn": WARN if ahead.absent else tuple(sorted(filter(None, set(warn)), reverse=True)),
    }


def _moment(node: Node, zone: str | None, *, last: bool) -> int | None:
    if node.absent:
        return None
    try:
        moment = instants.parse_moment(node.value, zone, last=last)
    except LookupError:
        node.wrong("needs an offset, as 2026-12-24T18:00+01:00, or a zone for all moments: 'time: {zone: ...}'")
        return None
    if moment is None:
        node.wrong(f"{quote(node.value)} is no date or moment of this century, as 2026-12-24 or 2026-12-24T18:00+01:00")
    return moment
