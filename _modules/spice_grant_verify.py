"""
Proof of the policy that this machine enforces, by trying: a part of ``spice_grant``.

.. versionadded:: 0.1.0
"""

import random
import sys as _sys
import time
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.audit import sampling, verdict
from spicegrants.audit.live import entrance, host, trial
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.core.reader import quote
from spicegrants.engine import context, enforcement, typed_names
from spicegrants.engine.layers import FIREWALL, SUDO, VIEWER
from spicegrants.firewall.live import backends
from spicegrants.host import terminal
from spicegrants.policy import decision, merge
from spicegrants.sudo import sudoers
from spicegrants.sudo.live import privileges

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __context__: dict[str, Any] = {}

__virtualname__ = "spice_grant"
__outputter__ = {"verify": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def verify(user=None, vm=None, full=False):
    """
    Prove the policy by trying: connect, ask sudo and start the viewer as the users themselves.

    user
        Text: name of the one user to try as. Defaults to every user with a grant, and one without any.

    vm
        Text: name of the one vm to try. Defaults to every vm.

    full
        Boolean: whether to try as much as the guard can note, however long it takes: 30,000 pairs of user and vm.
        Defaults to ``False``: of more than 4,000 pairs, each user's own consoles are tried and a sample of the others,
        drawn anew each hour; ``left_out`` says what is not. sudo is asked for all of up to 400 pairs, and else for a
        sample.

    What is tried for each user and vm:

    * It connects to every address of the console, once with the viewer's group and once with the user's own. A
      connection counts as ``denied`` only if the guard says that it refused it: a server that is down is
      ``unreachable``. Where a granted user meets ``unreachable``, each chain that is not ours and stops them is a
      difference.
    * It asks ``sudo -l`` for the granted calls and, where granted, for calls close to them.
    * It tries to start each viewer without sudo.

    For each user to whom a console is open now it asks PAM whether sudo would let the account in. Where viewers are
    confined, it also starts the opener, which without a desktop does all but start the viewer. Where sudo asks for no
    password, the user's own call does both.

    For each server of such a console it looks the name up, and for each such console of a server that declares a
    ``ca`` it looks at the certificate, as viewers do; not where that takes a ticket.

    Where a KVM host gives tickets, the port must be shut to granted users as well, since no ticket is made for this.
    The host is asked whether it would give one, to one user of each of up to five consoles.

    With a strict policy (pillar's ``spice:sudo:strict``) it asks sudo what else it lets these users do, as
    ``spice_sudoers.others`` says it. Anything of that is a difference.

    Returns a dict with these keys:

    * ``ok``: ``True`` if nothing differs from the policy. ``False`` if anything does; the exit code is 1 then. ``None``
      if nothing differs, but no granted user could be seen to reach any console, because all servers are down, say; the
      exit code is 2 then.
    * ``differences``: list of sentences, what differs from the policy.
    * ``unproven``: list of sentences, what could not be tried.
    * ``left_out``: list of sentences, what was not tried because the office is large, in figures. Where there is any,
      what firewall and sudo hold is compared with the policy as well, as their ``plan`` does.
    * ``warnings``: list of sentences, what makes sudo slow.
    * ``matrix``: dict by user of dicts by vm. ``granted`` says whether the console is open to the user now.
      ``viewer group`` and ``own program`` say how the connections ended: ``open``, ``denied``, ``unreachable``, or
      ``not stopped`` (not refused by the guard, which should have done so), or ``needs a ticket`` where the KVM host
      keeps the port shut. ``sudo`` is ``allowed``, ``refused``, ``no answer`` or ``not asked``. ``host`` is there where
      the KVM host gives tickets and one is granted: ``granted``, ``refused``, ``no answer`` or ``not asked``. If a
      window began or ended meanwhile there is only ``granted`` and ``skipped``.

    .. code-block:: python

        {
            "ok": True,
            "differences": [],
            "unproven": [],
            "left_out": [],
            "warnings": [],
            "matrix": {
                "myself": {
                    "debianx": {"granted": True, "viewer group": "open", "own program": "denied", "sudo": "allowed"},
                }
            },
        }

    On a terminal, progress goes to standard error.

    Reads the stored policy and accounts. Changes nothing.

    Raises CommandExecutionError if no policy has been applied yet, if a layer cannot be asked, if there is no such user
    or vm, or if ``full`` is no boolean.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.verify
        salt 'client1' spice_grant.verify user=anne full=True
    """
    if not isinstance(full, bool):
        raise CommandExecutionError(f"full: must be true or false, not {quote(full)}")
    with translated(CommandExecutionError):
        desired = context.compiled()
    vms = sorted(desired.policy.vms)
    if vm is not None:
        vms = [typed_names.vm(desired, vm, yamlify_arg, CommandExecutionError)]
    with translated(CommandExecutionError):
        if user is None:
            users = trial.everybody(desired)
        else:
            users = [trial.account(desired, typed_names.user(desired, user, yamlify_arg, CommandExecutionError))]
        mechanism, _ = backends.choose(desired.policy.firewall.backend)
        # The same for an hour: nothing is kept secret by it.
        draw = random.Random(desired.now // 3600)  # noqa: S311
        trials = sampling.choose(desired, users, vms, full, draw)
        result = _tried(desired, users, trials, mechanism.witness())
        if desired.policy.sudo.strict:
            result["differences"] += privileges.differences(desired, sorted(trials.entered))
    result["differences"] += [f"not enforced: {finding}" for finding in desired.findings]
    result["left_out"] = [*trials.left_out]
    # Without the viewer itself those who are let through everywhere see nothing.
    for layer in (FIREWALL, SUDO, VIEWER) if trials.left_out else (VIEWER,):
        result["differences"] += _layer_differences(desired, layer)
    result["warnings"] = entrance.slow()
    if result["differences"]:
        result["ok"] = False
    if not result["ok"]:
        __context__["retcode"] = 2 if result["ok"] is None else 1
    return result


def _tried(desired, users, trials, refusals):
    """Try all that was chosen; return the verdict. How far that is shows on a terminal."""
    with terminal.live_line() as line:
        attempts = trial.attempts(desired, users, trials, refusals, line.count)
        asked = host.answers(desired, trials, line.count)
        result = verdict.matrix(
            (name, tried, _judged(desired, name, tried, attempt, asked)) for name, tried, attempt in attempts
        )
        for enter in (entrance.users, entrance.servers, entrance.consoles):
            found = enter(desired, users, trials, line.count)
            result["differences"] += found.differences
            result["unproven"] += found.unproven
    return result


def _layer_differences(desired, layer):
    """Say what a layer would change to hold the policy."""
    try:
        changes = merge.sentences(enforcement.plan_layers([layer], desired))
        return [f"{layer.name}: {what}" for what in changes]
    except SpiceGrantError as error:
        return [f"{layer.name}: {error}"]


def _judged(desired, user, vm, attempt, asked):
    """Return the cell of a trial, unless what the policy says has changed since it began."""
    before, after = (decision.decide(desired, user, vm, moment).open for moment in (desired.now, int(time.time())))
    by_sudo = None
    if not sudoers.keeps_times(desired):
        access, lock = desired.access(user, vm)
        by_sudo = access is not None and lock is None and bool(sudoers.rules_for(desired, access))
    if before != after:
        return verdict.undecided(after)
    by_host = asked.get((user, vm), verdict.NOBODY) if desired.policy.gives_tickets(vm) else None
    return verdict.cell(before, attempt, by_sudo, by_host)
