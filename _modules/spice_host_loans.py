"""
Loans and locks of a KVM host: rights to tickets that are lent or denied there, whatever pillar says: a part of
``spice_host``.

.. versionadded:: 0.2.0

They hold over highstates and reboots, and need neither pillar nor master, nor libvirt. ``spice_grant.lock`` and the
like do the same on a minion that is a KVM host; these do nothing else.
"""

import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked, has_master
from spicegrants.core.errors import translated
from spicegrants.engine import enforcement, host_status
from spicegrants.hypervisor.live import loans as host_loans
from spicegrants.policy import loans_locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}
    __context__: dict[str, Any] = {}

__virtualname__ = "spice_host"
__outputter__ = dict.fromkeys(("loans", "locks"), "spice_grant")


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def lend(user, vm, duration, reason=None):
    """
    Give a user tickets for a console for some time, whatever pillar says.

    A loan holds over highstates and reboots. It replaces one of the same user and vm. The desk has to lend as well:
    ``salt-run spice_grant.lend`` has both do so.

    user
        Text: name of the user. It need not be an account of this host: a grant may name it, or it may be a member of a
        group that has one. Required.

    vm
        Text: name of a vm whose tickets this host gives. Required.

    duration
        Text: how long, in days, hours, minutes and seconds, as ``2h`` or ``1h30m``. At most pillar's
        ``spice:time:longest_loan``, which defaults to ``8h``. Required.

    reason
        Text: one line that is shown with the loan. Defaults to none.

    Returns what :func:`apply` returns, and:

    * ``comment``: what was done, in a sentence.
    * ``event``: whether Salt took the event to send it. Nothing is sent if nothing changes.

    .. code-block:: python

        {
            "changes": {"grants": {"loan:anne:books": {"policy": ["lends books to anne until ..."]}}},
            "errors": [],
            "warnings": [],
            "comment": "books is lent to anne for 2h.",
            "event": True,
        }

    Sends the event ``spice_grant/loan`` to the master, where there is one.

    Writes ``/var/lib/spice-host/state.json``.

    Raises CommandExecutionError if something of it is wrong, with all findings, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.lend anne books 2h reason='year-end'
    """
    return _told(
        lambda: host_loans.lend(user, vm, duration, reason, yamlify_arg),
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
            "changes": {"grants": {"loan:anne:books": {"policy": ["ends the loan of books to anne"]}}},
            "errors": [],
            "warnings": [],
            "comment": "books is not lent to anne.",
            "event": True,
        }

    Sends the event ``spice_grant/loan`` to the master, where there is one.

    Writes ``/var/lib/spice-host/state.json``.

    Runs ``nft`` and ``ss``, and ``virsh`` where one of these fails.

    Raises CommandExecutionError if there is no such loan, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.end_loan anne books
    """
    return _told(
        lambda: host_loans.end_loan(user, vm, yamlify_arg),
        f"{vm} is not lent to {user}.",
        "spice_grant/loan",
        {"action": "end", "user": user, "vm": vm},
    )


@checked(CommandExecutionError)
def lock(user=None, vm=None, all=False, reason=None):
    """
    Give no tickets, whatever grants and loans say, until :func:`unlock`.

    Open sessions end at once, also those that could go on after their grant's end. First the lock is stored, so that no
    further ticket is given; then the sessions' ports are shut, and their connections ended. Libvirt need not answer.
    A lock holds over highstates and reboots. Exactly one of ``user``, ``vm`` and ``all`` must be given.

    user
        Text: name of a user who gets no tickets. Defaults to none.

    vm
        Text: name of a vm for which nobody gets one. Defaults to none.

    all
        Boolean: whether nobody gets any. Defaults to ``False``.

    reason
        Text: one line that is shown with the lock. Defaults to none.

    Returns what :func:`lend` returns:

    .. code-block:: python

        {
            "changes": {
                "layers": {"policy": ["locks user anne"], "firewall": ["ends what anne has open at desk-1: books"]}
            },
            "errors": [],
            "warnings": ["user anne is locked (left the company), until spice_grant.unlock"],
            "comment": "user anne is locked.",
            "event": True,
        }

    ``errors`` says what hindered it: one way of ending sessions hinders no other. If what is stored cannot be read, all
    that is open closes, and ``errors`` says so.

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Writes ``/var/lib/spice-host/state.json``.

    Runs ``nft`` and ``ss``, and ``virsh`` where one of these fails.

    Raises CommandExecutionError if there is no such user or vm, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.lock user=anne reason='left the company'
        salt 'kvm1' spice_host.lock all=True
    """
    kind, name = _about(user, vm, all)
    return _told(
        lambda: host_loans.lock(kind, name, reason, yamlify_arg),
        f"{_words(kind, name)} is locked.",
        "spice_grant/lock",
        {"action": "lock", "about": _words(kind, name), "reason": reason},
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
            "changes": {"layers": {"policy": ["unlocks user anne"]}},
            "errors": [],
            "warnings": [],
            "comment": "user anne is unlocked.",
            "event": True,
        }

    Sends the event ``spice_grant/lock`` to the master, where there is one.

    Writes ``/var/lib/spice-host/state.json``.

    Raises CommandExecutionError if there is no such user or vm either, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.unlock user=anne
    """
    kind, name = _about(user, vm, all)
    return _told(
        lambda: host_loans.unlock(kind, name, yamlify_arg),
        f"{_words(kind, name)} is unlocked.",
        "spice_grant/lock",
        {"action": "unlock", "about": _words(kind, name)},
    )


