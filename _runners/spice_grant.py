"""
Ask the whole fleet about grants, and change it, from the master.

.. versionadded:: 0.1.0

All functions take ``tgt`` and ``tgt_type`` (which minions, as for ``salt``; default: all whose key is accepted),
``batch`` (how many at a time: a number, or a percentage as ``10%``; default: all at once) and ``timeout`` (seconds to
wait before minions are asked whether they are still at work; default: the master's ``timeout``). Minions that do not
answer are named. Progress goes to standard error, a line for each minion; ``quiet=True`` keeps it away.
"""

import sys as _sys

# The master's own processes live long: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import copy
import time
from typing import TYPE_CHECKING

import salt.client
import salt.pillar
import salt.utils.minions
from salt.exceptions import SaltException, SaltInvocationError

from spicegrants.audit import fleet, minion_status
from spicegrants.core.errors import PolicyError
from spicegrants.policy import merge as words
from spicegrants.policy import pillar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

_ODD_PILLAR = (AttributeError, KeyError, TypeError, ValueError)


def __virtual__():
    return __virtualname__


def status(tgt="*", tgt_type="glob", batch=None, timeout=None, declared=True, quiet=False):
    """
    Return how each minion stands.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    declared
        Whether each minion's pillar is compiled here as well, to see whether it enforces what is declared now.
        Defaults to ``True``; it takes the master a moment for each minion.

    ``state`` is ``in step``, ``behind`` (it enforces another policy than its pillar declares now), ``drifted``,
    ``failed``, ``no policy``, ``not answering`` or ``strange answer``; ``policy`` is a fingerprint, and ``since`` says
    from when on both are known to hold so. The exit code is not 0 unless all are in step. Compiles pillar; changes
    nothing.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.status
        salt-run spice_grant.status 'laptop-*' batch=10% declared=False
    """
    expected, answers = _ask("spice_grant.status", (), {}, tgt, tgt_type, batch, timeout, quiet)
    rows = fleet.status(expected, answers, {minion: _declared(minion) for minion in expected} if declared else {})
    return _table(rows, any(row["state"] != minion_status.IN_STEP for row in rows))


