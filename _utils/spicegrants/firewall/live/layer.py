"""The firewall layer: plans, applies, reviews, closes and removes kernel rules, and files that load them at boot."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File
from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.core.paths import LOAD_GUARD, UNITS
from spicegrants.firewall import backstop as backing
from spicegrants.firewall import boot
from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.live import backends, backstop, egress, other_tables
from spicegrants.firewall.live.backends import Mechanism
from spicegrants.firewall.nft import hotplug
from spicegrants.host import background, disk, run, systemd
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.hints import backstop_missing, bypassing, unguarded
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored

log = logging.getLogger(__name__)
# Directories that go once nothing is in them.
_OWN = sorted({os.path.dirname(path) for path in (LOAD_GUARD, *boot.DROP_INS)})
_FILES = (*boot.PATHS, *hotplug.PATHS)


class Steps(NamedTuple):
    """The mechanism, its plan, those of uplinks and backstop with their hindrances, and files to write and to remove.

    others
        Mechanisms that hold rules of earlier runs.
    """

    mechanism: Mechanism
    rules: FirewallPlan
    uplinks: FirewallPlan
    uplinks_hindrance: str
    backstop: backing.Plan
    backstop_hindrance: str
    write: dict[str, Entry]
    remove: tuple[str, ...]
    others: tuple[Mechanism, ...]


class Firewall:
    """Owner-match rules in the kernel."""

    name = "firewall"

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare rules, uplinks, backstop and files; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        mechanism, reason = backends.choose(desired.policy.firewall.backend)
        # With many grants the longest wait of a run that changes nothing.
        listing = background.begin(mechanism.live_rules)
        file_changes, write, remove = _files(desired, mechanism)
        uplinks, uplinks_hindrance = egress.read_and_plan_egress(desired)
        backstop_plan, backstop_hindrance = backstop.read_and_plan_backstop(desired)
        others = tuple(backends.leftovers(mechanism))
        rules = mechanism.compare(desired, listing.result())
        changes = (*_newly(mechanism, reason), *rules.changes, *uplinks.changes, *backstop_plan.changes, *file_changes)
        write, remove = {**write, **backstop_plan.written}, (*remove, *backstop_plan.removed)
        steps = Steps(
            mechanism=mechanism,
            rules=rules,
            uplinks=uplinks,
            uplinks_hindrance=uplinks_hindrance,
            backstop=backstop_plan,
            backstop_hindrance=backstop_hindrance,
            write=write,
            remove=remove,
            others=others,
        )
        return Plan((*changes, *(_taking_over(mechanism, other) for other in others)), desired, steps)

    def apply(self, plan: Plan) -> None:
        """Carry a plan out: files first, then the rules in one transaction; rules of another mechanism go last.

        If the kernel refuses the rules, its own stay as they were; with iptables, those of the IP version that was
        refused. With nftables, new time chains may already be there beside the old ones.
        """
        steps, desired = plan.steps, plan.desired
        # Stored first: whenever this ends, a boot loads nothing that is revoked.
        for path, entry in steps.write.items():
            disk.make_parents(path)
            disk.write(path, entry)
        for path in steps.remove:
            disk.remove(path)
        # As long as rules must change, a run that was killed may have written units as well.
        try:
            if any(steps.rules[1:]) or any(path.startswith(UNITS) for path in (*steps.write, *steps.remove)):
                systemd.reload()
        finally:
            # What systemd does not know is no reason to leave a port open.
            steps.mechanism.send(steps.rules)
            egress.apply(desired, steps.uplinks)
            _back(steps.backstop)
        for other in steps.others:
            if steps.mechanism.plan(desired).changes:
                raise SystemFault(f"{steps.mechanism.name} does not hold the rules yet: those of {other.name} stay")
            _take_over(other)

    def review(self, plan: Plan) -> Review:
        """Report what cannot be guarded here, and rules and settings of others that take connections past the guard."""
        errors = backstop_missing(plan.desired.policy, plan.steps.backstop_hindrance)
        warnings = (*unguarded(plan.steps.uplinks_hindrance), *bypassing(other_tables.flowtables()))
        return Review(tuple(errors), warnings)

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove elements from whichever mechanisms hold them: none is tried out, those in use are taken.

        If anything may go at all doors, the guard itself is repaired as well. Raises
        :class:`~spicegrants.core.errors.SystemFault` if a mechanism cannot be read or refuses, when all others have
        closed.
        """
        changes: tuple[Change, ...] = ()
        unstored: tuple[str, ...] = ()
        errors = []
        for mechanism in backends.in_charge():
            try:
                closed = _close(mechanism, desired, lost_doors, test)
                changes, unstored = changes + closed.changes, unstored + closed.unstored
            except SpiceGrantError as error:
                errors.append(str(error))
        if errors:
            raise SystemFault("; ".join((*errors, *unstored)))
        return CloseResult(changes, unstored)

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Remove the guard from whichever mechanism holds it: every user then reaches every console's port."""
        run.as_root()
        guards = [path for paths in boot.GUARDS.values() for path in paths]
        files = [path for path in (*_FILES, *backing.PATHS, *guards) if disk.read(path) is not None]
        hollow = [directory for directory in _OWN if disk.read(directory) and not disk.names_in(directory)]
        holding, watching = backends.holding(), egress.present()
        if not test:
            backstop.stop()
            for path in files:
                disk.remove(path)
            for directory in _OWN:
                disk.prune(directory)
            if files or holding or watching:
                # Also where a run that was killed had removed the units.
                systemd.reload()
            for mechanism in holding:
                mechanism.delete()
            if watching:
                egress.delete()
        sentences = [f"removes {path}" for path in (*files, *hollow)]
        sentences += [f"removes the guard from {entry.name}" for entry in holding]
        sentences += ["removes the guard from uplinks"] * watching
        return tuple(Change("firewall", what) for what in sentences)


