"""
Grants on this machine: declare, apply, lend, lock and remove them.

.. versionadded:: 0.1.0

A grant lets a user, or the members of a group, open the console of one vm. This module brings the layers together:
``spice_firewall``, ``spice_routing``, ``spice_sudoers`` and ``spice_viewer``. What is enforced is kept on the minion:
all functions but :func:`plan` and :func:`apply` need neither pillar nor master.

Functions that query and prove (``list``, ``who``, ``explain``, ``verify``) are in a file of their own, because a run
does without them. Salt makes one module of both.
"""

import sys as _sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError, SaltInvocationError
from salt.utils.args import yamlify_arg

from spicegrants.core.errors import SystemFault, translated
from spicegrants.core.reader import meant, shown
from spicegrants.engine import context, enforcement, last_run
from spicegrants.host import accounts, run
from spicegrants.policy import loans_locks, merge

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}
    __context__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

_UNTIL_NEXT = (
    "kept over reboots; the next spice_grant.present with exclusive: True (as in state.apply spice) brings back "
    "what pillar declares"
)


def __virtual__():
    return __virtualname__


def plan(grants=None, exclusive=True):
    """
    Return what :func:`apply` would change, and change nothing.

    grants
        Dict of grants by name, in the pillar's form. Defaults to the pillar's ``spice:grants``.

    exclusive
        Boolean: whether grants that this minion holds and that are not among them go. Defaults to ``True``.

    Returns a dict with these keys:

    * ``changes``: what would change; empty if everything is as it must be. ``grants`` has the changes of each grant by
      layer, ``layers`` those that belong to no single grant. Layers are ``policy``, ``firewall``, ``routing``, ``sudo``
      and ``viewer``.
    * ``errors``: list of sentences, what would not be enforced, and why. If there is any, the exit code is not 0.
    * ``warnings``: list of sentences, what is worth knowing.

    .. code-block:: python

        {
            "changes": {
                "grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}},
                "layers": {"firewall": ["guards ports 20001-20010 towards every destination"]},
            },
            "errors": [],
            "warnings": [],
        }

    Reads pillar, the stored policy, accounts, addresses, and what the layers hold.

    Raises SaltInvocationError with all findings if the policy is wrong, CommandExecutionError if something cannot be
    read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.plan
    """
    return apply(grants, exclusive, test=True)


def apply(grants=None, exclusive=True, test=False):
    """
    Enforce the policy that pillar declares.

    What a run takes away goes first. A grant that cannot be enforced (its user left, say) is in ``errors`` and costs
    nobody else anything.

    grants
        Dict of grants by name, in the pillar's form. Defaults to the pillar's ``spice:grants``. Servers, vms, viewer
        and firewall always come from pillar.

    exclusive
        Boolean: whether grants that this minion holds and that are not among them go. Defaults to ``True``.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns, of what was changed:

    .. code-block:: python

        {
            "changes": {"grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}}},
            "errors": ["spice:grants:leaver-debianx:user: no user 'leaver' on this machine"],
            "warnings": [],
        }

    Reads what :func:`plan` reads.

    Writes ``/var/lib/spice-grant/state.json`` and what the layers' own ``apply`` write. Records how it ended, for
    ``spice_grant.status``; no other function does.

    Raises SaltInvocationError with all findings if the policy is wrong, CommandExecutionError if something cannot be
    read: then nothing was changed. If something was taken away before that, it is in ``errors`` instead, and nothing
    was opened.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.apply
    """
    with last_run.noted(test, (CommandExecutionError, SaltInvocationError)) as reports:
        with _said_as_salt_does():
            run.as_root()
            data = merge.plain(__pillar__.get("spice"))
            # Passwords are asked for when what goes is taken away: who keeps them may be down, or slow.
            bare = merge.without_secrets(data)
            wished = partial(merge.combine, bare, grants, exclusive)
            # Read first, where what is stored has no say: mostly that is the same, and then not read again.
            alone = wished(None) if exclusive else None

        def completed(asked):
            if bare is data:
                return asked
            whole = merge.with_secrets(data, _secret)
            return replace(asked, policy=merge.combine(whole, grants, exclusive, asked.policy))

        reports.append(
            _enforce(lambda stored: replace(stored, policy=alone or wished(stored.policy)), test, alone, completed)
        )
    return reports[0]


