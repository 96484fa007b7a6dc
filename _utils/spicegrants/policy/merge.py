"""Merging of declarations: pillar, grants of a state and what the minion holds already give one policy."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from spicegrants.core.changes import Change
from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.policy import pillar
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import unended
from spicegrants.policy.model import Grant, Policy, grant_to_pillar, to_pillar
from spicegrants.policy.state_file import Stored
from spicegrants.schedule import instants

# By which a declaration is known whatever key it stands under.
_SECTIONS = frozenset(("servers", "vms", "grants"))
# How a change of settings is said.
_SETTINGS = {"viewer": "the viewer", "firewall": "the firewall", "routing": "routing", "time": "time", "sudo": "sudo"}
# What the name of a grant cannot hold.
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+|\.{2,}")


def plain(value: Any) -> Any:
    """Copy nested data into plain dicts and lists; Salt 3008 wraps the pillar into types that print as asterisks."""
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


def combine(data: Any, grants: Any, exclusive: bool, current: Policy | None) -> Policy:
    """Return the policy that pillar declares, with the given grants.

    data
        The pillar's ``spice``.

    grants
        Grants by name, in the pillar's form; ``None`` means those of the pillar.

    exclusive
        Whether to remove grants that only ``current`` has. Otherwise they stay, as long as their vm is still declared.

    current
        The policy that the minion holds already.

    Raises :class:`~spicegrants.core.errors.PolicyError` with all findings.
    """
    if not isinstance(exclusive, bool):
        # Any text, "no" as well, would otherwise remove grants.
        raise PolicyError([Finding("exclusive", f"must be true or false, not {quote(exclusive)}")])
    data = plain(data)
    if grants is not None and isinstance(data, dict):
        data = {**data, "grants": plain(grants)}
    if not exclusive and current is not None and isinstance(data, dict) and isinstance(data.get("grants"), dict):
        vms = _vms_in(data)
        own = data["grants"]
        # One of several vms is as many grants, whose names begin with its own.
        staying = {
            grant.name: grant_to_pillar(grant)
            for grant in current.grants.values()
            if grant.vm in vms and grant.name.partition("/")[0] not in own
        }
        data = {**data, "grants": {**staying, **own}}
    # Who may ask KVM hosts for tickets is their business: each desk would keep, and read, the keys of all.
    return replace(pillar.parse_policy(data), desks={})


def without_secrets(data: Any) -> Any:
    """Return pillar's data without the passwords that sdb keeps; the same object if there are none."""
    vms = _vms_in(data)
    bare = {
        name: {key: value for key, value in vm.items() if key != "password"} for name, vm in vms.items() if _uri(vm)
    }
    return {**data, "vms": {**vms, **bare}} if bare else data


def declared(pillar_data: Mapping[Any, Any]) -> Any:
    """Return what a minion's pillar declares, as plain data; ``None`` if that is nothing.

    Raises :class:`~spicegrants.core.errors.PolicyError` if it does so under a misspelt key.
    """
    names = [] if "spice" in pillar_data else misspelt(pillar_data)
    if names:
        raise PolicyError([Finding(name, "unknown key, did you mean 'spice'?") for name in names])
    return plain(pillar_data.get("spice"))


def misspelt(pillar_data: Mapping[Any, Any]) -> list[str]:
    """Return keys of a pillar that are near to ``spice``, and hold what that does."""
    return [
        name if name.isprintable() else quote(name)
        for name, value in pillar_data.items()
        if isinstance(value, Mapping) and not _SECTIONS.isdisjoint(value) and did_you_mean(name, ["spice"])
    ]


def _vms_in(data: Any) -> dict[Any, Any]:
    """Return the vms that pillar declares, as they stand there; none where they are no mapping."""
    vms = data.get("vms") if isinstance(data, dict) else None
    return vms if isinstance(vms, dict) else {}


def _uri(vm: Any) -> str | None:
    """Return the ``sdb://`` URI of a vm's password; ``None`` if it has none."""
    password = vm.get("password") if isinstance(vm, dict) else None
    return password if isinstance(password, str) and password.startswith(pillar.SDB) else None


