"""
Loans and locks: rights that are lent or denied on this machine itself, whatever pillar says: a part of ``spice_grant``.

.. versionadded:: 0.1.0

They hold over highstates and reboots, and need neither pillar nor master.
"""

import sys as _sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import name_for, quote
from spicegrants.engine import context, enforcement, last_run, typed_names
from spicegrants.host import accounts
from spicegrants.policy import loans_locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}
    __context__: dict[str, Any] = {}

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
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

    def changed(stored, now):
        name, console = _user(user), _named(vm, stored.the_policy.vms)
        return loans_locks.lend(
            temporary=stored.temporary,
            policy=stored.the_policy,
            known=accounts.uids(name),
            now=now,
            user=name,
            vm=console,
            duration=duration,
            reason=reason,
            nopasswd=nopasswd,
        )

    return _enforce(
        changed,
        f"{vm} is lent to {user} for {duration}.",
        "spice_grant/loan",
        {"action": "lend", "user": user, "vm": vm, "duration": duration, "reason": reason},
    )


@checked(CommandExecutionError)
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

    Raises as :func:`apply`, and if there is no such loan.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.end_loan anne books
    """

    def changed(stored, now):
        loans = stored.temporary.loans
        console = _named(vm, {*stored.the_policy.vms, *(loan.vm for loan in loans)})
        return loans_locks.end_loan(stored.temporary, _named(user, {loan.user for loan in loans}), console)

    return _enforce(
        changed,
        f"{vm} is not lent to {user}.",
        "spice_grant/loan",
        {"action": "end", "user": user, "vm": vm},
    )


@checked(CommandExecutionError)
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
    return _enforce(
        lambda stored, now: loans_locks.lock(
            stored.temporary, stored.the_policy, _lockable(stored, made.name), now, made
        ),
        f"{about.words} is locked.",
        "spice_grant/lock",
        {"action": "lock", "about": about.words, "reason": reason},
    )


@checked(CommandExecutionError)
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

    Raises as :func:`apply`, and if there is no such user or vm either.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.unlock user=anne
    """
    about = _about(user, vm, all)
    return _enforce(
        lambda stored, now: loans_locks.unlock(
            stored.temporary, stored.the_policy, _lockable(stored, about.name), about
        ),
        f"{about.words} is unlocked.",
        "spice_grant/lock",
        {"action": "unlock", "about": about.words},
    )


def _enforce(changed, comment, tag, event):
    """Enforce other loans and locks than those that are stored; tell the master, if there is one."""

    def decided(stored):
        return replace(stored, temporary=changed(stored, int(time.time())))

    with _as_salt_errors():
        report = last_run.spoken(enforcement.with_exit_code(__context__, enforcement.enforce(decided, False)))
    sent = bool(report["changes"]) and _has_master() and __salt__["event.send"](tag, event)
    return {**report, "comment": comment, "event": sent}


def _as_salt_errors():
    """Raise what is wrong with a policy, or with the system, as the errors that Salt has for it."""
    return translated(CommandExecutionError)


def _has_master():
    """Tell whether there is a master, as Salt does; without a minion's daemon it would look for that for a second."""
    alone = __opts__.get("local") or __opts__.get("file_client") == "local" or __opts__.get("master_type") == "disable"
    return bool(not alone or __opts__.get("use_master_when_local"))


def _lockable(stored, user):
    """Return the names of users who may be locked; accounts are asked for only if nothing stored names this one."""
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
        raise CommandExecutionError("name one of user=NAME, vm=NAME and all=True")
    ((kind, name),) = chosen
    if not isinstance(name, str):
        with _as_salt_errors():
            stored = context.stored()
        locked = {lock.name for lock in stored.temporary.locks if lock.about == kind}
        vms = stored.policy.vms if stored.policy else {}
        name = _named(name, locked | set(vms)) if kind == loans_locks.VM else _user(name, locked)
    if not isinstance(name, str):
        raise CommandExecutionError(f"no {kind} {quote(name)}")
    return loans_locks.Lock(kind, name)


def _named(word, known):
    """Return the name that a word of the command line stands for, of which Salt may have made a number or so."""
    return name_for(word, known, yamlify_arg)


def _user(word, also=()):
    """Return the name of a user likewise."""
    return typed_names.any_user(word, also, yamlify_arg)
