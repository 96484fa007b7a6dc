"""Warnings about a policy without errors: what is declared but open to nobody, and how viewers run."""

from __future__ import annotations

from collections.abc import Iterable

from spicegrants.core.reader import nearest, quote
from spicegrants.policy import decision
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import Temporary
from spicegrants.policy.model import Grant, Policy
from spicegrants.schedule import instants, weekly
from spicegrants.schedule.intervals import LAST, clip

# For how many names the nearest is sought: that takes a look at all members of a group.
_SOUGHT = 20


def notes(desired: DesiredState) -> list[str]:
    """Name the schedules in use that do not open as far as times are worked out, and the grants that have ended.

    Nothing is reported as long as the clock was never set. Sentences without a full stop, sorted by name.
    """
    if desired.day is None:
        return []
    policy, now = desired.policy, desired.now
    ended = {
        grant.name: _ended(policy, grant, grant.valid_until)
        for grant in policy.grants.values()
        if grant.valid_until is not None and grant.valid_until <= now
    }
    used = {name for grant in policy.grants.values() if grant.name not in ended for name in grant.schedules}
    stretch = decision.span(policy, desired.day)
    closed = [
        f"schedule {name} does not open within the next {policy.time.horizon} days"
        for name in sorted(used)
        if not clip(weekly.windows(policy.schedules[name], *stretch), now, LAST)
    ]
    return closed + [ended[name] for name in sorted(ended)]


def left_out(desired: DesiredState) -> list[str]:
    """Name those whom a grant to a group leaves out and who are not in it, while somebody of nearly that name is.

    Such a slip lets in whom the grant was not to mean.
    """
    slips = []
    for grant in desired.policy.grants.values():
        group = desired.inventory.groups.get(grant.group or "") if grant.left_out else None
        if group:
            others = set(group.members).difference(grant.left_out)
            slips += [(grant.name, name, group.name, others) for name in set(grant.left_out).difference(group.members)]
    return [
        f"grant {grant} leaves out {quote(name)}, who is not in group {group}; {near} is"
        for grant, name, group, others in sorted(slips, key=lambda slip: slip[:2])[:_SOUGHT]
        if (near := nearest(name, others)) is not None
    ]


def locked(temporary: Temporary) -> list[str]:
    """Name what is locked. Each run does: it is where people look first when nobody gets in."""
    return [
        f"{lock.words} is locked{f' ({lock.reason})' if lock.reason else ''}, until spice_grant.unlock"
        for lock in temporary.locks
    ]


def confinement(desired: DesiredState) -> list[str]:
    """Say how viewers run where the policy leaves that open, and why, as :func:`notes` does."""
    if desired.policy.viewer.confine is not None:
        return []
    if desired.confined:
        return ["viewers run confined: this machine has what that needs"]
    return [f"viewers run unconfined: {desired.inventory.unconfinable}"]


def unguarded(hindrance: str) -> list[str]:
    """Say why interfaces are not guarded where the policy leaves that open."""
    if not hindrance:
        return []
    return [f"guests and containers that share a network card with this machine are not held back: {hindrance}"]


def bypassing(flowtables: Iterable[str]) -> list[str]:
    """Name flowtables: the connections that they take along pass no forward chain, and so not the guard."""
    return [
        f"flowtable {name} takes connections of guests past the guard: one that was let through before goes on"
        for name in flowtables
    ]


def backstop_missing(policy: Policy, hindrance: str) -> list[str]:
    """Say why there is no backstop although the policy asks for one."""
    if not policy.firewall.backstop or not hindrance:
        return []
    return [f"firewall: spice:firewall:backstop asks for what cannot be held here: {hindrance}"]


def _ended(policy: Policy, grant: Grant, moment: int) -> str:
    zone = policy.time.zone or next((policy.schedules[name].zone for name in grant.schedules), None)
    return f"grant {grant.name} ended {instants.words(moment, zone)}"
