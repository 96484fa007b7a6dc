"""
Who may open which SPICE console: what asks and proves of ``spice_grant``.

.. versionadded:: 0.1.0

Nothing here changes anything, and nothing here needs pillar or master.
"""

import sys as _sys
import time
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError, SaltInvocationError
from salt.utils.args import yamlify_arg

from spicegrants.audit import access_report, verdict
from spicegrants.audit import explain as reasons
from spicegrants.audit.live import entrance, trial
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.core.reader import chosen, shown
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import EXPIRY, FIREWALL, ROUTING, VIEWER
from spicegrants.firewall.live import backends, backstop, other_tables
from spicegrants.host import accounts
from spicegrants.policy import decision, merge, wording
from spicegrants.routing.live import ip
from spicegrants.schedule import instants
from spicegrants.sudo import commands, sudoers
from spicegrants.sudo.live import privileges, tools

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __context__: dict[str, Any] = {}

# Salt makes one module of all files with the same name.
__virtualname__ = "spice_grant"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def list_(at=None):
    """
    Return who may open what on this machine, as a list of dicts.

    at
        The moment that is asked about, ISO 8601; without an offset it is in the policy's zone, and a date is its start.
        Defaults to now.

    The keys are ``user``, ``uid``, ``vm``, ``server``, ``addresses``, ``port``, ``nopasswd``, ``open`` (whether it is
    at that moment), ``state`` (in words, with the next change), ``grants`` (by name of the grants and loans behind it:
    when each is open, and its owner, reason and ticket) and ``groups`` (through which of them, if any).

    Reads the stored policy and accounts. Raises CommandExecutionError if no policy has been applied yet,
    SaltInvocationError if ``at`` is no moment.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.list
        salt '*' spice_grant.list at=2026-11-24T18:00
    """
    desired = _compiled()
    return access_report.listed(desired, _moment(desired, at))


def who(vm, at=None):
    """
    Return who may open a console, as :func:`list_` does.

    vm
        Name of the vm.

    at
        The moment that is asked about, as in :func:`list_`. Defaults to now.

    Reads the stored policy and accounts. Raises SaltInvocationError if the policy has no such vm.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.who debianx
    """
    desired = _compiled()
    vm = _known_vm(desired, vm)
    return [entry for entry in access_report.listed(desired, _moment(desired, at)) if entry["vm"] == vm]


def timeline(user=None, days=7, at=None):
    """
    Return when a user may open what, as a list of dicts in the order of time.

    user
        Name of the user. Defaults to everybody.

    days
        How many days, 1 to 366. Defaults to 7.

    at
        Where it starts, as in :func:`list_`. Defaults to now.

    The keys are ``user``, ``vm``, ``from`` and ``until`` (both in the policy's zone) and ``grants`` (those grants and
    loans that open it then, as in :func:`list_`). What is locked is not in it.

    Reads the stored policy and accounts. Raises SaltInvocationError if there is no such user, or if ``days`` or ``at``
    is wrong.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.timeline anne days=14
    """
    desired = _compiled()
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 366:
        raise SaltInvocationError(f"days: must be a number from 1 to 366, not {shown(days)}")
    if user is not None:
        user = _known_user(desired, user)
    return access_report.timeline(desired, user, _moment(desired, at), days)


def explain(user, vm, at=None):
    """
    Say why a user may, or may not, open a console: each layer's own answer, from what it really holds.

    user
        Name of the user.

    vm
        Name of the vm.

    at
        The moment that is asked about, as in :func:`list_`. Defaults to now. For another moment sudo's answer is read
        from the rules in our file: sudo itself only knows now.

    Returns a dict with ``answer`` (``may open``, ``may not open``, ``blocked`` where a chain that is not ours drops
    what the guard lets through, or ``in doubt`` where the layers disagree or that cannot be told), ``state`` (what the
    policy says of that moment, and what changes next: ``closed; opens Tue 2026-11-24 08:00 Europe/Berlin``) and, for
    ``policy``, ``firewall``, ``routing``, ``sudo`` and ``viewer``, an answer and why. Reads the stored policy and
    accounts; runs ``nft list``, ``ip rule show``, ``ip route get``, ``cvtsudoers``, ``sudo -l``, and ``iptables-save``
    where nft shows less than all; asks PAM about an account that sudo's rules let through.
    Raises SaltInvocationError if the policy has no such vm, or nobody knows such a user.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.explain mybro debianx
    """
    desired = _compiled()
    user, vm = _known_user(desired, user), _known_vm(desired, vm)
    moment = _moment(desired, at)
    with translated(CommandExecutionError):
        rules = __salt__["spice_firewall.rules"](foreign=False)
        on, _ = ip.chosen(desired.policy, ip.held())
        known = user in desired.inventory.users
        asked = {known and tools.allows(user, rule.call) for rule in commands.calls(desired, user, vm)}
        allowed = None if len(asked) > 1 else asked == {True}
        refusal = entrance.refusal(user) if allowed and moment == desired.now else ""
        held = sudoers.parse(tools.own_tree() or {})
        met = other_tables.before(desired, user, vm, other_tables.read())
        answers = {
            "policy": reasons.policy(desired, user, vm, moment),
            "firewall": reasons.firewall(
                desired=desired,
                user=user,
                vm=vm,
                rules=rules,
                drift=enforcement.plan_layers([FIREWALL, EXPIRY], desired),
                obstacles=met,
                moment=moment,
            ),
            "routing": reasons.routing(
                desired,
                user,
                vm,
                __salt__["spice_routing.rules"]() if on else None,
                enforcement.plan_layers([ROUTING], desired),
            ),
            "sudo": reasons.sudo(
                desired=desired, user=user, vm=vm, held=held, allowed=allowed, moment=moment, refusal=refusal
            ),
            "viewer": reasons.viewer(enforcement.plan_layers([VIEWER], desired)),
        }
    answers["firewall"]["backstop"] = backstop.words(desired.policy.firewall)
    state = wording.decision(desired.policy, decision.decide(desired, user, vm, moment))
    return {"answer": reasons.summary(answers), "state": state, **answers}


