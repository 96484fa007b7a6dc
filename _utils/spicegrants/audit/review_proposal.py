"""Decisions of a review as a proposed pillar: which grants go, or mean fewer users or vms. Pure; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Union

from spicegrants.audit.fleet import line
from spicegrants.audit.review_csv import Decision, Decisions
from spicegrants.audit.tables.text import escaped
from spicegrants.core.errors import Finding
from spicegrants.core.reader import quote
from spicegrants.core.yaml_text import spelled
from spicegrants.policy.loans_locks import is_loan

# The pillar's ``spice`` of a minion; or why it cannot be had.
Declared = Union[Mapping[str, Any], str]
_Spec = Mapping[str, Any]


class Proposal(NamedTuple):
    """The text of a pillar, and what of the decisions is not in it."""

    text: str
    findings: list[Finding]


class _Entry(NamedTuple):
    """A grant as it is to be, ``None`` for none, and what was decided about it."""

    name: Any
    spec: Any
    decisions: Sequence[Decision] = ()


class _Revised(NamedTuple):
    """All grants as they are to be, in their order; which grants of which lines were found; and why others were not."""

    entries: list[_Entry]
    done: set[tuple[int, str]]
    refused: dict[tuple[int, str], str]


def desks(decisions: Iterable[Decision]) -> list[str]:
    """Return the desks whose pillar is needed."""
    return sorted({desk for decision in decisions for desk in decision.desks})


def proposed(decided: Decisions, declared: Mapping[str, Declared]) -> Proposal:
    """Return the grants of each pillar as they would be without what is revoked.

    decided
        Decisions, with what is wrong with others.

    declared
        The pillar's ``spice`` by desk, as it stands there.
    """
    lacking = {desk: why for desk, why in sorted(declared.items()) if isinstance(why, str)}
    findings = [*decided.findings, *(Finding(desk, f"no pillar: {why}") for desk, why in lacking.items())]
    findings += [
        Finding(f"line {each.line}", "no pillar of its desks is known, so nothing of it is revoked")
        for each in decided.revoked
        if all(isinstance(declared.get(desk, ""), str) for desk in each.desks)
    ]
    parts, refused, done = [], [], set()
    for names, (grants, vm_groups) in _alike(declared):
        here = [each for each in decided.revoked if not {*names}.isdisjoint(each.desks)]
        revised = _revised(grants, vm_groups, here)
        done |= revised.done
        refused += [
            (what, Finding(f"line {what[0]}, {', '.join(names)}", why)) for what, why in revised.refused.items()
        ]
        if any(each.decisions for each in revised.entries):
            parts.append("\n".join([f"# Of {escaped(', '.join(names))}", "spice:", *_lines(revised.entries)]))
    # A row is of several desks, and not each of its grants is declared for all of them.
    findings += [finding for what, finding in refused if what not in done]
    counted = f"{len(decided.revoked)} revoked, {decided.kept} kept, {decided.undecided} not decided"
    head = [f"# Proposed, and nothing was changed. Rows of the review: {counted}."]
    if findings:
        head += ["# What is not in it:", *(f"#   {line(finding)}" for finding in findings)]
    if not parts:
        head.append("# No grant would change.")
    return Proposal("\n---\n".join(["\n".join([*head, *parts[:1]]), *parts[1:]]) + "\n", findings)


def _alike(declared: Mapping[str, Declared]) -> Iterator[tuple[list[str], tuple[Mapping[Any, Any], Mapping[Any, Any]]]]:
    """Yield desks with the same grants together, and these, with the groups of vms that they name."""
    found: dict[str, list[str]] = {}
    for desk in sorted(declared):
        found.setdefault(repr(_grants(declared[desk])), []).append(desk)
    for names in found.values():
        if not isinstance(declared[names[0]], str):
            yield names, _grants(declared[names[0]])


def _grants(declared: Declared) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
    grants, groups = (
        declared.get(section) if isinstance(declared, Mapping) else None for section in ("grants", "vm_groups")
    )
    return grants if isinstance(grants, Mapping) else {}, groups if isinstance(groups, Mapping) else {}


def _revised(grants: Mapping[Any, Any], vm_groups: Mapping[Any, Any], revoked: Iterable[Decision]) -> _Revised:
    cuts: dict[Any, list[Decision]] = {}
    refused: dict[tuple[int, str], str] = {}
    done = set()
    for decision in revoked:
        for name in decision.grants:
            found = _declared_as(grants, name)
            complaint = _complaint(grants, vm_groups, name, found, decision)
            if complaint:
                refused[decision.line, name] = complaint
            else:
                done.add((decision.line, name))
                cuts.setdefault(found, []).append(decision)
    entries: list[_Entry] = []
    for name, spec in grants.items():
        entries += _cut(name, spec, _vms(spec, vm_groups), cuts[name]) if name in cuts else [_Entry(name, spec)]
    return _Revised(entries, done, refused)


def _declared_as(grants: Mapping[Any, Any], name: str) -> str | None:
    """Return what a grant is called where it is declared: one of several vms has its vm behind that."""
    base = name.partition("/")[0]
    return next((known for known in (name, base) if isinstance(grants.get(known), Mapping)), None)


def _complaint(
    grants: Mapping[Any, Any], vm_groups: Mapping[Any, Any], name: str, found: str | None, decision: Decision
) -> str:
    """Say why a grant is not to be touched by a decision; empty if it is."""
    if is_loan(name):
        return f"{name} is a loan: spice_grant.end_loan ends it"
    if found is None:
        return f"grant {quote(name)} is not declared there, so another state, or spice_grant.grant, made it"
    spec = grants[found]
    if decision.vm not in _vms(spec, vm_groups):
        return f"grant {quote(name)} is not about vm {quote(decision.vm)} there"
    if "group" in spec:
        meant = spec["group"] in decision.groups
    else:
        meant = isinstance(spec.get("user"), str) and _same(spec["user"], decision.user)
    return "" if meant else f"grant {quote(name)} is not of {quote(decision.user or ', '.join(decision.groups))} there"


def _same(one: str, another: str) -> bool:
    """Tell whether two names may be one account's: but for case, and a domain that one of them lacks."""
    (name, _, domain), (other, _, others) = one.casefold().partition("@"), another.casefold().partition("@")
    return name == other and (not domain or not others or domain == others)


