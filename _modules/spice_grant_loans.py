"""
Loans and locks: rights that are lent or denied on this machine itself, whatever pillar says: a part of ``spice_grant``.

.. versionadded:: 0.1.0

They hold over highstates and reboots, and need neither pillar nor master. On a KVM host that gives tickets, these
functions do the same there: what is locked gets no ticket.
"""

import contextlib
import sys as _sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import salt.payload
from salt.exceptions import CommandExecutionError, SaltException
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked, has_master
from spicegrants.core.changes import union
from spicegrants.core.errors import Finding, PolicyError, SpiceGrantError, kept, together, translated
from spicegrants.core.reader import name_for, quote
from spicegrants.engine import context, enforcement, last_run, recording, typed_names
from spicegrants.host import accounts
from spicegrants.hypervisor.live import loans as host_loans
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
    * ``host``: whether this machine gives tickets as a KVM host, and so holds it as such, too.
    * ``asks``: id of the minion that gives tickets for the vm, if there is one and it is not this: it has to lend as
      well, as ``salt-run spice_grant.lend`` has it do. ``None`` if not.

    .. code-block:: python

        {
            "changes": {
                "grants": {"loan:anne:books": {"policy": [...], "firewall": [...], "sudo": [...], "viewer": [...]}}
            },
            "errors": [],
            "warnings": [],
            "comment": "books is lent to anne for 2h.",
            "event": True,
            "host": False,
            "asks": None,
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

    report = _enforce(
        changed,
        lambda: host_loans.lend(user, vm, duration, reason, yamlify_arg),
        f"{vm} is lent to {user} for {duration}.",
        "spice_grant/loan",
        {"action": "lend", "user": user, "vm": vm, "duration": duration, "reason": reason},
    )
    return {**report, "asks": _host_of(vm)}


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
            "host": False,
            "asks": None,
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

    report = _enforce(
        changed,
        lambda: host_loans.end_loan(user, vm, yamlify_arg),
        f"{vm} is not lent to {user}.",
        "spice_grant/loan",
        {"action": "end", "user": user, "vm": vm},
    )
    return {**report, "asks": _host_of(vm)}


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

    Returns what :func:`lend` returns, without ``asks``:

    .. code-block:: python

        {
            "changes": {"grants": {...}, "layers": {"policy": ["locks user anne"]}},
            "errors": [],
            "warnings": [],
            "comment": "user anne is locked.",
            "event": True,
            "host": False,
        }

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Reads, writes and raises as :func:`apply`.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.lock user=anne reason='left the company'
        salt '*' spice_grant.lock all=True
    """
    kind, word = _one_of(user, vm, all)

    def changed(stored, now):
        made = _about(stored, kind, word)._replace(reason=reason)
        return loans_locks.lock(stored.temporary, stored.the_policy, _lockable(stored, made.name), now, made)

    words = loans_locks.Lock(kind, word).words
    return _enforce(
        changed,
        lambda: host_loans.lock(kind, word, reason, yamlify_arg),
        f"{words} is locked.",
        "spice_grant/lock",
        {"action": "lock", "about": words, "reason": reason},
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

    Returns what :func:`lend` returns, without ``asks``:

    .. code-block:: python

        {
            "changes": {"grants": {...}, "layers": {"policy": ["unlocks user anne"]}},
            "errors": [],
            "warnings": [],
            "comment": "user anne is unlocked.",
            "event": True,
            "host": False,
        }

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Reads and writes as :func:`apply`.

    Raises as :func:`apply`, and if there is no such user or vm either.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.unlock user=anne
    """
    kind, word = _one_of(user, vm, all)

    def changed(stored, now):
        about = _about(stored, kind, word)
        return loans_locks.unlock(stored.temporary, stored.the_policy, _lockable(stored, about.name), about)

    words = loans_locks.Lock(kind, word).words
    return _enforce(
        changed,
        lambda: host_loans.unlock(kind, word, yamlify_arg),
        f"{words} is unlocked.",
        "spice_grant/lock",
        {"action": "unlock", "about": words},
    )


def _enforce(changed, at_host, comment, tag, event):
    """Enforce other loans and locks than those that are stored; tell the master, if there is one.

    changed
        Returns them, from what is stored on this machine as a desk.

    at_host
        Does the same on this machine as a KVM host.
    """

    def decided(stored):
        return replace(stored, temporary=changed(stored, int(time.time())))

    with _as_salt_errors(), recording.run_by(recording.job(__opts__, salt.payload.loads, SaltException)):
        is_host = host_loans.here()
        # The host's half is the shorter one. What hinders one of them does not hinder the other.
        halves = [at_host] * is_host
        if not is_host or context.exists():
            halves.append(lambda: last_run.spoken(enforcement.enforce(decided, False)))
        report = enforcement.with_exit_code(__context__, _together(halves))
    sent = bool(report["changes"]) and has_master(__opts__) and __salt__["event.send"](tag, event)
    return {**report, "comment": comment, "event": sent, "host": is_host}


def _together(halves):
    """Return the reports of functions as one; raise what hinders them only if none gives any."""
    reports: list[dict[str, Any]] = []
    faults: list[SpiceGrantError] = []
    for half in halves:
        with kept(faults):
            reports.append(half())
    if not reports:
        raise together(faults)
    joined = {key: [each for report in reports for each in report[key]] for key in ("errors", "warnings")}
    joined["errors"] += [sentence for fault in faults for sentence in fault.sentences]
    changes = union(*(report["changes"] for report in reports)) if len(reports) > 1 else reports[0]["changes"]
    return {"changes": changes, **{key: [*dict.fromkeys(found)] for key, found in joined.items()}}


def _host_of(vm):
    """Return the minion that gives tickets for a vm, as far as is known here; ``None`` if none does, or this one."""
    policy = None
    # What cannot be read has hindered the change itself, and was said there.
    with contextlib.suppress(SpiceGrantError):
        policy = context.stored().policy
    found = policy.vms.get(_named(vm, policy.vms)) if policy else None
    minion = policy.servers[found.server].minion if policy and found else None
    return None if minion == __opts__["id"] else minion


def _as_salt_errors():
    """Raise what is wrong with a policy, or with the system, as the errors that Salt has for it."""
    return translated(CommandExecutionError)


def _lockable(stored, user):
    """Return the names of users who may be locked; accounts are asked for only if nothing stored names this one."""
    known = {access.user for access in stored.accesses} | {loan.user for loan in stored.temporary.loans}
    if stored.policy is not None:
        known |= {grant.user for grant in stored.policy.grants.values() if grant.user}
    return known if user in known else known | accounts.uids(user).keys()


def _one_of(user, vm, everything):
    """Return what a lock is about, and the word that names it; just one may be given."""
    chosen = loans_locks.about(user, vm, everything)
    if chosen is None:
        raise CommandExecutionError("name one of user=NAME, vm=NAME and all=True")
    return chosen


def _about(stored, kind, word):
    """Return what a lock is about."""
    name = word
    if not isinstance(word, str):
        locked = {lock.name for lock in stored.temporary.locks if lock.about == kind}
        vms = stored.policy.vms if stored.policy else {}
        name = _named(word, locked | set(vms)) if kind == loans_locks.VM else _user(word, locked)
    if not isinstance(name, str):
        raise PolicyError([Finding(kind, f"no {kind} {quote(name)}")])
    return loans_locks.Lock(kind, name)


def _named(word, known):
    """Return the name that a word of the command line stands for, of which Salt may have made a number or so."""
    return name_for(word, known, yamlify_arg)


def _user(word, also=()):
    """Return the name of a user likewise."""
    return typed_names.any_user(word, also, yamlify_arg)