def _files(desired: DesiredState, mechanism: Mechanism) -> tuple[tuple[Change, ...], dict[str, Entry], tuple[str, ...]]:
    """Return the changes in words to our files, the files to write by path, and the paths to remove."""
    loading = mechanism.loading(desired)
    live = {path: disk.read(path) for path in (*_FILES, hotplug.RULES, *loading.files)}
    changes, paths = boot.plan_boot_files(loading, live)
    more, others = hotplug.plan_hotplug(desired, live)
    paths += others
    entries = {**boot.desired_entries(loading), **hotplug.desired_entries(desired, live)}
    write = {path: entries[path] for path in paths if path in entries}
    return changes + more, write, tuple(path for path in paths if path not in entries)


def _newly(mechanism: Mechanism, reason: str) -> list[Change]:
    """Return the change that names the mechanism and the reason for it, if it has not been used before."""
    known = any(disk.read(path) is not None for path in boot.GUARDS[mechanism.name])
    return [] if known else [Change("firewall", f"uses {mechanism.name}: {reason}")]


def _taking_over(mechanism: Mechanism, other: Mechanism) -> Change:
    """Return the change for rules that an earlier run gave to another mechanism."""
    return Change("firewall", f"removes the guard from {other.name}, now that {mechanism.name} holds it")


def _take_over(other: Mechanism) -> None:
    """Remove the rules of another mechanism, and then the files that show it was in use."""
    paths = boot.GUARDS[other.name]
    try:
        if other.present():
            other.delete()
    except SpiceGrantError as error:
        hint = f"once the kernel has none, remove {' and '.join(paths)}"
        raise SystemFault(f"what {other.name} may hold of ours cannot be removed: {error}; {hint}") from error
    for path in paths:
        disk.remove(path)


def _back(planned: backing.Plan) -> None:
    """Have the backstop held, or ended; if that fails, the guard stands, and what is left to do counts as an error."""
    try:
        if planned.removed:
            backstop.stop()
        elif not planned.in_force:
            backstop.hold()
    except CommandFailed as error:
        log.warning("the backstop is not held: %s", error)


def _close(
    mechanism: Mechanism, desired: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
) -> CloseResult:
    planned = mechanism.plan_closing(desired, lost_doors)
    boot_changes: tuple[Change, ...] = ()
    write: dict[str, File] = {}
    obsolete = boot.GUARDS[mechanism.name] if desired is None else ()
    if desired is not None and (lost_doors is None or planned.changes):
        boot_changes, write = boot.plan_closing_files(mechanism.loading(desired), disk.read)
    if test:
        return CloseResult((*planned.changes, *boot_changes))
    # First: whenever this ends, a boot loads nothing that was taken away.
    steps = [partial(disk.write, path, entry) for path, entry in write.items()]
    unstored = disk.attempted([*steps, *(partial(disk.remove, path) for path in obsolete)])
    mechanism.send(planned)
    return CloseResult((*planned.changes, *boot_changes), unstored)
