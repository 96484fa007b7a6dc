"""Closing first on a KVM host: what of the stored policy goes, whatever libvirt and the kernel say. Pure.

It needs only what is stored and declared. Nothing here ever opens anything: of what is stored some goes, and the rest
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from spicegrants.core.changes import Change
from spicegrants.hypervisor.host_file import Stored
from spicegrants.policy import merge, state_file
from spicegrants.policy.model import Grant, Policy, Vm


def certain(kept: Stored, policy: Policy, minion: str) -> Stored:
    """Return what is stored without what the declared policy certainly has no more: grants, desks and consoles.

    This is what a run takes away first. What may still be meant, a grant under another name or to another group, a
    console that moved, other hours, is left to the run itself.

    policy, minion
        What is declared, and the id of this minion.
    """
    if kept.policy is None:
        return kept
    fresh: dict[str, list[Grant]] = {}
    for grant in policy.grants.values():
        before = kept.policy.grants.get(grant.name)
        if before is None or _whom(before) != _whom(grant):
            fresh.setdefault(grant.vm, []).append(grant)

    def stays(grant: Grant) -> Grant | None:
        other = policy.grants.get(grant.name)
        if other is not None and _whom(other) == _whom(grant):
            return _narrowed(grant, other.left_out)
        replaced = any(new.group or grant.group or new.user == grant.user for new in fresh.get(grant.vm, ()))
        return grant if replaced else None

    return _less(kept, policy, minion, lambda vm, other: True, stays)


def provable(kept: Stored, policy: Policy, minion: str) -> Stored:
    """Return what is stored without all that cannot be shown to stay, for a run that cannot go on.

    policy, minion
        As for :func:`certain`.
    """
    if kept.policy is None:
        return kept
    before = kept.policy
    declared: dict[object, list[Grant]] = {}
    for grant in policy.grants.values():
        declared.setdefault(_meaning(policy, grant), []).append(grant)

    def stays(grant: Grant) -> Grant | None:
        same = declared.get(_meaning(before, grant))
        return _narrowed(grant, set.intersection(*(set(other.left_out) for other in same))) if same else None

    found = _less(kept, policy, minion, _is_there, stays)
    desks = {name: desk for name, desk in found.the_policy.desks.items() if policy.desks[name] == desk}
    return replace(found, policy=replace(found.the_policy, desks=desks))


def takes_away(before: Stored, after: Stored) -> bool:
    """Tell whether somebody may open less than before, as far as that can be told without looking any further."""
    was, becomes = before.temporary, after.temporary
    return (
        before.policy != after.policy
        or not set(was.loans).issubset(becomes.loans)
        or not set(becomes.locks).issubset(was.locks)
    )


def words(before: Stored, after: Stored) -> list[Change]:
    """Say in words how the stored policy, loans and locks change."""
    was, becomes = before.the_policy, after.the_policy
    found = merge.changes(
        state_file.Stored(replace(was, desks={}), temporary=before.temporary),
        state_file.Stored(replace(becomes, desks={}), temporary=after.temporary),
    )
    return found + [Change("policy", f"removes desk {name}") for name in sorted(was.desks) if name not in becomes.desks]


def _less(
    kept: Stored,
    policy: Policy,
    minion: str,
    there: Callable[[Vm, Vm], bool],
    stays: Callable[[Grant], Grant | None],
) -> Stored:
    """Return what is stored with fewer consoles, grants and desks.

    there
        Tells whether a console that is still declared is where it was.

    stays
        Returns what stays of a grant.
    """
    before = kept.the_policy
    ours, declared = before.consoles_of(kept.minion), policy.consoles_of(minion)
    gone = {name for name, vm in ours.items() if name not in declared or not there(vm, declared[name])}
    vms = {name: vm for name, vm in before.vms.items() if name not in gone}
    left = {name: stays(grant) for name, grant in before.grants.items() if grant.vm not in gone}
    grants = {name: grant for name, grant in left.items() if grant is not None}
    desks = {name: desk for name, desk in before.desks.items() if name in policy.desks}
    return replace(kept, policy=replace(before, vms=vms, grants=grants, desks=desks))


def _is_there(vm: Vm, other: Vm) -> bool:
    """Tell whether a console is the same behind the same port, to as many at a time."""
    return all(
        getattr(vm, field) == getattr(other, field) for field in ("server", "tls_port", "libvirts_name", "sharing")
    )


def _whom(grant: Grant) -> tuple[str | None, str | None, str]:
    return grant.user, grant.group, grant.vm


def _meaning(policy: Policy, grant: Grant) -> object:
    """Return all of a grant that decides who may open what, when, and how sessions end."""
    schedules = tuple(policy.schedules[name]._replace(worked=None) for name in grant.schedules)
    return (*_whom(grant), schedules, grant.valid_from, grant.valid_until, grant.on_end, grant.grace)


def _narrowed(grant: Grant, left_out: Iterable[str]) -> Grant:
    return grant._replace(left_out=tuple(sorted({*grant.left_out, *left_out})))