def with_secrets(data: Any, get: Callable[[str], Any]) -> Any:
    """Return pillar's data with passwords in the place of their ``sdb://`` URIs.

    get
        Takes an ``sdb://`` URI and returns its value, the URI itself if there is none.

    Raises :class:`~spicegrants.core.errors.PolicyError` if sdb has no such password.
    """
    vms = _vms_in(data)
    found, findings = {}, []
    for name, vm in vms.items():
        uri = _uri(vm)
        if uri is not None:
            secret = get(uri)
            if isinstance(secret, str) and secret != uri:
                found[name] = {**vm, "password": secret}
            else:
                path = f"spice:vms:{name}:password"
                findings.append(Finding(path, "sdb has no text under this URI; is the profile in the configuration?"))
    if findings:
        raise PolicyError(findings)
    return {**data, "vms": {**vms, **found}} if found else data


def without(policy: Policy, names: Iterable[str]) -> Policy:
    """Return a policy without some grants."""
    dropped = set(names)
    return replace(policy, grants={name: grant for name, grant in policy.grants.items() if name not in dropped})


def called(policy: Policy, name: str) -> list[str]:
    """Return the names of the grants that a name means: that one, or each of a grant of several vms."""
    return [each for each in policy.grants if each == name or each.startswith(f"{name}/")]


def with_grant(policy: Policy, user: Any, vm: Any, nopasswd: Any, reason: Any) -> Policy:
    """Return a policy with one more grant, named after user and vm, checked as one from pillar is.

    The user's own grant of that name is replaced; if another grant has that name, a number makes it a new one.
    """
    if not isinstance(vm, str) or vm not in policy.vms:
        raise PolicyError([Finding("vm", f"no vm {quote(vm)}{did_you_mean(vm, policy.vms)}")])
    grant = {"user": user, "vm": vm, "nopasswd": nopasswd, **({"reason": reason} if reason is not None else {})}
    data = to_pillar(policy)
    others = {name for name, known in policy.grants.items() if not _is_free(known, user, vm)}
    data["grants"][grant_name(user, vm, others)] = grant
    return pillar.parse_policy(data)


def grant_name(user: Any, vm: str, taken: Collection[str]) -> str:
    """Return a name for a user's grant of a vm, as ``USER-VM``, which is not taken."""
    stem = _UNUSABLE.sub("-", f"{user}-{vm}").lstrip("-_.")[:56]
    names = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _is_free(grant: Grant, user: Any, vm: str) -> bool:
    return (grant.user, grant.vm) == (user, vm)


def without_user(policy: Policy, user: str, vm: str, desired: DesiredState) -> Policy:
    """Return a policy without a user's own grants of a vm.

    Raises :class:`~spicegrants.core.errors.PolicyError` if they have none, or have the vm through a group as well.
    """
    own = [grant.name for grant in policy.grants.values() if (grant.user, grant.vm) == (user, vm)]
    shared = [name for name in desired.grants_of(user, vm) if name not in own and name in policy.grants]
    if shared:
        message = f"{user} has {vm} through a group, by {', '.join(shared)}: change that grant or the group"
        raise PolicyError([Finding("user", message)])
    if not own:
        users = {grant.user for grant in policy.grants.values() if grant.user}
        slips = [*_slip("user", user, users), *_slip("vm", vm, policy.vms)]
        raise PolicyError(slips or [Finding("user", f"{user} has no grant of {vm} on this machine")])
    return without(policy, own)


def _slip(what: str, name: str, known: Collection[str]) -> list[Finding]:
    """Return a finding for a name that is not known, if it is near to one that is."""
    hint = "" if name in known else did_you_mean(name, known)
    return [Finding(what, f"no {what} {quote(name)}{hint}")] if hint else []


def remember(stored: Stored, desired: DesiredState, originals: Mapping[str, tuple[int, int, int]]) -> Stored:
    """Return what to store while ``desired`` is enforced; the first known rights of a viewer are kept."""
    policy = desired.policy
    return replace(
        stored,
        policy=policy,
        addresses={name: found for name, found in desired.inventory.addresses.items() if name in policy.servers},
        accesses=desired.accesses,
        draining=desired.draining,
        group=policy.viewer.group,
        made_group=desired.gid is None or policy.viewer.group in own_groups(stored),
        originals={**originals, **stored.originals},
        left=abandoned(stored, policy)[1],
        temporary=unended(stored.temporary, desired.day or 0),
        day=desired.day if desired.timed else None,
    )


