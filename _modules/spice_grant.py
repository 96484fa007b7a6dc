"""
Who may open which SPICE console: declare, query, change and prove grants on this machine.

.. versionadded:: 0.1.0

A grant lets a user, or the members of a group, open the console of one vm. This module brings the three layers
together: ``spice_firewall``, ``spice_sudoers`` and ``spice_viewer``. What is enforced is kept on the minion, so that
all but :func:`plan` and :func:`apply` need neither pillar nor master.
"""

import sys as _sys
import time
from dataclasses import replace

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError, SaltInvocationError

from spicegrants import calls, decide, declared, moments, report, spoken, sudoers, temporary, verdict
from spicegrants import explain as reasons
from spicegrants.errors import PolicyError, SpiceGrantError, SystemFault
from spicegrants.host import accounts, backends, current, ruleset, sudo, trial
from spicegrants.host.layers import Layers
from spicegrants.reader import did_you_mean, shown

__virtualname__ = "spice_grant"
__func_alias__ = {"list_": "list"}

_UNTIL_NEXT = (
    "kept over reboots; the next spice_grant.present with exclusive: True (as in state.apply spice) brings back "
    "what pillar declares"
)


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
    wanted = _compiled()
    return report.listed(wanted, _moment(wanted, at))


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
    wanted = _compiled()
    _known_vm(wanted, vm)
    return [entry for entry in report.listed(wanted, _moment(wanted, at)) if entry["vm"] == vm]


def timeline(user=None, days=7, at=None):
    """
    Return when a user may open what, as a list of dicts in the order of time.

    user
        Name of the user. Defaults to everybody.

    days
        How many days, 1 to 366. Defaults to 7.

    at
        Where it starts, as in :func:`list_`. Defaults to now.

    The keys are ``user``, ``vm``, ``from`` and ``until`` (both in the policy's zone) and ``grants`` (the names of the
    grants and loans that open it then). What is locked is not in it.

    Reads the stored policy and accounts. Raises SaltInvocationError if ``days`` or ``at`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.timeline anne days=14
    """
    wanted = _compiled()
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 366:
        raise SaltInvocationError(f"days: must be a number from 1 to 366, not {shown(days)}")
    return report.timeline(wanted, user, _moment(wanted, at), days)


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
    return _enforce(
        lambda stored: replace(stored, policy=declared.combine(_declared(), grants, exclusive, stored.policy)),
        test,
    )


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

    def decided(stored):
        held = stored.policy
        if held is None or name not in held.grants:
            return None
        return replace(stored, policy=declared.without(held, [name]))

    return _enforce(decided, test)


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
    try:
        return _layers().remove(test)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


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
    return {
        **_enforce_policy(lambda held: declared.with_grant(held, user, vm, nopasswd, reason)),
        "comment": f"{user} is granted {vm}; {_UNTIL_NEXT}.",
    }


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
    return {
        **_enforce_policy(lambda held: declared.without_user(held, user, vm, current.compiled(held))),
        "comment": f"{user} no longer has {vm}; {_UNTIL_NEXT}.",
    }


def lend(user, vm, duration, reason=None, nopasswd=False):
    """
    Let a user open a console for some time, at once and in all layers, whatever pillar says.

    user
        Name of the user.

    vm
        Name of a vm of the policy that is stored on this minion.

    duration
        How long, as ``2h`` or ``1h30m``; at most pillar's ``spice:time:longest_loan``, which defaults to ``8h``.

    reason
        One line of text that is shown with the loan.

    nopasswd
        Whether sudo does not ask for the user's password. Defaults to ``False``.

    The end is in the rules themselves: nothing has to run for it. A loan holds over highstates and reboots, and
    replaces one of the same user and vm. Sends the event ``spice_grant/loan`` to the master, where there is one. Needs
    neither pillar nor master. Returns what :func:`plan` returns, a ``comment``, and ``event`` (whether Salt took it to
    send; a master that is down does not hear of it). Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.lend anne books 2h reason='year-end'
    """
    return _temporarily(
        lambda held, policy, now: temporary.lend(
            held, policy, accounts.names(user), now, user, vm, duration, reason, nopasswd
        ),
        f"{vm} is lent to {user} for {duration}.",
        "spice_grant/loan",
        {"action": "lend", "user": user, "vm": vm, "duration": duration, "reason": reason},
    )


def end_loan(user, vm):
    """
    End a loan before its time.

    user, vm
        Names of its user and vm.

    Open sessions end at once, unless a grant holds as well. Returns what :func:`lend` returns; nothing changes if there
    is no such loan. Sends the event ``spice_grant/loan``. Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.end_loan anne books
    """
    return _temporarily(
        lambda held, policy, now: temporary.without_loan(held, user, vm),
        f"{vm} is not lent to {user}.",
        "spice_grant/loan",
        {"action": "end", "user": user, "vm": vm},
    )


def loans():
    """
    Return the loans that have not ended, as a list of dicts.

    The keys are ``user``, ``vm``, ``from``, ``until``, ``left``, ``locked`` (whether a lock denies it) and ``reason``.
    Reads the stored policy, loans and accounts.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.loans
    """
    wanted = _compiled()
    return report.loans(wanted, wanted.now)