def absent(name, test=False):
    """
    Remove one grant of this minion's policy and enforce the rest.

    name
        Text: name of the grant. Required.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns. Nothing changes if there is no such grant, or no policy yet:

    .. code-block:: python

        {"changes": {}, "errors": [], "warnings": []}

    Reads, writes and raises as :func:`apply`, but needs no pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.absent myself-debianx
    """

    def decided(stored):
        held = stored.policy
        chosen = _named(name, held.grants if held else ())
        if held is None or chosen not in held.grants:
            return None
        return replace(stored, policy=merge.without(held, [chosen]))

    return _enforce(decided, test)


def remove(test=False):
    """
    Take everything away: rules, sudoers file, viewer's restriction, group, units, files, and what is stored.

    The guard goes last: until then nobody reaches a console that was not granted.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what :func:`plan` returns; ``errors`` names what is left:

    .. code-block:: python

        {
            "changes": {"layers": {"policy": ["forgets the policy"], "sudo": ["removes /etc/sudoers.d/spice-grant"]}},
            "errors": [],
            "warnings": [],
        }

    Removes what the layers' own ``apply`` write, and ``/var/lib/spice-grant``.

    Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.remove
    """
    with _said_as_salt_does():
        return enforcement.remove(test)


def grant(user, vm, nopasswd=False, reason=None):
    """
    Let a user open a console, at once and in all layers, without pillar.

    The grant is named ``USER-VM`` and kept over reboots. The next ``spice_grant.present`` with ``exclusive: True``
    brings back what pillar declares. The user's own grant of that name is replaced; if another grant has the name, a
    number makes it a new one.

    user
        Text: name of the user. Required.

    vm
        Text: name of a vm of the policy that is stored on this minion. Required.

    nopasswd
        Boolean: whether sudo asks for no password. Defaults to ``False``: it asks for the user's own.

    reason
        Text: one line that is shown with the grant. Defaults to none.

    Returns what :func:`plan` returns, and a ``comment`` that says how long it holds:

    .. code-block:: python

        {
            "changes": {"grants": {"myself-leaptest": {"firewall": ["opens 192.168.2.2 port 20004 to myself"]}}},
            "errors": [],
            "warnings": [],
            "comment": "myself is granted leaptest; kept over reboots; ...",
        }

    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.grant myself leaptest
    """
    return {
        **_enforce_policy(lambda held: merge.with_grant(held, _user(user), _named(vm, held.vms), nopasswd, reason)),
        "comment": f"{user} is granted {vm}; {_UNTIL_NEXT}.",
    }


def revoke(user, vm):
    """
    Take a console away from a user, at once and in all layers, without pillar.

    It lasts until the next ``spice_grant.present`` with ``exclusive: True``, which brings back what pillar declares. A
    user who has the console through a group keeps it: that is an error, which names the grant.

    user
        Text: name of the user. Required.

    vm
        Text: name of the vm. Required.

    Returns what :func:`plan` returns, and a ``comment`` that says how long it holds:

    .. code-block:: python

        {
            "changes": {"grants": {"myself-debianx": {"firewall": ["closes 192.168.2.2 port 20002 to myself"]}}},
            "errors": [],
            "warnings": [],
            "comment": "myself no longer has debianx; kept over reboots; ...",
        }

    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.revoke myself debianx
    """

    def changed(held):
        named = {grant.user for grant in held.grants.values() if grant.user}
        return merge.without_user(held, _named(user, named), _named(vm, held.vms), context.recalled())

    return {
        **_enforce_policy(changed),
        "comment": f"{user} no longer has {vm}; {_UNTIL_NEXT}.",
    }


