"""Enforcement: close first, plan all layers before any is changed, and apply them in their order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import replace
from typing import Any

from spicegrants.core.changes import Change, as_dict, merge, union
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.engine import closing, context, last_run, layers, recording
from spicegrants.engine.layers import FIREWALL, VIEWER
from spicegrants.expiry.live import clock
from spicegrants.host import accounts, bytecode, gc_pause, lock, run
from spicegrants.policy import closing as closes
from spicegrants.policy import merge as policy_merge
from spicegrants.policy import outcome
from spicegrants.policy.compiler import DesiredState, recalled
from spicegrants.policy.hints import confinement, left_out, notes
from spicegrants.policy.layer import Layer
from spicegrants.policy.model import Policy
from spicegrants.policy.state_file import Stored
from spicegrants.record.live import event_log
from spicegrants.viewer.live import plugin_registry


@gc_pause.unsearched()
def enforce(
    decide: Callable[[Stored], Stored | None],
    test: bool,
    known: Policy | None = None,
    complete: Callable[[Stored], Stored] = lambda requested: requested,
    asking: bool = True,
) -> dict[str, Any]:
    """Take away what goes, plan all layers, then apply them.

    To take away needs only what is stored and declared. To give needs everything: if something cannot be read, nothing
    is given, and what cannot be shown to stay is taken away as well.

    decide
        Takes what is stored and returns it with the policy, loans and locks that are to hold; ``None`` if there is
        nothing to do.

    test
        Whether only to report what would change.

    known
        A policy that was read already, which may be the stored one.

    complete
        Takes what ``decide`` returned, and returns it with the passwords that have to be looked up.

    asking
        Whether servers' names are resolved; otherwise servers keep the addresses of the last run.

    Returns ``changes`` as :func:`~spicegrants.core.changes.as_dict` makes them, ``errors`` and ``warnings``: all notes,
    also those that earlier runs said; with ``test`` also ``answer``, who would get or lose a console, where that is
    known.

    The plan is made for the day for which the layers were last made, so that only a difference in meaning is a change.
    If that day is over, all layers are then made for today.
    """
    run.as_root()
    with contextlib.nullcontext() if test else lock.run_lock(), accounts.users_asked_once():
        run.afresh()
        try:
            stored = context.stored(known)
        except SpiceGrantError as error:
            return _unknown(error, test)
        try:
            requested = decide(stored)
        except SystemFault as error:
            if stored.policy is not None:
                raise
            return _unknown(error, test)
        if requested is None:
            return {"changes": {}, "errors": [], "warnings": []}
        report = _enforced(stored, requested, test, complete, asking)
        if not test:
            recording.note(stored, report)
        return report


def _enforced(
    stored: Stored, requested: Stored, test: bool, complete: Callable[[Stored], Stored], asking: bool
) -> dict[str, Any]:
    """Take away what goes, and give the rest; see :func:`enforce`."""
    staying = None if stored.policy is None else closes.certain(stored, requested)
    first = None
    if staying and closes.takes_away(stored, staying):
        # Its errors are not kept: what causes them hinders the steps below as well, which report it.
        first = closing.take(stored, staying, whole=False, test=test).changes
    try:
        report = _whole(stored, complete(requested), test, asking)
    except SpiceGrantError as error:
        found = _close_unprovable(stored, requested, test)
        changes = union(first or {}, found.changes)
        if not changes and not found.errors:
            raise
        errors = [*_nothing_opened(error), *found.errors]
        answer = _answer_of_closing(stored, requested) if test else {}
        return {**answer, "changes": changes, "errors": errors, "warnings": []}
    except BaseException:
        _close_unprovable(stored, requested, test)
        raise
    # Changes reported in two parts are the same as in one.
    return report if first is None else {**report, "changes": union(first, report["changes"])}


def close(test: bool) -> dict[str, Any]:
    """Take away what the layers hold beyond what is stored, and give nothing; return what :func:`enforce` returns."""
    run.as_root()
    with contextlib.nullcontext() if test else lock.run_lock():
        run.afresh()
        try:
            stored = context.stored()
            found = closing.take(stored, stored, whole=True, test=test)
        except SpiceGrantError as error:
            return _unknown(error, test)
    return {"changes": found.changes, "errors": found.errors, "warnings": []}


def remove(test: bool) -> dict[str, Any]:
    """Remove all layers, the guard last, and then forget what is stored; return what :func:`enforce` returns.

    A layer that fails does not keep the others from being removed, except for the guard: it stays as long as anything
    is left that lets somebody in.
    """
    run.as_root()
    with contextlib.nullcontext() if test else lock.run_lock():
        run.afresh()
        stored, unreadable = _readable()
        changes, errors = layers.removed(layers.ALL, stored, True)
        errors = [*unreadable, *errors]
        if context.exists():
            changes = merge([changes, {"layers": {"policy": ["forgets the policy"]}}])
        changes = merge([changes, as_dict(context.unfinished())])
        if changes and not test:
            context.sweep()
            others = [layer for layer in layers.ALL if layer is not FIREWALL]
            _, errors = layers.removed(others, stored, False)
            errors = [*unreadable, *errors]
            errors += [] if errors else layers.removed([FIREWALL], stored, False)[1]
            remaining, hindrances = layers.removed(layers.ALL, stored, True)
            errors += [f"left: {what}" for what in policy_merge.sentences(remaining)]
            errors = list(dict.fromkeys([*errors, *hindrances]))
            recording.note(stored, {"changes": changes, "errors": errors, "warnings": []})
            if not errors:
                context.forget()
                bytecode.forget()
                plugin_registry.forget()
                event_log.forget()
                last_run.forget()
    return {"changes": changes, "errors": errors, "warnings": []}


def with_exit_code(salt_context: MutableMapping[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """Return a report; if it has errors, have the Salt call that gives it end with an exit code of 1.

    salt_context
        The ``__context__`` of the execution module.
    """
    if report["errors"]:
        salt_context["retcode"] = 1
    return report


def plan_layers(chosen: Iterable[Layer], desired: DesiredState | None = None) -> dict[str, Any]:
    """Return what some layers would change, each by itself, to hold what is stored.

    desired
        The desired state, where the caller has it already.
    """
    stored = context.stored()
    return layers.changes(layers.planned(desired or context.compiled(kept=stored), stored, chosen))


def review_layer(layer: Layer) -> dict[str, list[str]]:
    """Return ``errors`` and ``warnings`` of a layer, sentences, for what is stored."""
    stored = context.stored()
    review = layer.review(layer.plan(context.compiled(kept=stored), stored))
    return {"errors": [*review.errors], "warnings": [*review.warnings]}


def apply_layers(chosen: Iterable[Layer]) -> dict[str, Any]:
    """Have some layers hold what is stored, each by itself; return the changes."""
    stored = context.stored()
    desired = context.compiled(kept=stored)
    plans = layers.planned(desired, stored, chosen)
    changes = layers.changes(plans)
    if VIEWER in plans and VIEWER.make_group(desired, stored):
        plans = layers.planned(context.compiled(kept=stored), stored, plans)
    for layer, plan in plans.items():
        layer.apply(plan)
    if VIEWER in plans:
        context.keep(policy_merge.settle(stored, desired.policy))
    return changes


def remove_layers(chosen: Iterable[Layer], test: bool) -> dict[str, Any]:
    """Remove some layers, the last first; return the changes."""
    stored = context.stored()
    return as_dict(change for layer in reversed([*chosen]) for change in layer.remove(stored, test))


def _whole(stored: Stored, requested: Stored, test: bool, asking: bool) -> dict[str, Any]:
    """Plan all layers, then apply them; what cannot be read stops everything before the first change."""
    base = replace(stored, temporary=requested.temporary)
    desired = context.compiled(requested.policy, base, asking=asking)
    plans, reviews = layers.looked_at(desired, stored)
    originals = plans[VIEWER].steps.originals
    policy_changes = _policy_changes(stored, policy_merge.remember(base, desired, originals))
    errors = [str(finding) for finding in desired.findings]
    warnings: list[str] = []
    for layer, review in reviews.items():
        errors += review.errors
        warnings += review.warnings
        if review.refused:
            plans = {each: its_plan for each, its_plan in plans.items() if each is not layer}
    changes = merge([policy_changes, layers.changes(plans)])
    outdated = desired.timed and context.today() not in (None, desired.day)
    if (changes or outdated) and not test:
        current = context.compiled(requested.policy, base, context.today(), asking) if outdated else desired
        remembered = policy_merge.remember(base, current, originals)
        context.keep(remembered)
        names = {layer.name for layer, plan in plans.items() if plan.changes or outdated}
        chosen = {layer: plan for layer, plan in plans.items() if layer.name in names}
        applied, failed = _apply(chosen, current, remembered, asking)
        changes = merge([policy_changes, layers.changes({layer: plans[layer] for layer in applied})])
        errors += [*failed, *_afterwards()]
        if len(applied) < len(chosen) and stored.policy is not None:
            found = closing.layers(current, context.recalled(stored), whole=True, test=False)
            changes = union(changes, found.changes)
            errors += found.errors
    if not test:
        # It saves the next run time, and users; it hinders nothing.
        for remember in (bytecode.remember, *([plugin_registry.remember] if desired.confined else [])):
            with contextlib.suppress(SystemFault):
                remember()
    warnings += [*notes(desired), *left_out(desired), *confinement(desired), *context.exchangeable()]
    answer = _answer(stored, desired) if test else {}
    return {**answer, "changes": changes, "errors": errors, "warnings": warnings}


def _answer(stored: Stored, desired: DesiredState) -> dict[str, str]:
    before = None if stored.policy is None else recalled(stored, desired.gid, desired.now)
    return {"answer": outcome.sentence(before, desired)}


def _answer_of_closing(stored: Stored, requested: Stored) -> dict[str, str]:
    if stored.policy is None:
        return {}
    return _answer(stored, recalled(_provable(stored, requested), None, int(time.time())))


def _apply(plans: layers.Plans, desired: DesiredState, stored: Stored, asking: bool) -> tuple[list[Layer], list[str]]:
    """Apply layers in their order; return those that succeeded, and the errors.

    The guard comes first, and without it nothing else is opened. A later layer that fails does not keep the others from
    closing.

    desired
        The desired state. If the plans were made for another one, they are made anew.
    """
    applied: list[Layer] = []
    errors: list[str] = []
    try:
        if VIEWER.make_group(desired, stored):
            desired = context.compiled(desired.policy, asking=asking)
        desired.viewers_gid()
    except SpiceGrantError as error:
        return [], [f"viewer: {error}: all else was left as it was"]
    for layer, plan in plans.items():
        try:
            layer.apply(plan if plan.desired is desired else layer.plan(desired, stored))
            applied.append(layer)
        except SpiceGrantError as error:
            errors.append(f"{layer.name}: {error}")
            if layer.name == FIREWALL.name:
                return [], [f"{errors[0]}: all else was left as it was"]
    try:
        if VIEWER in applied:
            context.keep(policy_merge.settle(stored, desired.policy))
        current = context.stored(desired.policy)
        remaining = layers.planned(context.compiled(desired.policy, current, asking=asking), current, applied)
    except SpiceGrantError as error:
        return applied, [*errors, f"what was applied cannot be read back: {error}"]
    errors += [
        f"still to do after it was applied: {what}" for what in policy_merge.sentences(layers.changes(remaining))
    ]
    return applied, errors


def _close_unprovable(stored: Stored, requested: Stored, test: bool) -> closing.ClosingReport:
    """Take away every right that cannot be shown to stay."""
    if stored.policy is None:
        found = closing.everything(test)
        return found if found.changes else closing.ClosingReport({}, [])
    staying = _provable(stored, requested)
    found = closing.take(stored, staying, whole=True, test=test)
    if not closes.takes_away(stored, staying):
        return found if found.changes else closing.ClosingReport({}, [])
    return found._replace(changes=union(_policy_changes(stored, staying), found.changes))


def _provable(stored: Stored, requested: Stored) -> Stored:
    return closes.provable(stored, replace(requested, day=context.today()))


def _unknown(error: SpiceGrantError, test: bool) -> dict[str, Any]:
    """Close everything where what is stored is unreadable or gone: nobody can tell what was lent or locked."""
    found = closing.everything(test)
    if not found.changes:
        raise error
    return {"changes": found.changes, "errors": [*_nothing_opened(error), *found.errors], "warnings": []}


def _nothing_opened(error: SpiceGrantError) -> list[str]:
    several = error.sentences
    return [*several, "nothing was opened"] if len(several) > 1 else [f"{error}: nothing was opened"]


def _readable() -> tuple[Stored, list[str]]:
    """Return what is stored; if that is unreadable, nothing, and the error."""
    try:
        return context.stored(), []
    except SpiceGrantError as error:
        return Stored(), [f"viewer: {error}"]


def _policy_changes(stored: Stored, becomes: Stored) -> dict[str, Any]:
    failed = [Change("firewall", "starts the clock again, which had failed")] if clock.failed() else []
    return as_dict([*policy_merge.changes(stored, becomes), *context.exposed(), *context.unfinished(), *failed])


def _afterwards() -> list[str]:
    """Remove what interrupted runs left, and have the clock look at what is stored now.

    Returns what hindered that. It does not undo what layers changed, and the kernel keeps its own times.
    """
    errors = []
    for layer, action in (("policy", context.sweep), ("clock", clock.again)):
        try:
            action()
        except SystemFault as error:
            errors.append(f"{layer}: {error}")
    return errors