def lock(user=None, vm=None, all=False, reason=None):
    """
    Deny consoles at once and in all layers, whatever grants and loans say, until :func:`unlock`.

    user
        Name of a user who may open nothing.

    vm
        Name of a vm that nobody may open.

    all
        Whether nobody may open anything. Just one of the three is to be given.

    reason
        One line of text that is shown with the lock.

    Live sessions are cut at once, also those that could go on after their grant's end. A lock holds over highstates and
    reboots. Sends the event ``spice_grant/lock`` to the master, where there is one. Needs neither pillar nor master.
    Returns what :func:`lend` returns. Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.lock user=anne reason='left the company'
        salt '*' spice_grant.lock all=True
    """
    about = _about(user, vm, all)
    made = replace(about, reason=reason)
    return _temporarily(
        lambda held, policy, now: temporary.lock(held, policy, accounts.names(user), now, made),
        f"{about.words} is locked.",
        "spice_grant/lock",
        {"action": "lock", "about": about.words, "reason": reason},
    )


def unlock(user=None, vm=None, all=False):
    """
    Take a lock away, so that grants and loans hold again.

    user, vm, all
        What was locked, as in :func:`lock`: ``all`` takes away only a lock of everything.

    Returns what :func:`lend` returns; nothing changes if there is no such lock. Sends the event ``spice_grant/lock``.
    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.unlock user=anne
    """
    about = _about(user, vm, all)
    return _temporarily(
        lambda held, policy, now: temporary.unlock(held, about),
        f"{about.words} is not locked.",
        "spice_grant/lock",
        {"action": "unlock", "about": about.words},
    )


def locks():
    """
    Return the locks, as a list of dicts.

    The keys are ``about``, ``since`` and ``reason``. Reads the stored policy, locks and accounts.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.locks
    """
    return report.locks(_compiled())


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
    ``policy``, ``firewall``, ``sudo`` and ``viewer``, an answer and why. Reads the stored policy and accounts; runs
    ``nft list``, ``ip route get``, ``cvtsudoers``, ``sudo -l``, and ``iptables-save`` where nft shows less than all.
    Raises SaltInvocationError if the policy has no such vm.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.explain mybro debianx
    """
    wanted = _compiled()
    _known_vm(wanted, vm)
    moment = _moment(wanted, at)
    try:
        rules = __salt__["spice_firewall.rules"](foreign=False)
        known = user in wanted.inventory.users
        asked = {known and sudo.allows(user, rule.call) for rule in calls.calls(wanted, user, vm)}
        allowed = None if len(asked) > 1 else asked == {True}
        held = sudoers.parse(sudo.own_tree() or {})
        met = ruleset.before(wanted, user, vm, ruleset.read())
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    answers = {
        "policy": reasons.policy(wanted, user, vm, moment),
        "firewall": reasons.firewall(wanted, user, vm, rules, __salt__["spice_firewall.plan"](wanted), met, moment),
        "sudo": reasons.sudo(wanted, user, vm, held, allowed, moment),
        "viewer": reasons.viewer(__salt__["spice_viewer.plan"](wanted)),
    }
    state = spoken.decision(wanted.policy, decide.decide(wanted, user, vm, moment))
    return {"answer": reasons.summary(answers), "state": state, **answers}


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
            (name, tried, _judged(wanted, name, tried, attempt))
            for name, tried, attempt in trial.attempts(wanted, users, vms, mechanism.witness())
        )
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    result["differences"] += [f"not enforced: {finding}" for finding in wanted.findings]
    result["ok"] = not result["differences"]
    if not result["ok"]:
        __context__["retcode"] = 1
    return result


def _declared():
    """Return what pillar declares, with the passwords that Salt's storage for secrets holds."""
    return declared.with_secrets(declared.plain(__pillar__.get("spice")), _secret)


def _secret(uri):
    try:
        return __salt__["sdb.get"](uri)
    except KeyError:
        # So it goes where a profile names a driver that there is not.
        return None


def _judged(wanted, user, vm, attempt):
    """Return the cell of a trial, unless what the policy says has changed since it began."""
    before, after = (decide.decide(wanted, user, vm, moment).open for moment in (wanted.now, int(time.time())))
    return verdict.cell(before, attempt) if before == after else verdict.undecided(after)


def _enforce(decided, test):
    """Enforce what ``decided`` makes of what is stored; an error says so in the exit code as well."""
    try:
        report = _layers().enforce(decided, test)
    except PolicyError as error:
        raise SaltInvocationError(str(error)) from error
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    if report["errors"]:
        __context__["retcode"] = 1
    return report


def _enforce_policy(changed):
    """Enforce another policy than the one that is stored."""
    return _enforce(lambda stored: replace(stored, policy=changed(_some(stored.policy))), False)


def _temporarily(changed, comment, tag, event):
    """Enforce other loans and locks than those that are stored; tell the master, if there is one."""

    def decided(stored):
        return replace(stored, temporary=changed(stored.temporary, _some(stored.policy), int(time.time())))

    found = _enforce(decided, False)
    sent = bool(found["changes"]) and __salt__["event.send"](tag, event)
    return {**found, "comment": comment, "event": sent}


def _about(user, vm, everything):
    """Return what a lock is about; just one may be named."""
    named = {temporary.USER: user, temporary.VM: vm}
    chosen = [(about, name) for about, name in named.items() if name is not None]
    chosen += [(temporary.ALL, "")] if everything is True else []
    if len(chosen) != 1 or not isinstance(chosen[0][1], str):
        raise SaltInvocationError("name one of user=NAME, vm=NAME and all=True")
    return temporary.Lock(*chosen[0])


def _moment(wanted, at):
    """Return the moment that is asked about."""
    if at is None:
        return wanted.now
    moment = moments.read(at, wanted.policy.time.zone or "UTC")
    if moment is None:
        raise SaltInvocationError(f"at: {shown(at)} is no moment, as 2026-11-24 or 2026-11-24T18:00+01:00")
    return moment


def _layers():
    return Layers(__salt__, CommandExecutionError)


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