def lend(user, vm, duration, reason=None, nopasswd=False):
    """
    Let a user open a console for some time, at once and in all layers, whatever pillar says.

    The end is in the rules themselves: nothing has to run for it. A loan holds over highstates and reboots. It replaces
    one of the same user and vm. It needs neither pillar nor master.

    user
        Text: name of the user. Required.

    vm
        Text: name of a vm of the policy that is stored on this minion. Required.

    duration
        Text: how long, in days, hours, minutes and seconds, as ``2h`` or ``1h30m``. At most pillar's
        ``spice:time:longest_loan``, which defaults to ``8h``. Required.

    reason
        Text: one line that is shown with the loan. Defaults to none.

    nopasswd
        Boolean: whether sudo asks for no password. Defaults to ``False``: it asks for the user's own.

    Returns what :func:`plan` returns, and:

    * ``comment``: what was done, in a sentence.
    * ``event``: whether Salt took the event to send it. A master that is down does not hear of it. Nothing is sent if
      nothing changes.

    .. code-block:: python

        {
            "changes": {
                "grants": {"loan:anne:books": {"policy": [...], "firewall": [...], "sudo": [...], "viewer": [...]}}
            },
            "errors": [],
            "warnings": [],
            "comment": "books is lent to anne for 2h.",
            "event": True,
        }

    Sends the event ``spice_grant/loan`` to the master, where there is one.

    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.lend anne books 2h reason='year-end'
    """

    def changed(held, policy, now):
        name, console = _user(user), _named(vm, policy.vms)
        return loans_locks.lend(
            held=held,
            policy=policy,
            known=accounts.uids(name),
            now=now,
            user=name,
            vm=console,
            duration=duration,
            reason=reason,
            nopasswd=nopasswd,
        )

    return _temporarily(
        changed,
        f"{vm} is lent to {user} for {duration}.",
        "spice_grant/loan",
        {"action": "lend", "user": user, "vm": vm, "duration": duration, "reason": reason},
    )


def end_loan(user, vm):
    """
    End a loan before its time.

    Open sessions end at once, unless a grant holds as well.

    user
        Text: name of the loan's user. Required.

    vm
        Text: name of the loan's vm. Required.

    Returns what :func:`lend` returns:

    .. code-block:: python

        {
            "changes": {
                "grants": {"loan:anne:books": {"policy": ["ends the loan of books to anne"], "sudo": [...]}}
            },
            "errors": [],
            "warnings": [],
            "comment": "books is not lent to anne.",
            "event": True,
        }

    Sends the event ``spice_grant/loan`` to the master, where there is one.

    Reads and writes as :func:`apply`.

    Raises as :func:`apply`, and SaltInvocationError if there is no such loan.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.end_loan anne books
    """

    def changed(held, policy, now):
        console = _named(vm, {*policy.vms, *(loan.vm for loan in held.loans)})
        return loans_locks.end_loan(held, _named(user, {loan.user for loan in held.loans}), console)

    return _temporarily(
        changed,
        f"{vm} is not lent to {user}.",
        "spice_grant/loan",
        {"action": "end", "user": user, "vm": vm},
    )


def lock(user=None, vm=None, all=False, reason=None):
    """
    Deny consoles at once and in all layers, whatever grants and loans say, until :func:`unlock`.

    Live sessions are cut at once, also those that could go on after their grant's end. A lock holds over highstates and
    reboots. It needs neither pillar nor master. Exactly one of ``user``, ``vm`` and ``all`` must be given.

    user
        Text: name of a user who may open nothing. Defaults to none.

    vm
        Text: name of a vm that nobody may open. Defaults to none.

    all
        Boolean: whether nobody may open anything. Defaults to ``False``.

    reason
        Text: one line that is shown with the lock. Defaults to none.

    Returns what :func:`lend` returns:

    .. code-block:: python

        {
            "changes": {"grants": {...}, "layers": {"policy": ["locks user anne"]}},
            "errors": [],
            "warnings": [],
            "comment": "user anne is locked.",
            "event": True,
        }

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.lock user=anne reason='left the company'
        salt '*' spice_grant.lock all=True
    """
    about = _about(user, vm, all)
    made = about._replace(reason=reason)
    return _temporarily(
        lambda held, policy, now: loans_locks.lock(held, policy, _lockable(made.name), now, made),
        f"{about.words} is locked.",
        "spice_grant/lock",
        {"action": "lock", "about": about.words, "reason": reason},
    )


