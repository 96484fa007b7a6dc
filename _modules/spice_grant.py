"""
Who may open which SPICE console: declare, query, change and prove grants on this machine.

.. versionadded:: 0.1.0

A grant lets a user, or the members of a group, open the console of one vm. This module brings the three layers
together: ``spice_firewall``, ``spice_sudoers`` and ``spice_viewer``. What is enforced is kept on the minion, so that
all but :func:`plan` and :func:`apply` need neither pillar nor master.
"""

import contextlib
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError, SaltInvocationError

from spicegrants import declared, sudoers, verdict
from spicegrants import explain as reasons
from spicegrants.errors import PolicyError, SpiceGrantError, SystemFault
from spicegrants.host import backends, current, lock, ruleset, sudo, trial
from spicegrants.plan import as_dict, merge
from spicegrants.reader import did_you_mean

__virtualname__ = "spice_grant"
__func_alias__ = {"list_": "list"}

# The guard first.
_LAYERS = ("firewall", "viewer", "sudoers")
_UNTIL_NEXT = (
    "kept over reboots; the next spice_grant.present with exclusive: True (as in state.apply spice) brings back "
    "what pillar declares"
)


def __virtual__():
    return __virtualname__


def list_():
    """
    Return who may open what on this machine, as a list of dicts.

    The keys are ``user``, ``uid``, ``vm``, ``server``, ``addresses``, ``port``, ``nopasswd``, ``grants`` (the names of
    the grants behind it) and ``groups`` (through which of them, if any).

    Reads the stored policy and accounts. Raises CommandExecutionError if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.list
    """
    return _listed(_compiled())


def who(vm):
    """
    Return who may open a console, as :func:`list_` does.

    vm
        Name of the vm.

    Reads the stored policy and accounts. Raises SaltInvocationError if the policy has no such vm.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.who debianx
    """
    wanted = _compiled()
    _known_vm(wanted, vm)
    return [entry for entry in _listed(wanted) if entry["vm"] == vm]


def plan(grants=None, exclusive=True):
    """
    Return what :func:`apply` would change, and change nothing.

    grants
        Grants by name, in the pillar's form. Defaults to the pillar's ``spice:grants``.

    exclusive
        Whether grants that this minion holds and that are not among them go. Defaults to ``True``.

    Returns a dict with ``changes`` (by grant and layer; empty if everything is as it must be), ``errors`` (what would
    not be enforced, and why; then the exit code is not 0) and ``warnings``. Reads pillar, the stored policy, accounts,
    addresses, and what the layers hold. Raises SaltInvocationError with all findings if the policy is wrong,
    CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.plan
    """
    return apply(grants, exclusive, test=True)


def apply(grants=None, exclusive=True, test=False):
    """
    Enforce the policy that pillar declares.

    grants
        Grants by name, in the pillar's form. Defaults to the pillar's ``spice:grants``. Servers, vms, viewer and
        firewall always come from pillar.

    exclusive
        Whether grants that this minion holds and that are not among them go. Defaults to ``True``.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns. A grant that cannot be enforced (its user left, say) is in ``errors`` and costs
    nobody else anything. Writes ``/var/lib/spice-grant/state.json`` and what the layers' own ``apply`` write. Raises
    SaltInvocationError with all findings if the policy is wrong, CommandExecutionError if something cannot be read:
    then nothing was changed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.apply
    """
    return _enforce(lambda held: declared.combine(__pillar__.get("spice"), grants, exclusive, held), test)


def absent(name, test=False):
    """
    Remove one grant of this minion's policy and enforce the rest.

    name
        Name of the grant.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns; nothing changes if there is no such grant, or no policy yet. Reads, writes and
    raises as :func:`apply`, but needs no pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.absent myself-debianx
    """
    return _enforce(lambda held: declared.without(held, [name]) if held and name in held.grants else None, test)


def remove(test=False):
    """
    Take everything away: rules, sudoers file, viewer's restriction, group, units, files, and what is stored.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns; ``errors`` names what is left. The guard goes last: until then nobody reaches a
    console that was not granted. Removes what the layers' own ``apply`` write, and ``/var/lib/spice-grant``. Raises
    CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.remove
    """
    errors = []
    try:
        with contextlib.nullcontext() if test else lock.held():
            changes = _removals(True)
            if current.exists():
                changes = merge([changes, {"layers": {"policy": ["forgets the policy"]}}])
            changes = merge([changes, as_dict(current.unfinished())])
            if changes and not test:
                current.sweep()
                _removals(False)
                errors = [f"left: {what}" for what in declared.sentences(_removals(True))]
                if not errors:
                    current.forget()
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {"changes": changes, "errors": errors, "warnings": []}