def who(vm, at=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return which users may open a vm, on which minions.

    vm
        Name of the vm.

    at
        The moment that is asked about, ISO 8601. Defaults to now.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    The minions say it themselves, of what they enforce. The exit code is not 0 if one did not. Changes nothing.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.who debianx
    """
    return _accesses({"vm": vm}, at, tgt, tgt_type, batch, timeout, quiet)


def what(user, at=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return which vms a user may open, on which minions.

    user
        Name of the user.

    at
        The moment that is asked about, ISO 8601. Defaults to now.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    The minions say it themselves, of what they enforce. The exit code is not 0 if one did not. Changes nothing.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.what anne at=2026-11-24T18:00
    """
    return _accesses({"user": user}, at, tgt, tgt_type, batch, timeout, quiet)


def plan(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return what ``state.apply spice`` would change on each minion, and what is wrong.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    ``result`` is ``green`` (nothing would change), ``would change``, ``red`` or ``not answering``. The pillar is
    compiled anew for it. The exit code is not 0 unless all are green. Changes nothing.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.plan
    """
    return _apply(True, tgt, tgt_type, batch, timeout, quiet)


def follow(tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Have minions enforce what is in git now: fetch, then ``state.apply spice``.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    Fetches the repositories of git_pillar and of the fileserver, those of them that the master has. ``result`` is
    ``green``, ``red`` or ``not answering``, with the changes in words. The exit code is not 0 unless all are green, and
    all repositories could be fetched: else nothing is applied. This is what a hook or a reactor calls after a push.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.follow
    """
    wrong = _fetch()
    if wrong:
        return {"retcode": 1, "errors": wrong}
    return _apply(False, tgt, tgt_type, batch, timeout, quiet)


def lock(user=None, vm=None, all=False, reason=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Deny consoles everywhere at once, whatever grants and loans say, until :func:`unlock`.

    user, vm, all
        Name of a user who may open nothing, or of a vm that nobody may open; or everything. Just one is to be given.

    reason
        One line of text that is shown with the lock.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    Returns ``confirmed`` (names of minions on which it holds), ``failed`` (by name: why) and ``not confirmed`` (names
    of minions that did not answer: it does not hold there as far as is known; run it again when they are back). The
    exit code is not 0 unless all have confirmed.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.lock user=anne reason='left the company'
    """
    asked = {"user": user, "vm": vm, "all": all, "reason": reason}
    return _confirmed("spice_grant.lock", asked, tgt, tgt_type, batch, timeout, quiet)


def unlock(user=None, vm=None, all=False, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Take a lock away everywhere, so that grants and loans hold again.

    user, vm, all
        What was locked, as in :func:`lock`.

    tgt, tgt_type, batch, timeout, quiet
        As the module's documentation says.

    Returns what :func:`lock` returns; a minion without such a lock confirms as well.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.unlock user=anne
    """
    asked = {"user": user, "vm": vm, "all": all}
    return _confirmed("spice_grant.unlock", asked, tgt, tgt_type, batch, timeout, quiet)


def _accesses(desired, at, *which):
    expected, answers = _ask("spice_grant.list", (), {"at": at} if at is not None else {}, *which)
    rows = fleet.accesses(expected, answers, **desired)
    return _table(rows, fleet.unknown(rows))


def _apply(test, *which):
    expected, answers = _ask("state.apply", ("spice",), {"test": test, "queue": _PATIENCE}, *which)
    rows = fleet.runs(expected, answers, words.sentences)
    return _table(rows, any(row["result"] != "green" for row in rows))


def _confirmed(function, asked, *which):
    if [asked["user"] is not None, asked["vm"] is not None, asked["all"] is True].count(True) != 1:
        raise SaltInvocationError("name one of user=NAME, vm=NAME and all=True")
    given = {key: value for key, value in asked.items() if value not in (None, False)}
    expected, answers = _ask(function, (), given, *which)
    found = fleet.confirmations(expected, answers)
    return {"retcode": 0 if expected and len(found["confirmed"]) == len(expected) else 1, **found}


def _table(rows, wrong):
    """Return rows for the outputter of tables; nobody at all is wrong as well."""
    return {"outputter": "table", "data": {"retcode": int(wrong), "minions": rows}}


# Runs of state.apply that may be waited for on a minion.
_PATIENCE = 5


def _ask(function, arg, kwarg, tgt, tgt_type, batch, timeout, quiet):
    """Run a function on minions; return whom it was meant for, and the answers of those that gave one."""
    expected = set(salt.utils.minions.CkMinions(__opts__).check_minions(tgt, tgt_type)["minions"])
    if not expected:
        raise SaltInvocationError(f"no minion with an accepted key matches {tgt!r} ({tgt_type})")
    try:
        asked = fleet.groups(expected, batch)
    except ValueError as error:
        raise SaltInvocationError(str(error)) from error
    answers = {}
    with salt.client.get_local_client(mopts=__opts__) as client:
        if len(asked) > 1:
            # So that no batch waits for those that are down.
            up = dict(_answers(client, sorted(expected), "test.ping", (), {}, timeout))
            asked = fleet.groups(up, batch)
        for group in asked:
            for minion, answer in _answers(client, group, function, arg, kwarg, timeout):
                if minion in expected:
                    answers[minion] = answer
                    _progress(quiet, f"{len(answers)} of {len(expected)}: {minion} answered")
    for minion in sorted(expected - set(answers)):
        _progress(quiet, f"{minion}: {fleet.SILENT}")
    return expected, answers


def _answers(client, minions, function, arg, kwarg, timeout):
    """Yield minions and their answers, as they come."""
    for found in client.cmd_iter(minions, function, arg, timeout, "list", kwarg=kwarg):
        for minion, answer in (found or {}).items():
            if isinstance(answer, dict) and "ret" in answer:
                code = answer.get("retcode")
                yield minion, fleet.Answer(answer["ret"], code if isinstance(code, int) else 0)


def _progress(quiet, text):
    if not quiet:
        print(text, file=_sys.stderr, flush=True)


def _declared(minion):
    """Compile a minion's pillar as the master does for it, and return what it declares."""
    _, grains, _ = salt.utils.minions.get_minion_data(minion, __opts__)
    opts = {**copy.deepcopy(dict(__opts__)), "pillar_safe_render_error": False, "file_client": "local"}
    try:
        compiler = salt.pillar.Pillar(opts, {**(grains or {}), "id": minion}, minion, None)
        try:
            data = compiler.compile_pillar()
        finally:
            compiler.destroy()
    except (SaltException, *_ODD_PILLAR) as error:
        return fleet.Declared(None, (fleet.line(error),))
    if data.get("_errors"):
        return fleet.Declared(None, tuple(fleet.line(str(error).split("\n---")[0]) for error in data["_errors"]))
    if "spice" not in data:
        return fleet.Declared(None)
    try:
        return fleet.Declared(minion_status.fingerprint(pillar.parse(words.plain(data["spice"]))))
    except PolicyError as error:
        return fleet.Declared(None, tuple(map(str, error.findings)))


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
