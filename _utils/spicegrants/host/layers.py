"""One run: all layers are planned before any is changed, and then applied in their order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from spicegrants import declared
from spicegrants.compile import Wanted
from spicegrants.errors import SpiceGrantError, SystemFault
from spicegrants.host import backstop, clock, current, heap, lastrun, lock, uplinks
from spicegrants.model import Policy
from spicegrants.notes import backstop_missing, confinement, notes, unguarded
from spicegrants.plan import as_dict, merge
from spicegrants.store import Stored

# The guard first.
ORDER = ("firewall", "routing", "viewer", "sudoers")


class Layers(NamedTuple):
    """The execution modules of the layers.

    salt
        Salt's execution functions, by name.

    failure
        The exception by which they say that something did not work.

    asking
        Whether servers' names are resolved, or keep the addresses of the last run.
    """

    salt: Mapping[str, Callable[..., Any]]
    failure: type[Exception]
    asking: bool = True

    @heap.unsearched()
    def enforce(
        self, decided: Callable[[Stored], Stored | None], test: bool, known: Policy | None = None
    ) -> dict[str, Any]:
        """Plan all layers, then apply them; what cannot be read stops everything before the first change.

        decided
            Takes what is stored and returns it with the policy, loans and locks that are to hold; ``None`` if there is
            nothing to do.

        known
            A policy that was read already, which may be the stored one.

        The plan is made for the day that the layers were last made for, so that only what means something else is a
        change. If that day is over, all layers are then made for today.
        """
        with contextlib.nullcontext() if test else lock.held():
            stored = current.stored(known)
            asked = decided(stored)
            if asked is None:
                return {"changes": {}, "errors": [], "warnings": []}
            kept = replace(stored, temporary=asked.temporary)
            wanted = current.compiled(asked.policy, kept, asking=self.asking)
            originals = self.salt["spice_viewer.originals"](wanted)
            policy_changes = _policy_changes(stored, declared.remember(kept, wanted, originals))
            plans = self._plans(wanted)
            errors, warnings, refused = self._reviewed(wanted, plans)
            changes = merge([policy_changes, *plans.values()])
            outdated = wanted.timed and current.today() not in (None, wanted.day)
            if (changes or outdated) and not test:
                if outdated:
                    wanted = current.compiled(asked.policy, kept, current.today(), self.asking)
                current.keep(declared.remember(kept, wanted, originals))
                chosen = [layer for layer in ORDER if plans[layer] or (outdated and layer not in refused)]
                applied, failed = self._apply(wanted, chosen)
                changes = merge([policy_changes, *(plans[layer] for layer in applied)])
                errors += [*failed, *_afterwards()]
        warnings += [*notes(wanted), *confinement(wanted), *unguarded(uplinks.planned(wanted)[1])]
        warnings += current.exchangeable()
        return {"changes": changes, "errors": errors, "warnings": warnings}

    def remove(self, test: bool) -> dict[str, Any]:
        """Take all layers away, the guard last, and then forget what is stored."""
        errors: list[str] = []
        with contextlib.nullcontext() if test else lock.held():
            changes = self._removals(True)
            if current.exists():
                changes = merge([changes, {"layers": {"policy": ["forgets the policy"]}}])
            changes = merge([changes, as_dict(current.unfinished())])
            if changes and not test:
                current.sweep()
                self._removals(False)
                errors = [f"left: {what}" for what in declared.sentences(self._removals(True))]
                if not errors:
                    current.forget()
                    lastrun.forget()
        return {"changes": changes, "errors": errors, "warnings": []}

    def _removals(self, test: bool) -> dict[str, Any]:
        return merge(self.salt[f"spice_{layer}.remove"](test=test) for layer in reversed(ORDER))

    def _plans(self, wanted: Wanted) -> dict[str, dict[str, Any]]:
        return {layer: self.salt[f"spice_{layer}.plan"](wanted) for layer in ORDER}

    def _reviewed(self, wanted: Wanted, plans: dict[str, dict[str, Any]]) -> tuple[list[str], list[str], set[str]]:
        """Return errors, warnings, and layers that cannot be applied; what these plan is taken out of the plans."""
        routes = self.salt["spice_routing.review"](wanted)
        settled = not plans["sudoers"]
        refusal = None if settled else self.salt["spice_sudoers.refusal"](wanted)
        errors = [*map(str, wanted.findings), *routes["errors"]]
        if refusal:
            plans["sudoers"] = {}
            errors.append(f"sudo: {refusal}")
        review = self.salt["spice_sudoers.review"](wanted, settled)
        errors += [f"sudo: {fault}" for fault in review["errors"]]
        errors += backstop_missing(wanted.policy, backstop.planned(wanted)[1])
        return errors, [*routes["warnings"], *review["warnings"]], {"sudoers"} if refusal else set()

    def _apply(self, wanted: Wanted, chosen: Iterable[str]) -> tuple[list[str], list[str]]:
        """Apply layers, in their order; return which succeeded, and what went wrong.

        The guard comes first, and without it nothing else is opened. A later layer that fails does not keep the others
        from closing.
        """
        applied: list[str] = []
        errors: list[str] = []
        try:
            if self.salt["spice_viewer.ensure_group"](wanted):
                wanted = current.compiled(wanted.policy, asking=self.asking)
        except (self.failure, SpiceGrantError) as error:
            return [], [f"viewer: {error}: all else was left as it was"]
        for layer in chosen:
            try:
                self.salt[f"spice_{layer}.apply"](wanted)
                applied.append(layer)
            except self.failure as error:
                errors.append(f"{layer}: {error}")
                if layer == "firewall":
                    return [], [f"{errors[0]}: all else was left as it was"]
        try:
            left = self._plans(current.compiled(wanted.policy, asking=self.asking))
        except (self.failure, SpiceGrantError) as error:
            return applied, [*errors, f"what was applied cannot be read back: {error}"]
        for layer in applied:
            errors += [f"still to do after it was applied: {what}" for what in declared.sentences(left[layer])]
        return applied, errors


def _policy_changes(stored: Stored, becomes: Stored) -> dict[str, Any]:
    return as_dict([*declared.changes(stored, becomes), *current.exposed(), *current.unfinished()])


def _afterwards() -> list[str]:
    """Remove what interrupted runs left, and have the clock look at what is stored now.

    Returns what hindered that. It keeps no layer from having been changed, and the kernel keeps its own times.
    """
    errors = []
    for layer, action in (("policy", current.sweep), ("clock", clock.again)):
        try:
            action()
        except SystemFault as error:
            errors.append(f"{layer}: {error}")
    return errors