def grant(user, vm, nopasswd=False, reason=None):
    """
    Let a user open a console, at once and in all layers, without pillar.

    user
        Name of the user.

    vm
        Name of a vm of the policy that is stored on this minion.

    nopasswd
        Whether sudo does not ask for the user's password. Defaults to ``False``.

    reason
        One line of text that is shown with the grant.

    The grant is named ``USER-VM`` and kept over reboots; the next ``spice_grant.present`` with ``exclusive: True``
    brings back what pillar declares. Returns what :func:`plan` returns, and a ``comment``. Reads, writes and raises as
    :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.grant myself leaptest
    """
    report = _enforce(lambda held: declared.with_grant(_some(held), user, vm, nopasswd, reason), False)
    return {**report, "comment": f"{user} is granted {vm}; {_UNTIL_NEXT}."}


def revoke(user, vm):
    """
    Take a console away from a user, at once and in all layers, without pillar.

    user
        Name of the user.

    vm
        Name of the vm.

    A user who has the console through a group keeps it: that is an error, which names the grant. It lasts until the
    next ``spice_grant.present`` with ``exclusive: True``, which brings back what pillar declares. Returns what
    :func:`plan` returns, and a ``comment``. Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.revoke myself debianx
    """
    report = _enforce(lambda held: declared.without_user(_some(held), user, vm, current.compiled(held)), False)
    return {**report, "comment": f"{user} no longer has {vm}; {_UNTIL_NEXT}."}


def explain(user, vm):
    """
    Say why a user may, or may not, open a console: each layer's own answer, from what it really holds.

    user
        Name of the user.

    vm
        Name of the vm.

    Returns a dict with ``answer`` (``may open``, ``may not open``, ``blocked`` where a chain that is not ours drops
    what the guard lets through, or ``in doubt`` where the layers disagree or that cannot be told) and, for
    ``policy``, ``firewall``, ``sudo`` and ``viewer``, an answer and why. Reads the stored policy and accounts; runs
    ``nft list``, ``ip route get``, ``cvtsudoers``, ``sudo -l``, and ``iptables-save`` where nft shows less than all.
    Raises SaltInvocationError if the policy has no such vm.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.explain mybro debianx
    """
    wanted = _compiled()
    _known_vm(wanted, vm)
    try:
        rules = __salt__["spice_firewall.rules"](foreign=False)
        known = user in wanted.inventory.users
        asked = {known and sudo.allows(user, rule.call) for rule in sudoers.calls(wanted.policy, user, vm)}
        allowed = None if len(asked) > 1 else asked == {True}
        held = sudoers.parse(sudo.own_tree() or {})
        met = ruleset.before(wanted, user, vm, ruleset.read())
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    answers = {
        "policy": reasons.policy(wanted, user, vm),
        "firewall": reasons.firewall(wanted, user, vm, rules, __salt__["spice_firewall.plan"](wanted), met),
        "sudo": reasons.sudo(wanted, user, vm, held, allowed),
        "viewer": reasons.viewer(__salt__["spice_viewer.plan"](wanted)),
    }
    return {"answer": reasons.summary(answers), **answers}


def verify(user=None, vm=None):
    """
    Prove the policy by trying: connect, ask sudo and start the viewer as the users themselves.

    user, vm
        Names to limit the trial to. Default: every user with a grant and one without any, times every vm.

    For each user and vm: connects to every address of the console with the viewer's group and with the user's own,
    asks ``sudo -l`` for the granted calls and, where granted, for calls close to them, and tries to start each viewer
    without sudo. A connection counts as ``denied`` only if the guard says that it refused it, so a server that is down
    is ``unreachable``. Where that happens to a granted user, chains that are not ours and stop him are a difference.

    Returns ``{"ok": bool, "differences": [...], "matrix": {user: {vm: {...}}}}``; the exit code is not 0 if anything
    differs from the policy. Changes nothing. Raises CommandExecutionError if a layer cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.verify
    """
    wanted = _compiled()
    if vm is not None:
        _known_vm(wanted, vm)
    vms = [vm] if vm else sorted(wanted.policy.vms)
    try:
        users = [trial.account(wanted, user)] if user else trial.everybody(wanted)
        mechanism, _ = backends.choose(wanted.policy.firewall.backend)
        result = verdict.matrix(
            (name, tried, verdict.cell(reasons.access_of(wanted, name, tried) is not None, attempt))
            for name, tried, attempt in trial.attempts(wanted, users, vms, mechanism.witness())
        )
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    result["differences"] += [f"not enforced: {finding}" for finding in wanted.findings]
    result["ok"] = not result["differences"]
    if not result["ok"]:
        __context__["retcode"] = 1
    return result