def own_groups(stored: Stored) -> set[str]:
    """Return the names of all groups that we made."""
    return {*stored.left, *([stored.group] if stored.made_group and stored.group else [])}


def abandoned(stored: Stored, policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return viewers that are no longer declared, and groups of ours that are no longer used."""
    paths = tuple(path for path in stored.originals if path not in policy.viewer.paths)
    return paths, tuple(sorted(own_groups(stored) - {policy.viewer.group}))


def settle(stored: Stored, policy: Policy) -> Stored:
    """Return what to store once nothing that was abandoned is left: it is no longer ours to look at."""
    obsolete = abandoned(stored, policy)[0]
    return replace(
        stored, originals={path: rights for path, rights in stored.originals.items() if path not in obsolete}, left=()
    )


def changes(before: Stored, after: Stored) -> list[Change]:
    """Say in words how the stored policy changes."""
    # For which day the layers were made, and that a loan has ended since, means nothing else.
    if before == replace(after, day=before.day):
        return []
    old, new = before.policy, after.the_policy
    found = []
    old_grants = old.grants if old else {}
    for name, grant in sorted({**old_grants, **new.grants}.items()):
        was, becomes = old_grants.get(name), new.grants.get(name)
        if was != becomes:
            verb = "adds" if was is None else "removes" if becomes is None else "changes"
            whom = grant.user or f"group {grant.group}"
            found.append(Change("policy", f"{verb} the grant of {grant.vm} to {whom}", (name,)))
    for what in ("servers", "vms", "schedules"):
        had, has = getattr(old, what, {}), getattr(new, what)
        for name in sorted({*had, *has}):
            if had.get(name) != has.get(name):
                verb = "adds" if name not in had else "removes" if name not in has else "changes"
                found.append(Change("policy", f"{verb} {what[:-1]} {name}"))
    found += _temporary_changes(before, after)
    for what in _SETTINGS:
        if old is not None and getattr(old, what) != getattr(new, what):
            found.append(Change("policy", f"changes the settings of {_SETTINGS[what]}"))
    for name in sorted(after.addresses):
        if old is not None and before.addresses.get(name) not in (None, after.addresses[name]):
            found.append(Change("policy", f"server {name} is now at {', '.join(after.addresses[name])}"))
    found += _moved(before, after)
    return found or [Change("policy", "records who may open what now")]


def _moved(before: Stored, after: Stored) -> list[Change]:
    """Name users whose account has another UID than before."""
    was = {access.user: access.uid for access in before.accesses}
    becomes = {access.user: access.uid for access in after.accesses}
    return [
        Change("policy", f"user {name} has UID {becomes[name]} now, not {was[name]}")
        for name in sorted({*was} & {*becomes})
        if was[name] != becomes[name]
    ]


def _temporary_changes(before: Stored, after: Stored) -> list[Change]:
    """Say in words what is lent and locked, and what no longer is."""
    zone = after.the_policy.time.zone
    was, becomes = before.temporary, after.temporary
    found = [
        Change("policy", f"lends {loan.vm} to {loan.user} until {instants.words(loan.end, zone)}", (loan.name,))
        for loan in becomes.loans
        if loan not in was.loans
    ]
    names = {loan.name for loan in becomes.loans}
    found += [
        Change("policy", f"ends the loan of {loan.vm} to {loan.user}", (loan.name,))
        for loan in was.loans
        if loan.name not in names
    ]
    found += [Change("policy", f"locks {lock.words}") for lock in becomes.locks if lock not in was.locks]
    locked = {lock.words for lock in becomes.locks}
    return found + [Change("policy", f"unlocks {lock.words}") for lock in was.locks if lock.words not in locked]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Return the sentences of a report of changes."""
    found = [f"{layer}: {what}" for layer, whats in report.get("layers", {}).items() for what in whats]
    for grant, layers in report.get("grants", {}).items():
        found += [f"{grant}: {layer}: {what}" for layer, whats in layers.items() for what in whats]
    return found
