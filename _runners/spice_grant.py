"""
Changes of the whole fleet, from the master: runs, locks and loans.

.. versionadded:: 0.1.0

All functions take the same parameters to choose minions: ``tgt``, ``tgt_type``, ``batch``, ``timeout`` and ``quiet``.
Minions that do not answer are named, never left out. On a terminal, progress goes to standard error.
"""

import sys as _sys

# The master's own processes live long: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import time
from typing import TYPE_CHECKING

import salt.cache
import salt.client
import salt.exceptions
import salt.pillar
import salt.utils.minions

# The one error of a runner's that Salt prints as it is, and not with a traceback.
from salt.exceptions import NotImplemented as Refused

from spicegrants.audit import fleet
from spicegrants.audit import pending as orders
from spicegrants.audit.live import asking, pending_orders
from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.policy import merge as words

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
def plan(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return what ``state.apply spice`` would change on each minion, and what is wrong.

    The pillar is compiled anew for it.

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
    with one dict for each minion:

    * ``minion``: id of the minion.
    * ``result``: ``succeeded`` (nothing would change), ``would change``, ``failed`` (the run would fail) or ``not
      answering``.
    * ``changes``: what would change, in words.
    * ``why``: what is wrong, as far as that is known.

    .. code-block:: json

        {
            "retcode": 1,
            "minions": [
                {
                    "changes": "firewall: opens 192.168.2.2 port 20002 to myself",
                    "minion": "desk-1",
                    "result": "would change",
                    "why": ""
                }
            ]
        }

    The exit code is 0 only if all minions ``succeeded``. Changes nothing.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.plan
    """
    return _apply(True, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def follow(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Have minions enforce what is in git now: fetch, then ``state.apply spice``.

    This is what a hook or a reactor calls after a push. It fetches the repositories of git_pillar and of the
    fileserver, those of them that the master has. If one cannot be fetched, nothing is applied.

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
    with one dict for each minion:

    * ``minion``: id of the minion.
    * ``result``: ``succeeded``, ``failed`` or ``not answering``.
    * ``changes``: what was changed, in words.
    * ``why``: what is wrong, as far as that is known.

    .. code-block:: json

        {
            "retcode": 0,
            "minions": [
                {
                    "changes": "firewall: opens 192.168.2.2 port 20002 to myself",
                    "minion": "desk-1",
                    "result": "succeeded",
                    "why": ""
                }
            ]
        }

    If a repository could not be fetched, ``data`` has ``retcode`` and ``errors`` instead, a list of sentences:

    .. code-block:: json

        {"retcode": 1, "errors": ["fileserver: could not be updated"]}

    The exit code is 0 only if all repositories were fetched and all minions ``succeeded``.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.follow
    """
    wrong = _fetch()
    if wrong:
        return asking.shown({"retcode": 1, "errors": wrong})
    return _apply(False, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def lock(user=None, vm=None, all=False, reason=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Deny consoles everywhere at once, whatever grants and loans say, until :func:`unlock`.

    Desks and KVM hosts alike: a minion that gives tickets gives none then, and ends open sessions, whatever becomes of
    the desk. Exactly one of ``user``, ``vm`` and ``all`` must be given.

    user
        Text: name of a user who may open nothing. Defaults to none.

    vm
        Text: name of a vm that nobody may open. Defaults to none.

    all
        Boolean: whether nobody may open anything. Defaults to ``False``.

    reason
        Text: one line that is shown with the lock. Defaults to none.

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

    Returns a dict for our outputter; its ``data`` has these keys:

    * ``retcode``: 0 if all minions have confirmed, 1 if not.
    * ``confirmed``: list of the minions on which it holds.
    * ``failed``: dict of the minions on which it failed, each with the reason.
    * ``not confirmed``: list of the minions that did not answer. As far as is known it does not hold there. The master
      keeps it for them: :func:`deliver` gives it to them when they are back, and :func:`locks` shows it until then.
    * ``hosts``: list of those of the confirmed on which it holds as KVM hosts.

    .. code-block:: json

        {"retcode": 1, "confirmed": ["desk-1", "kvm1"], "failed": {}, "not confirmed": ["laptop-1"], "hosts": ["kvm1"]}

    The exit code is 0 only if all minions have confirmed.

    Fails, and says why in one line, if not exactly one of ``user``, ``vm`` and ``all`` is given, if no minion with an
    accepted key matches, or if ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.lock user=anne reason='left the company'
    """
    asked = {"user": user, "vm": vm, "all": all, "reason": reason}
    return _locked(orders.LOCK, asked, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def unlock(user=None, vm=None, all=False, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Take a lock away everywhere, so that grants and loans hold again.

    Exactly one of ``user``, ``vm`` and ``all`` must be given.

    user
        Text: name of the user who was locked. Defaults to none.

    vm
        Text: name of the vm that was locked. Defaults to none.

    all
        Boolean: whether the lock of everything goes. It takes away no other lock. Defaults to ``False``.

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

    Returns what :func:`lock` returns; a minion without such a lock confirms as well:

    .. code-block:: json

        {"retcode": 0, "confirmed": ["desk-1", "kvm1"], "failed": {}, "not confirmed": [], "hosts": ["kvm1"]}

    Fails as :func:`lock`.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.unlock user=anne
    """
    asked = {"user": user, "vm": vm, "all": all}
    return _locked(orders.UNLOCK, asked, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def deliver(minion=None, timeout=None, quiet=False):
    """
    Give minions the locks that they missed, and take those away that they have to lose.

    The reactor of ``etc/master.d/spice-grant-locks.conf`` calls it for each minion that starts.

    minion
        Text: id of the one minion. Defaults to all for which something is kept.

    timeout
        Number of seconds to wait before minions are asked whether they are still at work. Defaults to the master's
        ``timeout``.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter; its ``data`` has these keys:

    * ``retcode``: 0 if nothing is kept any more, 1 if anything is.
    * ``delivered``: dict by minion of lists: what it has been given, as ``lock user anne``.
    * ``failed``: dict by minion of lists, with the reasons. It is kept, and tried again.
    * ``pending``: dict by minion of lists: what is kept for minions that did not answer.

    .. code-block:: json

        {"retcode": 0, "delivered": {"laptop-1": ["lock user anne"]}, "failed": {}, "pending": {}}

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.deliver
    """
    cache = salt.cache.factory(__opts__)
    waiting = [each for each in pending_orders.kept(cache) if minion in (None, each.minion)]
    accepted = _master().matching("*", "glob")
    found: dict[str, dict[str, list[str]]] = {"delivered": {}, "failed": {}, "pending": {}}
    for order, same in orders.together(waiting):
        names = sorted({each.minion for each in same} & accepted)
        answers = _ask(order.function, (), order.given, names, "list", None, timeout, quiet)[1] if names else {}
        told = fleet.confirmations({each.minion for each in same}, answers)
        words = f"{order.function.rpartition('.')[2]} {order.lock.words}"
        for each in same:
            if each.minion in told["confirmed"]:
                cache.flush(pending_orders.BANK, each.key)
                found["delivered"].setdefault(each.minion, []).append(words)
            elif each.minion in told["failed"]:
                found["failed"].setdefault(each.minion, []).append(f"{words}: {told['failed'][each.minion]}")
            else:
                found["pending"].setdefault(each.minion, []).append(words)
    return asking.shown({"retcode": int(bool(found["failed"] or found["pending"])), **found})


@checked(Refused)
def lend(
    user,
    vm,
    duration,
    reason=None,
    nopasswd=False,
    tgt="*",
    tgt_type="glob",
    batch=None,
    timeout=None,
    quiet=False,
):
    """
    Let a user open a console for some time: on desks, and on the KVM host that gives its tickets.

    First the desks lend it. Then so does the host that they name, whether ``tgt`` covers it or not.

    user
        Text: name of the user. Required.

    vm
        Text: name of the vm. Required.

    duration
        Text: how long, in days, hours, minutes and seconds, as ``2h`` or ``1h30m``. Required.

    reason
        Text: one line that is shown with the loan. Defaults to none.

    nopasswd
        Boolean: whether sudo asks for no password. Defaults to ``False``.

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

    Returns what :func:`lock` returns:

    .. code-block:: json

        {"retcode": 0, "confirmed": ["desk-1", "kvm1"], "failed": {}, "not confirmed": [], "hosts": ["kvm1"]}

    The exit code is only 0 if all minions have confirmed, the host as well.

    Fails, and says why in one line, if no minion with an accepted key matches, or ``batch`` is wrong.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.lend anne books 2h reason='year-end' tgt=desk-1
    """
    asked = {"user": user, "vm": vm, "duration": duration, "reason": reason, "nopasswd": nopasswd}
    return _with_hosts("spice_grant.lend", asked, tgt, tgt_type, batch, timeout, quiet)


@checked(Refused)
def end_loan(user, vm, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    End a loan before its time: on desks, and on the KVM host that gives the console's tickets.

    user
        Text: name of the loan's user. Required.

    vm
        Text: name of the loan's vm. Required.

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

    Returns what :func:`lock` returns; on a minion without such a loan it fails:

    .. code-block:: json

        {"retcode": 0, "confirmed": ["desk-1", "kvm1"], "failed": {}, "not confirmed": [], "hosts": ["kvm1"]}

    Fails as :func:`lend`.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.end_loan anne books tgt=desk-1
    """
    return _with_hosts("spice_grant.end_loan", {"user": user, "vm": vm}, tgt, tgt_type, batch, timeout, quiet)


def _apply(test, *which):
    expected, answers = _ask("state.apply", ("spice",), {"test": test, "queue": _PATIENCE}, *which)
    rows = fleet.runs(expected, answers, words.sentences)
    return asking.table(rows, any(row["result"] != fleet.SUCCEEDED for row in rows))


def _locked(function, asked, *which):
    if [asked["user"] is not None, asked["vm"] is not None, asked["all"] is True].count(True) != 1:
        raise Refused("name one of user=NAME, vm=NAME and all=True")
    given = _given(asked)
    expected, answers = _ask(function, (), given, *which)
    told, cache = fleet.confirmations(expected, answers), salt.cache.factory(__opts__)
    for minion in expected:
        order = orders.Order(minion, function, given, int(time.time()))
        # Of the same lock the last word counts, also where a minion refuses it: then it is tried again.
        if minion in told["confirmed"]:
            cache.flush(pending_orders.BANK, order.key)
        elif minion not in answers or cache.contains(pending_orders.BANK, order.key):
            cache.store(pending_orders.BANK, order.key, list(order))
    return _confirmations(expected, answers)


def _with_hosts(function, asked, *which):
    """Have minions do something, and then the KVM hosts that they name."""
    expected, answers = _ask(function, (), _given(asked), *which)
    hosts = fleet.hosts_named(answers) - expected
    known = _master().matching("*", "glob")
    if hosts & known:
        *_, timeout, quiet = which
        answers.update(_ask(function, (), _given(asked), sorted(hosts & known), "list", None, timeout, quiet)[1])
    for name in hosts - known:
        answers[name] = fleet.Answer(f"no minion with an accepted key is called {name!r}", 1)
    return _confirmations(expected | hosts, answers)


def _given(asked):
    return {key: value for key, value in asked.items() if value not in (None, False)}


def _confirmations(expected, answers):
    found = fleet.confirmations(expected, answers)
    return asking.shown({"retcode": 0 if expected and len(found["confirmed"]) == len(expected) else 1, **found})


# Runs of state.apply that may be waited for on a minion.
_PATIENCE = 5


def _master():
    return asking.Master(salt, __opts__)


def _ask(*asked):
    """Run a function on minions; return those it was meant for, and the answers of those that gave one."""
    with translated(Refused):
        return _master().ask(*asked)


# How often, and seconds apart, to fetch again what cannot be fetched just now: the master does so by itself too.
_TRIES, _PAUSE = 10, 1


def _fetch():
    """Fetch what the master has from git; return what could not be."""
    wrong = []
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        wrong = _not_fetched()
        if not wrong:
            break
    return wrong


def _not_fetched():
    """Fetch once; return what could not be."""
    wrong = []
    if any("git" in source for source in __opts__.get("ext_pillar", [])):
        fetched = __salt__["git_pillar.update"]()
        wrong = [f"git_pillar: {name} could not be fetched" for name, done in fetched.items() if done is False]
    if not __salt__["fileserver.update"]():
        wrong.append("fileserver: could not be updated")
    return wrong