def _vms(spec: _Spec, vm_groups: Mapping[Any, Any]) -> list[str]:
    """Return the vms of a grant, each once."""
    names = _listed(spec.get("vm"))
    for group in _listed(spec.get("vm_group")):
        names += _listed(vm_groups.get(group))
    return list(dict.fromkeys(names))


def _listed(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _cut(name: str, spec: _Spec, vms: Sequence[str], decisions: Sequence[Decision]) -> list[_Entry]:
    """Return what becomes of a grant."""
    if "group" not in spec:
        gone = {each.vm for each in decisions}
        left = [vm for vm in vms if vm not in gone]
        return [_Entry(name, _about(spec, vms, left) if left else None, decisions)]
    nobodys = {each.vm for each in decisions if not each.user}
    out = {vm: {each.user for each in decisions if each.vm == vm} for vm in vms if vm not in nobodys}
    everywhere = set.intersection(*out.values()) if out else set()
    # Where somebody loses some of several vms, these become grants of their own, with the names that they have anyway.
    apart = {vm: users - everywhere for vm, users in out.items() if users - everywhere}
    left = [vm for vm in out if vm not in apart]
    base = _without(_about(spec, vms, left), everywhere) if left else None
    of_apart = [each for each in decisions if each.vm in apart]
    rest = [each for each in decisions if each.vm not in apart or each.user in everywhere]
    entries = [_Entry(name, base, rest or of_apart)]
    for vm, users in apart.items():
        own = _without(_about(spec, vms, [vm], single=True), everywhere | users)
        entries.append(_Entry(f"{name}/{vm}", own, [each for each in of_apart if each.vm == vm]))
    return entries


def _about(spec: _Spec, vms: Sequence[str], left: Sequence[str], *, single: bool = False) -> dict[str, Any]:
    """Return a grant for some of its vms only; a list stays one, as each is called by its vm then."""
    if [*left] == [*vms] and not single:
        return {**spec}
    about = {"vm": left[0] if single else [*left]}
    return {key: value for key, value in {**spec, **about}.items() if key != "vm_group"}


def _without(spec: dict[str, Any], users: Iterable[str]) -> dict[str, Any]:
    """Return a group's grant that means some users no more."""
    excepted = _listed(spec.get("except"))
    more = sorted({*users} - {*excepted})
    return {**spec, "except": [*excepted, *more]} if more else spec


def _lines(entries: Sequence[_Entry]) -> Iterator[str]:
    """Spell grants as YAML, each change with a comment above it."""
    yield "  grants:" if any(entry.spec is not None for entry in entries) else "  grants: {}"
    for entry in entries:
        what = f"{line(entry.name)} goes" if entry.spec is None else "changed"
        yield from (f"    # {what}: {_said(each)}" for each in entry.decisions)
        if isinstance(entry.spec, Mapping) and entry.spec:
            yield f"    {spelled(entry.name)}:"
            yield from (f"      {spelled(key)}: {spelled(value)}" for key, value in entry.spec.items())
        elif entry.spec is not None or not entry.decisions:
            yield f"    {spelled(entry.name)}: {spelled(entry.spec)}"


def _said(decision: Decision) -> str:
    whom = line(decision.user) if decision.user else f"group {line(', '.join(decision.groups))}"
    why = f" ({line(decision.comment)})" if decision.comment else ""
    return f"line {decision.line} revokes {line(decision.vm)} of {whom}{why}"
