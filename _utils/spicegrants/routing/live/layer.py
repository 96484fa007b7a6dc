"""The routing layer: plans, applies, reviews, closes and removes rules and routes, and files that load them at boot."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry
from spicegrants.core.paths import LOAD_ROUTES, UNITS
from spicegrants.host import disk, run, systemd
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored
from spicegrants.routing import boot
from spicegrants.routing.live import ip
from spicegrants.routing.transition import RoutingPlan

# How often rules are made as they must be before what is still different is an error.
_PASSES = 3


class Steps(NamedTuple):
    """The plan for the kernel, files by path, paths to remove, and why the layer is off although it should be on."""

    kernel: RoutingPlan | None
    write: dict[str, Entry]
    remove: tuple[str, ...]
    hindrance: str | None


class Routing:
    """Rules of policy routing."""

    name = "routing"

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare rules and routes, and the files for the boot; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        on, kernel, hindrance = _kernel_plan(desired)
        entries = boot.desired_entries(desired, ip.networkd()) if on else {}
        live = {path: disk.read(path) for path in boot.PATHS}
        changes, write = boot.plan_boot_files(entries, live)
        superfluous = tuple(path for path in live if path not in entries and live[path] is not None)
        steps = Steps(kernel, {path: entries[path] for path in write}, superfluous, hindrance)
        return Plan((*changes, *(kernel.changes if kernel else ())), desired, steps)

    def apply(self, plan: Plan) -> None:
        """Carry a plan out, never opening more than before or after it."""
        steps = plan.steps
        # Stored first: whenever this ends, a boot loads nothing that is revoked.
        for path, entry in steps.write.items():
            disk.make_parents(path)
            disk.write(path, entry)
        for path in steps.remove:
            disk.remove(path)
        ip.carry_out(steps.kernel)
        for _ in range(_PASSES - 1):
            # What stood where only ours may be can have taken one of ours along.
            _, remaining, _ = _kernel_plan(plan.desired)
            if remaining is None or not remaining.changes:
                break
            ip.carry_out(remaining)
        if any(path.startswith(UNITS) for path in (*steps.write, *steps.remove)):
            systemd.reload()

    def review(self, plan: Plan) -> Review:
        """Report why the layer is off, unless pillar switches it off."""
        hindrance = plan.steps.hindrance
        if not hindrance:
            return Review()
        if plan.desired.policy.routing.enabled is True:
            return Review(errors=(f"routing: pillar wants it: {hindrance}",))
        return Review(warnings=(f"routing is off: {hindrance}",))

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove rules that let users through."""
        planned = ip.plan_closing(desired, ip.kernel_if_any(), lost_doors)
        changes = planned.changes if planned else ()
        entries = boot.rule_files(desired) if lost_doors is None or changes else {}
        live = {path: entry for path in entries if (entry := disk.read(path)) is not None}
        boot_changes, write = boot.plan_boot_files({path: entries[path] for path in live}, live)
        if test:
            return CloseResult((*changes, *boot_changes))
        unstored = disk.attempted(partial(disk.write, path, entries[path]) for path in write)
        ip.carry_out(planned)
        return CloseResult((*changes, *boot_changes), unstored)

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Remove rules, routes, the device and the files."""
        run.as_root()
        found = [path for path in boot.PATHS if disk.read(path) is not None]
        planned = ip.plan_kernel(None, ip.kernel_if_any())
        if not test:
            for path in found:
                disk.remove(path)
            for path in (LOAD_ROUTES, boot.NETWORKD):
                disk.prune(os.path.dirname(path))
            if found:
                systemd.reload()
            ip.carry_out(planned)
        removed = tuple(Change("routing", f"removes {path}") for path in found)
        return (*removed, *(planned.changes if planned else ()))


def _kernel_plan(desired: DesiredState) -> tuple[bool, RoutingPlan | None, str | None]:
    """Return whether the layer is on, the plan for the kernel, and why it is off unless pillar switches it off.

    The plan is ``None`` if the kernel can hold nothing of ours, and need not.
    """
    live = ip.kernel_if_any()
    on, hindrance = ip.chosen(desired.policy, live)
    return on, ip.plan_kernel(desired if on else None, live), hindrance