def verify(user=None, vm=None):
    """
    Prove the policy by trying: connect, ask sudo and start the viewer as the users themselves.

    user, vm
        Names to limit the trial to. Default: every user with a grant and one without any, times every vm.

    For each user and vm: connects to every address of the console with the viewer's group and with the user's own, asks
    ``sudo -l`` for the granted calls and, where granted, for calls close to them, and tries to start each viewer
    without sudo. A connection counts as ``denied`` only if the guard says that it refused it, so a server that is down
    is ``unreachable``. Where that happens to a granted user, chains that are not ours and stop them are a difference.

    For each user to whom a console is open now: asks PAM whether sudo would let the account in and, where viewers are
    confined, starts the opener, which without a desktop does all but start the viewer. Where sudo asks for no password
    the user's own call does both.

    For each console of a server that declares a ``ca``: looks at the certificate as a viewer does.

    With a strict policy (pillar's ``spice:sudo:strict``) what sudo lets one of these users do besides is a difference
    as well, as ``spice_sudoers.others`` says it.

    Returns ``{"ok": ..., "differences": [...], "unproven": [...], "warnings": [...], "matrix": {user: {vm: {...}}}}``.
    ``ok`` is True; False if anything differs from the policy (the exit code is 1 then); or None if nothing differs, but
    no granted user could be seen to reach any console, because all servers are down, say (2). ``warnings`` say what
    makes sudo slow. Changes nothing. Raises CommandExecutionError if a layer cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.verify
    """
    desired = _compiled()
    vms = sorted(desired.policy.vms) if vm is None else [_known_vm(desired, vm)]
    with translated(CommandExecutionError):
        users = [trial.account(desired, _known_user(desired, user))] if user is not None else trial.everybody(desired)
        mechanism, _ = backends.choose(desired.policy.firewall.backend)
        result = verdict.matrix(
            (name, tried, _judged(desired, name, tried, attempt))
            for name, tried, attempt in trial.attempts(desired, users, vms, mechanism.witness())
        )
        for found in (entrance.users(desired, users, vms), entrance.consoles(desired, users, vms)):
            result["differences"] += found.differences
            result["unproven"] += found.unproven
        if desired.policy.sudo.strict:
            result["differences"] += privileges.differences(desired, [tried.name for tried in users])
    result["differences"] += [f"not enforced: {finding}" for finding in desired.findings]
    result["differences"] += _viewer_differences(desired)
    result["warnings"] = entrance.slow()
    if result["differences"]:
        result["ok"] = False
    if not result["ok"]:
        __context__["retcode"] = 2 if result["ok"] is None else 1
    return result


def _viewer_differences(desired):
    """Say what is wrong with the viewer itself: whoever is let through everywhere sees nothing without it."""
    try:
        return [f"viewer: {what}" for what in merge.sentences(enforcement.plan_layers([VIEWER], desired))]
    except SpiceGrantError as error:
        return [f"viewer: {error}"]


def loans():
    """
    Return the loans that have not ended, as a list of dicts.

    The keys are ``user``, ``vm``, ``from``, ``until``, ``left``, ``locked`` (whether a lock denies it) and ``reason``.
    Reads the stored policy, loans and accounts.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.loans
    """
    desired = _compiled()
    return access_report.loans(desired, desired.now)


def locks():
    """
    Return the locks, as a list of dicts.

    The keys are ``about``, ``since`` and ``reason``. Reads the stored policy, locks and accounts.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.locks
    """
    return access_report.locks(_compiled())


def _judged(desired, user, vm, attempt):
    """Return the cell of a trial, unless what the policy says has changed since it began."""
    before, after = (decision.decide(desired, user, vm, moment).open for moment in (desired.now, int(time.time())))
    by_sudo = None
    if desired.inventory.sudo_rs:
        by_sudo = any(
            (access.user, access.vm) == (user, vm) for access in desired.accesses if sudoers.rules_for(desired, access)
        )
    return verdict.cell(before, attempt, by_sudo) if before == after else verdict.undecided(after)


def _moment(desired, at):
    """Return the moment that is asked about."""
    if at is None:
        return desired.now
    moment = instants.read(at, desired.policy.time.zone or "UTC")
    if moment is None:
        raise SaltInvocationError(f"at: {shown(at)} is no moment, as 2026-11-24 or 2026-11-24T18:00+01:00")
    return moment


def _compiled():
    with translated(CommandExecutionError, SaltInvocationError):
        return context.compiled()


def _known_vm(desired, vm):
    where = " in the policy of this minion"
    return chosen("vm", vm, desired.policy.vms, yamlify_arg, SaltInvocationError, where)


def _known_user(desired, user):
    """Return the name of a user. With a slip in it, the answer would be that they may open nothing."""
    held = (*desired.accesses, *(access for access, _ in desired.locked))
    # Also who has something, if nobody can be asked for him.
    known = {*accounts.uids(user), *(access.user for access in (*held, *desired.previous))}
    known |= {grant.user for grant in desired.policy.grants.values() if grant.user}
    return chosen("user", user, known, yamlify_arg, SaltInvocationError, " on this machine")