def unlock(user=None, vm=None, all=False):
    """
    Take a lock away, so that grants and loans hold again.

    Nothing changes if there is no such lock. Exactly one of ``user``, ``vm`` and ``all`` must be given.

    user
        Text: name of the user who was locked. Defaults to none.

    vm
        Text: name of the vm that was locked. Defaults to none.

    all
        Boolean: whether the lock of everything goes. It takes away no other lock. Defaults to ``False``.

    Returns what :func:`lend` returns:

    .. code-block:: python

        {
            "changes": {"grants": {...}, "layers": {"policy": ["unlocks user anne"]}},
            "errors": [],
            "warnings": [],
            "comment": "user anne is unlocked.",
            "event": True,
        }

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Reads and writes as :func:`apply`.

    Raises as :func:`apply`, and SaltInvocationError if there is no such user or vm either.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.unlock user=anne
    """
    about = _about(user, vm, all)
    return _temporarily(
        lambda held, policy, now: loans_locks.unlock(held, policy, _lockable(about.name), about),
        f"{about.words} is unlocked.",
        "spice_grant/lock",
        {"action": "unlock", "about": about.words},
    )


def _said_as_salt_does():
    """Raise what is wrong with a policy, or with the system, as the errors that Salt has for it."""
    return translated(CommandExecutionError, SaltInvocationError)


def _secret(uri):
    try:
        return __salt__["sdb.get"](uri)
    except KeyError:
        # So it goes where a profile names a driver that there is not.
        return None


def _enforce(decided, test, known=None, completed=lambda asked: asked):
    """Enforce what ``decided`` makes of what is stored; an error says so in the exit code as well."""
    with _said_as_salt_does():
        report = enforcement.enforce(decided, test, known, completed)
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
    sent = bool(found["changes"]) and _has_master() and __salt__["event.send"](tag, event)
    return {**found, "comment": comment, "event": sent}


def _has_master():
    """Tell whether there is a master, as Salt does; without a minion's daemon it would look for that for a second."""
    alone = __opts__.get("local") or __opts__.get("file_client") == "local" or __opts__.get("master_type") == "disable"
    return bool(not alone or __opts__.get("use_master_when_local"))


def _lockable(user):
    """Return the names of users who may be locked; accounts are asked for only if nothing stored names this one."""
    stored = context.stored()
    known = {access.user for access in stored.accesses} | {loan.user for loan in stored.temporary.loans}
    if stored.policy is not None:
        known |= {grant.user for grant in stored.policy.grants.values() if grant.user}
    return known if user in known else known | accounts.uids(user).keys()


def _about(user, vm, everything):
    """Return what a lock is about; just one may be named."""
    named = {loans_locks.USER: user, loans_locks.VM: vm}
    chosen = [(about, name) for about, name in named.items() if name is not None]
    chosen += [(loans_locks.ALL, "")] if everything is True else []
    if len(chosen) != 1:
        raise SaltInvocationError("name one of user=NAME, vm=NAME and all=True")
    ((kind, name),) = chosen
    if not isinstance(name, str):
        with _said_as_salt_does():
            stored = context.stored()
        locked = {lock.name for lock in stored.temporary.locks if lock.about == kind}
        vms = stored.policy.vms if stored.policy else {}
        name = _named(name, locked | set(vms)) if kind == loans_locks.VM else _user(name, locked)
    if not isinstance(name, str):
        raise SaltInvocationError(f"no {kind} {shown(name)}")
    return loans_locks.Lock(kind, name)


def _named(word, known):
    """Return the name that a word of the command line stands for, of which Salt may have made a number or so."""
    return meant(word, known, yamlify_arg)


def _user(word, also=()):
    """Return the name of a user likewise; accounts are asked for only if it is no text."""
    return word if isinstance(word, str) else _named(word, {*also, *accounts.uids(None)})


def _some(policy):
    if policy is None:
        raise SystemFault("no policy has been applied on this minion yet: run state.apply spice")
    return policy
