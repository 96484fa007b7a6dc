"""
Questions to the whole fleet: how minions stand, who may open what, who was in, what is lent and locked.

.. versionadded:: 0.1.0

This is a part of the runner ``spice_grant``.

All functions take the same parameters to choose minions: ``tgt``, ``tgt_type``, ``batch``, ``timeout`` and ``quiet``.
Minions that do not answer are named, never left out. On a terminal, progress goes to standard error.
"""

import sys as _sys

# The master's own processes live long: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from typing import TYPE_CHECKING

import salt.cache
import salt.client
import salt.exceptions
import salt.pillar
import salt.utils.minions

# The one error of a runner's that Salt prints as it is, and not with a traceback.
from salt.exceptions import NotImplemented as Refused

from spicegrants.audit import fleet, minion_status
from spicegrants.audit import pending as orders
from spicegrants.audit.live import asking, pending_orders
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.host import terminal
from spicegrants.policy import merge as words
from spicegrants.policy import pillar
from spicegrants.policy.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


@checked(Refused)
def status(tgt="*", tgt_type="glob", batch=None, timeout=None, declared=True, quiet=False):
    """
    Return how each minion stands.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    declared
        Boolean: whether each minion's pillar is compiled here as well, to see whether it enforces what is declared now.
        Defaults to ``True``; it takes the master a moment for each minion.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each minion:

    * ``minion``: id of the minion.
    * ``state``: ``in sync``, ``behind`` (it enforces another policy than its pillar declares now), ``drifted``,
      ``failed``, ``no policy``, ``not answering`` or ``strange answer``.
    * ``policy``: fingerprint of the policy that it enforces; empty without one.
    * ``since``: from when on state and policy are known to hold so; empty where that is not known.
    * ``why``: what is wrong, as far as that is known.

    .. code-block:: json

        {
            "retcode": 1,
            "minions": [
                {
                    "minion": "desk-1",
                    "policy": "3f0c1a9be27d",
                    "since": "",
                    "state": "drifted",
                    "why": "firewall: opens 192.168.2.2 port 20002 to myself"
                }
            ]
        }

    The exit code is 0 only if all minions are ``in sync``. Compiles pillar; changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.status
        salt-run spice_grant.status 'laptop-*' batch=10% declared=False
    """
    expected, answers = _ask("spice_grant.status", (), {}, tgt, tgt_type, batch, timeout, quiet)
    rows = fleet.status(expected, answers, _all_declared(expected, quiet) if declared else {})
    return asking.table(rows, any(row["state"] != minion_status.IN_SYNC for row in rows))


@checked(Refused)
def who(vm, at=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return which users may open a vm, on which minions.

    The minions say it themselves, of what they enforce.

    vm
        Text: name of the vm. Required.

    at
        Text: the moment that is asked about, ISO 8601. Defaults to now.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each access, and one for each minion that did not say. A minion without such an access has none.

    * ``minion``: id of the minion.
    * ``user``: name of the user; empty if the minion did not say.
    * ``vm``: name of the vm; empty if the minion did not say.
    * ``state``: whether it is open at that moment, in words, with the next change; or ``not answering`` or
      ``strange answer``.
    * ``grants``: names of the grants and loans behind it, with reason, owner, ticket and contact where they have them.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "grants": "myself-debianx",
                    "minion": "desk-1",
                    "state": "open",
                    "user": "myself",
                    "vm": "debianx"
                }
            ]
        }

    The exit code is not 0 if a minion did not say. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.who debianx
    """
    return _accesses({"vm": vm}, at, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def what(user, at=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return which vms a user may open, on which minions.

    The minions say it themselves, of what they enforce.

    user
        Text: name of the user. Required.

    at
        Text: the moment that is asked about, ISO 8601. Defaults to now.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each access, and one for each minion that did not say. A minion without such an access has none.

    * ``minion``: id of the minion.
    * ``user``: name of the user; empty if the minion did not say.
    * ``vm``: name of the vm; empty if the minion did not say.
    * ``state``: whether it is open at that moment, in words, with the next change; or ``not answering`` or
      ``strange answer``.
    * ``grants``: names of the grants and loans behind it, with reason, owner, ticket and contact where they have them.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "grants": "anne-books (year-end)",
                    "minion": "desk-1",
                    "state": "open",
                    "user": "anne",
                    "vm": "books"
                }
            ]
        }

    The exit code is not 0 if a minion did not say. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.what anne at=2026-11-24T18:00
    """
    return _accesses({"user": user}, at, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def loans(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return what is lent, on desks and on KVM hosts.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each loan, and one for each minion that did not say. A minion without any has none.

    * ``minion``: id of the minion.
    * ``user``, ``vm``, ``until``, ``left``, ``reason``: as on the minion; empty if it did not say.
    * ``host``: whether the minion holds it as a KVM host.
    * ``state``: ``not answering`` or ``strange answer`` of a minion that did not say, and else empty.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "host": true,
                    "left": "1h30m",
                    "minion": "kvm1",
                    "reason": "year-end",
                    "state": "",
                    "until": "Tue 2026-11-24 18:00 Europe/Berlin",
                    "user": "anne",
                    "vm": "books"
                }
            ]
        }

    The exit code is not 0 if a minion did not say. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.loans
    """
    shown = ("user", "vm", "until", "left", "reason")
    return _held("spice_grant.loans", shown, tgt, tgt_type, batch, timeout, quiet, ())


@checked(Refused)
def locks(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return what is locked, on desks and on KVM hosts.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each lock, and one for each minion that did not say. A minion without any has none.

    * ``minion``: id of the minion.
    * ``about``, ``since``, ``reason``: as on the minion; empty if it did not say.
    * ``host``: whether the minion holds it as a KVM host.
    * ``state``: ``not answering`` or ``strange answer`` of a minion that did not say; ``pending`` for a lock that the
      master keeps for a minion until :func:`deliver`, ``pending: to be unlocked`` for one that is to go; else empty.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "about": "user anne",
                    "host": true,
                    "minion": "kvm1",
                    "reason": "left the company",
                    "since": "Tue 2026-11-24 16:00 Europe/Berlin",
                    "state": ""
                }
            ]
        }

    The exit code is not 0 if a minion did not say, or something is pending. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.locks
    """
    waiting = pending_orders.kept(salt.cache.factory(__opts__))
    return _held("spice_grant.locks", ("about", "since", "reason"), tgt, tgt_type, batch, timeout, quiet, waiting)