@checked(CommandExecutionError)
def loans():
    """
    Return the loans of this host that have not ended.

    Each dict of the list has these keys:

    * ``user``: name of the user.
    * ``vm``: name of the vm.
    * ``from``: when it began, in the policy's zone.
    * ``until``: when it ends, in the policy's zone.
    * ``left``: how long it still goes on.
    * ``locked``: whether a lock denies it.
    * ``reason``: why; only if one was given.

    .. code-block:: python

        [
            {
                "user": "anne",
                "vm": "books",
                "from": "Tue 2026-11-24 16:00 Europe/Berlin",
                "until": "Tue 2026-11-24 18:00 Europe/Berlin",
                "left": "1h30m",
                "locked": False,
                "reason": "year-end",
            }
        ]

    Reads ``/var/lib/spice-host/state.json``.

    Raises CommandExecutionError if that cannot be read, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.loans
    """
    with translated(CommandExecutionError):
        return host_status.loans()


@checked(CommandExecutionError)
def locks():
    """
    Return the locks of this host.

    Each dict of the list has these keys:

    * ``about``: what is locked: ``user NAME``, ``vm NAME`` or ``everything``.
    * ``since``: when it was locked, in the policy's zone.
    * ``reason``: why; only if one was given.

    .. code-block:: python

        [{"about": "user anne", "since": "Tue 2026-11-24 16:00 Europe/Berlin", "reason": "left the company"}]

    Reads ``/var/lib/spice-host/state.json``.

    Raises CommandExecutionError if that cannot be read, or if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.locks
    """
    with translated(CommandExecutionError):
        return host_status.locks()


def _told(change, comment, tag, event):
    """Make a change of loans or locks; tell the master, if there is one."""
    with translated(CommandExecutionError):
        report = enforcement.with_exit_code(__context__, change())
    sent = bool(report["changes"]) and has_master(__opts__) and __salt__["event.send"](tag, event)
    return {**report, "comment": comment, "event": sent}


def _about(user, vm, everything):
    """Return what a lock is about, and the name; just one may be given."""
    chosen = loans_locks.about(user, vm, everything)
    if chosen is None:
        raise CommandExecutionError("name one of user=NAME, vm=NAME and all=True")
    return chosen


def _words(kind, name):
    return loans_locks.Lock(kind, name).words
