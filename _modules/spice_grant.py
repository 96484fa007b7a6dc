"""
Grants on this machine: plan, apply, grant, revoke and remove them.

.. versionadded:: 0.1.0

A grant lets a user, or the members of a group, open the console of one vm. This module brings the layers together:
``spice_firewall``, ``spice_routing``, ``spice_sudoers`` and ``spice_viewer``. What is enforced is kept on the minion:
all functions but :func:`plan` and :func:`apply` need neither pillar nor master.

Loans and locks, and functions that query and prove (``list``, ``who``, ``explain``, ``verify``), are in files of their
own, because a run does without them. Salt makes one module of all.
"""

import sys as _sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import salt.payload
from salt.exceptions import CommandExecutionError, SaltException
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import name_for
from spicegrants.engine import context, enforcement, last_run, recording, typed_names
from spicegrants.host import run
from spicegrants.policy import merge

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __context__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

_UNTIL_NEXT = (
    "kept over reboots; the next spice_grant.present with exclusive: True (as in state.apply spice) brings back "
    "what pillar declares"
)


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def plan(grants=None, exclusive=True):
    """
    Return what :func:`apply` would change, and change nothing.

    grants
        Dict of grants by name, in the pillar's form. Defaults to the pillar's ``spice:grants``.

    exclusive
        Boolean: whether grants that this minion holds and that are not among them go. Defaults to ``True``.

    Returns a dict with these keys:

    * ``answer``: who would get and who would lose a console, now or at any time to come, and whose hours or console
      change, in one line. It compares the policy that is stored with the one that would be; what drifted, and would be
      repaired, is in ``changes`` only. It is left out where what is stored cannot be read.
    * ``changes``: what would change; empty if everything is as it must be. ``grants`` has the changes of each grant by
      layer, ``layers`` those that belong to no single grant. Layers are ``policy``, ``firewall``, ``routing``, ``sudo``
      and ``viewer``.
    * ``errors``: list of sentences, what would not be enforced, and why. If there is any, the exit code is not 0.
    * ``warnings``: list of sentences, what is worth knowing: what is locked, and what the last run did not say already
      (``spice_grant.status`` has all of it).

    .. code-block:: python

        {
            "answer": "opens 1 console for 1 user (myself: debianx), closes nothing",
            "changes": {
                "grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}},
                "layers": {"firewall": ["guards ports 20001-20010 towards every destination"]},
            },
            "errors": [],
            "warnings": [],
        }

    Reads pillar, the stored policy, accounts, addresses, and what the layers hold.

    Raises CommandExecutionError if the policy is wrong, with all findings, or if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.plan
    """
    return apply(grants, exclusive, test=True)


@checked(CommandExecutionError)
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

    Returns what :func:`plan` returns, of what was changed; ``answer`` only with ``test=True``:

    .. code-block:: python

        {
            "changes": {"grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}}},
            "errors": ["spice:grants:leaver-debianx:user: no user 'leaver' on this machine"],
            "warnings": [],
        }

    Reads what :func:`plan` reads.

    Writes ``/var/lib/spice-grant/state.json`` and what the layers' own ``apply`` write. Records how it ended and what
    it noted, for ``spice_grant.status`` and the next run; no other function does.

    Raises CommandExecutionError if the policy is wrong, with all findings, or if something cannot be read: then nothing
    was changed. If something was taken away before that, it is in ``errors`` instead, and nothing was opened.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.apply
    """
    with last_run.noted(test, (CommandExecutionError,)) as reports:
        with _as_salt_errors():
            run.as_root()
            data = merge.declared(__pillar__)
            # Passwords are asked for when what goes is taken away: who keeps them may be down, or slow.
            bare = merge.without_secrets(data)
            combined = partial(merge.combine, bare, grants, exclusive)
            # Read first, where what is stored has no say: mostly that is the same, and then not read again.
            alone = combined(None) if exclusive else None

        def completed(requested):
            if bare is data:
                return requested
            whole = merge.with_secrets(data, _secret)
            return replace(requested, policy=merge.combine(whole, grants, exclusive, requested.policy))

        reports.append(
            _full_report(
                lambda stored: replace(stored, policy=alone or combined(stored.policy)), test, alone, completed
            )
        )
    return reports[0]


@checked(CommandExecutionError)
def absent(name, test=False):
    """
    Remove one grant of this minion's policy and enforce the rest.

    name
        Text: name of the grant; of one of several vms, ``NAME`` for all of it, or ``NAME/VM``. Required.

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
        policy = stored.policy
        chosen = _named(name, policy.grants if policy else ())
        names = merge.called(policy, chosen) if policy else []
        return replace(stored, policy=merge.without(policy, names)) if names else None

    return _enforce(decided, test)


@checked(CommandExecutionError)
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
    with _as_salt_errors(), _by_caller():
        return enforcement.remove(test)


@checked(CommandExecutionError)
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

    def changed(policy):
        name = typed_names.any_user(user, (), yamlify_arg)
        return merge.with_grant(policy, name, _named(vm, policy.vms), nopasswd, reason)

    return {
        **_enforce_policy(changed),
        "comment": f"{user} is granted {vm}; {_UNTIL_NEXT}.",
    }


@checked(CommandExecutionError)
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

    def changed(policy):
        users = {grant.user for grant in policy.grants.values() if grant.user}
        return merge.without_user(policy, _named(user, users), _named(vm, policy.vms), context.recalled())

    return {
        **_enforce_policy(changed),
        "comment": f"{user} no longer has {vm}; {_UNTIL_NEXT}.",
    }


def _by_caller():
    """Have runs recorded as those of whoever has this job done."""
    return recording.run_by(recording.job(__opts__, salt.payload.loads, SaltException))


def _as_salt_errors():
    """Raise what is wrong with a policy, or with the system, as the errors that Salt has for it."""
    return translated(CommandExecutionError)


def _secret(uri):
    try:
        return __salt__["sdb.get"](uri)
    except KeyError:
        # So it goes where a profile names a driver that there is not.
        return None


def _enforce(decided, test):
    """Enforce what ``decided`` makes of what is stored."""
    return last_run.spoken(_full_report(decided, test))


def _full_report(decided, test, known=None, completed=lambda requested: requested):
    """Enforce likewise; return the report with all notes."""
    with _as_salt_errors(), _by_caller():
        return enforcement.with_exit_code(__context__, enforcement.enforce(decided, test, known, completed))


def _enforce_policy(changed):
    """Enforce another policy than the one that is stored."""
    return _enforce(lambda stored: replace(stored, policy=changed(stored.the_policy)), False)


def _named(word, known):
    """Return the name that a word of the command line stands for, of which Salt may have made a number or so."""
    return name_for(word, known, yamlify_arg)