@checked(Refused)
def sessions(
    since="7d", user=None, vm=None, open=False, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False
):
    """
    Return who was in which console, from when to when, on all desks; the newest last.

    since
        Text: how far back, as a duration (``7d``, ``2h``) or a moment, ISO 8601. Defaults to ``7d``.

    user
        Text: name of the user. Defaults to everybody.

    vm
        Text: name of the vm. Defaults to all.

    open
        Boolean: whether only to list sessions that are open now. Defaults to ``False``.

    tgt
        Text: which minions, as for ``salt``. Defaults to ``*``: all whose key is accepted.

    tgt_type
        Text: how ``tgt`` names them, as for ``salt``. Defaults to ``glob``.

    batch
        How many minions at a time: a number, or a percentage as ``10%``. Defaults to all at once.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``minions`` in its ``data``. ``minions`` is a list
    with one dict for each session, and one for each minion that did not say. A minion without any has none.

    * ``minion``: id of the minion.
    * ``user``, ``vm``, ``from``, ``until``, ``seconds``, ``sent``, ``received``, ``why``, ``open``: as on the minion;
      empty if it did not say.
    * ``state``: ``not answering`` or ``strange answer`` of a minion that did not say, else empty.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "from": "2026-11-24T08:00:12Z",
                    "minion": "desk-1",
                    "open": false,
                    "received": 90127733,
                    "seconds": 32271,
                    "sent": 181422,
                    "state": "",
                    "until": "2026-11-24T16:58:03Z",
                    "user": "anne",
                    "vm": "books",
                    "why": "the viewer closed"
                }
            ]
        }

    The exit code is not 0 if a minion did not say. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.sessions since=30d user=anne
        salt-run spice_grant.sessions open=True
    """
    asked = _given({"since": since, "user": user, "vm": vm, "open": open})
    expected, answers = _ask("spice_grant.sessions", (), asked, tgt, tgt_type, batch, timeout, quiet)
    rows = fleet.sessions(expected, answers)
    return asking.table(rows, any(row["state"] for row in rows))


def _held(function, shown, *which_and_waiting):
    *which, waiting = which_and_waiting
    expected, answers = _ask(function, (), {}, *which)
    rows = fleet.entries(expected, answers, shown)
    rows += orders.rows(each for each in waiting if each.minion in expected)
    return asking.table(rows, any(row["state"] for row in rows))


def _accesses(desired, at, *which):
    expected, answers = _ask("spice_grant.list", (), {"at": at} if at is not None else {}, *which)
    rows = fleet.accesses(expected, answers, **desired)
    *_, quiet = which
    if not quiet and not any(row["user"] for row in rows):
        print(fleet.nearest(answers, **desired), file=_sys.stderr, flush=True)
    return asking.table(rows, fleet.unknown(rows))


def _all_declared(minions, quiet):
    """Compile the pillars of minions; how far that is shows on a terminal."""
    found: dict[str, fleet.Declared] = {}
    with terminal.live_line(not quiet) as line:
        for minion in minions:
            line.count("pillars compiled", len(found), len(minions))
            found[minion] = _declared(minion)
    return found


def _declared(minion):
    """Compile a minion's pillar as the master does for it, and return what it declares."""
    try:
        data = _master().pillar(minion)
        spice = words.declared(data)
        if "spice" not in data:
            return fleet.Declared(None)
        return fleet.Declared(fingerprint(pillar.parse_policy(spice)))
    except SpiceGrantError as error:
        return fleet.Declared(None, error.sentences)


def _given(asked):
    return {key: value for key, value in asked.items() if value not in (None, False)}


def _master():
    return asking.Master(salt, __opts__)


def _ask(*asked):
    """Run a function on minions; return those it was meant for, and the answers of those that gave one."""
    with translated(Refused):
        return _master().ask(*asked)
