"""One run: all layers are planned before any is changed, and then applied in their order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from spicegrants.core.changes import Change, as_dict, merge, union
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.engine import closing, context, last_run
from spicegrants.expiry.live import clock
from spicegrants.firewall.live import backstop, egress, other_tables
from spicegrants.host import gc_pause, lock, run
from spicegrants.policy import closing as closes
from spicegrants.policy import merge as policy_merge
from spicegrants.policy.compiler import Wanted
from spicegrants.policy.hints import backstop_missing, bypassing, confinement, locked, notes, unguarded
from spicegrants.policy.model import Policy
from spicegrants.policy.state_file import Stored

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

    @gc_pause.unsearched()
    def enforce(
        self,
        decided: Callable[[Stored], Stored | None],
        test: bool,
        known: Policy | None = None,
        completed: Callable[[Stored], Stored] = lambda asked: asked,
    ) -> dict[str, Any]:
        """Take away what goes, plan all layers, then apply them.

        What is taken away needs nothing but what is stored and declared. What is given needs all: if something cannot
        be read, nothing is, and what cannot be shown to stay goes as well.

        decided
            Takes what is stored and returns it with the policy, loans and locks that are to hold; ``None`` if there is
            nothing to do.

        known
            A policy that was read already, which may be the stored one.

        completed
            Takes what ``decided`` returned, and returns it with what has to be asked for: passwords.

        The plan is made for the day that the layers were last made for, so that only what means something else is a
        change. If that day is over, all layers are then made for today.
        """
        run.as_root()
        with contextlib.nullcontext() if test else lock.held():
            run.afresh()
            try:
                stored = context.stored(known)
            except SpiceGrantError as error:
                return self._unknown(error, test)
            try:
                asked = decided(stored)
            except SystemFault as error:
                if stored.policy is not None:
                    raise
                return self._unknown(error, test)
            if asked is None:
                return {"changes": {}, "errors": [], "warnings": []}
            staying = None if stored.policy is None else closes.certain(stored, asked)
            first = None
            if staying and closes.taken(stored, staying):
                # What hinders it hinders what comes behind it as well, which then says so.
                first = closing.take(stored, staying, whole=False, test=test).changes
            try:
                report = self._whole(stored, completed(asked), test)
            except (self.failure, SpiceGrantError) as error:
                found = self._taken_at_least(stored, asked, test)
                changes = union(first or {}, found.changes)
                if not changes and not found.errors:
                    raise
                return {"changes": changes, "errors": [_nothing_opened(error), *found.errors], "warnings": []}
            except BaseException:
                self._taken_at_least(stored, asked, test)
                raise
            # Said in two parts, or in one: the same.
            return report if first is None else {**report, "changes": union(first, report["changes"])}

    def _taken_at_least(self, stored: Stored, asked: Stored, test: bool) -> closing.Taken:
        """Take away all of which it cannot be shown that it stays."""
        if stored.policy is None:
            found = closing.everything(test)
            return found if found.changes else closing.Taken({}, [])
        staying = closes.provable(stored, replace(asked, day=context.today()))
        found = closing.take(stored, staying, whole=True, test=test)
        if not closes.taken(stored, staying):
            return found if found.changes else closing.Taken({}, [])
        return found._replace(changes=union(_policy_changes(stored, staying), found.changes))

    def _unknown(self, error: SpiceGrantError, test: bool) -> dict[str, Any]:
        """Close everything where what is stored cannot be read, or is gone: nobody can tell what was lent or locked."""
        found = closing.everything(test)
        if not found.changes:
            raise error
        return {"changes": found.changes, "errors": [_nothing_opened(error), *found.errors], "warnings": []}

    def _whole(self, stored: Stored, asked: Stored, test: bool) -> dict[str, Any]:
        """Plan all layers, then apply them; what cannot be read stops everything before the first change."""
        kept = replace(stored, temporary=asked.temporary)
        wanted = context.compiled(asked.policy, kept, asking=self.asking)
        originals = self.salt["spice_viewer.originals"](wanted)
        policy_changes = _policy_changes(stored, policy_merge.remember(kept, wanted, originals))
        plans = self._plans(wanted)
        errors, warnings, refused = self._reviewed(wanted, plans)
        changes = merge([policy_changes, *plans.values()])
        outdated = wanted.timed and context.today() not in (None, wanted.day)
        if (changes or outdated) and not test:
            if outdated:
                wanted = context.compiled(asked.policy, kept, context.today(), self.asking)
            context.keep(policy_merge.remember(kept, wanted, originals))
            chosen = [layer for layer in ORDER if plans[layer] or (outdated and layer not in refused)]
            applied, failed = self._apply(wanted, chosen)
            changes = merge([policy_changes, *(plans[layer] for layer in applied)])
            errors += [*failed, *_afterwards()]
            if len(applied) < len(chosen) and stored.policy is not None:
                found = closing.layers(wanted, context.recalled(stored), whole=True, test=False)
                changes = union(changes, found.changes)
                errors += found.errors
        warnings += [*locked(wanted), *notes(wanted), *confinement(wanted), *unguarded(egress.planned(wanted)[1])]
        warnings += [*bypassing(other_tables.flowtables()), *context.exchangeable()]
        return {"changes": changes, "errors": errors, "warnings": warnings}

    def close(self, test: bool) -> dict[str, Any]:
        """Take away what the layers hold beyond what is stored, and give nothing."""
        run.as_root()
        with contextlib.nullcontext() if test else lock.held():
            run.afresh()
            try:
                stored = context.stored()
                found = closing.take(stored, stored, whole=True, test=test)
            except SpiceGrantError as error:
                return self._unknown(error, test)
        return {"changes": found.changes, "errors": found.errors, "warnings": []}

    def remove(self, test: bool) -> dict[str, Any]:
        """Take all layers away, the guard last, and then forget what is stored.

        A layer that fails does not keep the others from going, but for the guard: as long as something is left that
        lets somebody in, it stays.
        """
        run.as_root()
        with contextlib.nullcontext() if test else lock.held():
            run.afresh()
            changes, errors = self._removals(ORDER, True)
            if context.exists():
                changes = merge([changes, {"layers": {"policy": ["forgets the policy"]}}])
            changes = merge([changes, as_dict(context.unfinished())])
            if changes and not test:
                context.sweep()
                _, errors = self._removals(ORDER[1:], False)
                errors += [] if errors else self._removals(ORDER[:1], False)[1]
                left, unreadable = self._removals(ORDER, True)
                errors += [f"left: {what}" for what in policy_merge.sentences(left)]
                errors = list(dict.fromkeys([*errors, *unreadable]))
                if not errors:
                    context.forget()
                    last_run.forget()
        return {"changes": changes, "errors": errors, "warnings": []}

    def _removals(self, layers: Sequence[str], test: bool) -> tuple[dict[str, Any], list[str]]:
        """Remove layers, the last first; return what was removed, and what hindered the rest."""
        found, errors = [], []
        for layer in reversed(layers):
            try:
                found.append(self.salt[f"spice_{layer}.remove"](test=test))
            except (self.failure, SpiceGrantError) as error:
                errors.append(f"{layer}: {error}")
        return merge(found), errors

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
                wanted = context.compiled(wanted.policy, asking=self.asking)
            if wanted.gid is None:
                raise SystemFault(f"the name service does not know group {wanted.policy.viewer.group}")
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
            left = self._plans(context.compiled(wanted.policy, asking=self.asking))
        except (self.failure, SpiceGrantError) as error:
            return applied, [*errors, f"what was applied cannot be read back: {error}"]
        for layer in applied:
            errors += [f"still to do after it was applied: {what}" for what in policy_merge.sentences(left[layer])]
        return applied, errors


def _nothing_opened(error: Exception) -> str:
    return f"{error}: nothing was opened"


def _policy_changes(stored: Stored, becomes: Stored) -> dict[str, Any]:
    failed = [Change("firewall", "starts the clock again, which had failed")] if clock.failed() else []
    return as_dict([*policy_merge.changes(stored, becomes), *context.exposed(), *context.unfinished(), *failed])


def _afterwards() -> list[str]:
    """Remove what interrupted runs left, and have the clock look at what is stored now.

    Returns what hindered that. It keeps no layer from having been changed, and the kernel keeps its own times.
    """
    errors = []
    for layer, action in (("policy", context.sweep), ("clock", clock.again)):
        try:
            action()
        except SystemFault as error:
            errors.append(f"{layer}: {error}")
    return errors