def _enforce(decide, test):
    """Plan all layers, then apply them; what cannot be read stops everything before the first change.

    decide
        Takes the policy that is stored, and returns the one to enforce; None if there is nothing to do.
    """
    try:
        with contextlib.nullcontext() if test else lock.held():
            stored = current.stored()
            policy = decide(stored.policy)
            if policy is None:
                return {"changes": {}, "errors": [], "warnings": []}
            wanted = current.compiled(policy, stored)
            becomes = declared.remember(stored, wanted, __salt__["spice_viewer.originals"](wanted))
            policy_changes = as_dict([*declared.changes(stored, becomes), *current.exposed(), *current.unfinished()])
            plans = _plans(wanted)
            settled = not plans["sudoers"]
            refusal = None if settled else __salt__["spice_sudoers.refusal"](wanted)
            if refusal:
                plans["sudoers"] = {}
            errors = [str(finding) for finding in wanted.findings] + ([f"sudo: {refusal}"] if refusal else [])
            review = __salt__["spice_sudoers.review"](wanted, settled)
            errors += [f"sudo: {fault}" for fault in review["errors"]]
            changes = merge([policy_changes, *plans.values()])
            if changes and not test:
                current.keep(becomes)
                applied, failed = _apply(wanted, plans)
                changes = merge([policy_changes, *(plans[layer] for layer in applied)])
                errors += [*failed, *_swept()]
    except PolicyError as error:
        raise SaltInvocationError(str(error)) from error
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    if errors:
        __context__["retcode"] = 1
    return {"changes": changes, "errors": errors, "warnings": review["warnings"]}


def _removals(test):
    return merge(__salt__[f"spice_{layer}.remove"](test=test) for layer in reversed(_LAYERS))


def _plans(wanted):
    return {layer: __salt__[f"spice_{layer}.plan"](wanted) for layer in _LAYERS}


def _apply(wanted, plans):
    """Apply the layers that have something to change; return which succeeded, and what went wrong.

    The guard comes first, and without it nothing else is opened. A later layer that fails does not keep the others
    from closing.
    """
    applied, errors = [], []
    try:
        if __salt__["spice_viewer.ensure_group"](wanted):
            wanted = current.compiled(wanted.policy)
    except (CommandExecutionError, SpiceGrantError) as error:
        return [], [f"viewer: {error}: all else was left as it was"]
    for layer in _LAYERS:
        if not plans[layer]:
            continue
        try:
            __salt__[f"spice_{layer}.apply"](wanted)
            applied.append(layer)
        except CommandExecutionError as error:
            errors.append(f"{layer}: {error}")
            if layer == "firewall":
                return [], [f"{errors[0]}: all else was left as it was"]
    try:
        left = _plans(current.compiled(wanted.policy))
    except (CommandExecutionError, SpiceGrantError) as error:
        return applied, [*errors, f"what was applied cannot be read back: {error}"]
    for layer in applied:
        errors += [f"still to do after it was applied: {what}" for what in declared.sentences(left[layer])]
    return applied, errors


def _swept():
    """Remove what interrupted runs left; return what hindered that, which keeps no layer from being changed."""
    try:
        current.sweep()
    except SystemFault as error:
        return [f"policy: {error}"]
    return []


def _compiled():
    try:
        return current.compiled()
    except PolicyError as error:
        raise SaltInvocationError(str(error)) from error
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def _some(policy):
    if policy is None:
        raise SystemFault("no policy has been applied on this minion yet: run state.apply spice")
    return policy


def _known_vm(wanted, vm):
    if vm not in wanted.policy.vms:
        raise SaltInvocationError(
            f"no vm {vm!r} in the policy of this minion{did_you_mean(str(vm), wanted.policy.vms)}"
        )


def _listed(wanted):
    return [
        {
            "user": access.user,
            "uid": access.uid,
            "vm": access.vm,
            "server": wanted.policy.vms[access.vm].server,
            "addresses": list(wanted.addresses(access)),
            "port": wanted.port(access),
            "nopasswd": access.nopasswd,
            "grants": list(access.grants),
            "groups": sorted({wanted.policy.grants[name].group for name in access.grants} - {None}),
        }
        for access in wanted.accesses
    ]
