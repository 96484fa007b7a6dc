"""
Questions about the grants that this machine enforces: a part of ``spice_grant``.

.. versionadded:: 0.1.0

No function here changes anything, and none needs pillar or master.
"""

import contextlib
import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.audit import access_report, sessions_report, week
from spicegrants.audit import explain as reasons
from spicegrants.audit.live import entrance, week_files
from spicegrants.audit.live import host as hosts
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.core.reader import quote
from spicegrants.engine import context, enforcement, host_status, typed_names
from spicegrants.engine.layers import EXPIRY, FIREWALL, ROUTING, VIEWER
from spicegrants.firewall.live import backstop, other_tables
from spicegrants.hypervisor.live import loans as host_loans
from spicegrants.policy import decision, wording
from spicegrants.record.live import event_log
from spicegrants.routing.live import ip
from spicegrants.schedule import instants
from spicegrants.sudo import commands, sudoers
from spicegrants.sudo.live import tools

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __context__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

# Salt makes one module of all files with the same name.
__virtualname__ = "spice_grant"
__func_alias__ = {"list_": "list"}
# By the names in this file. What is shown is made by _output/spice_grant.py.
__outputter__ = dict.fromkeys(("list_", "who", "timeline", "explain", "loans", "locks"), "spice_grant")


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def list_(at=None):
    """
    Return who may open what on this machine.

    The list has one dict for each access: one user and one vm, by one or several grants and loans. Locked accesses are
    in it as well.

    at
        Text: the moment that is asked about, ISO 8601. Without an offset it is in the policy's zone (UTC if it names
        none); a date is its start. Defaults to now.

    Each dict has these keys:

    * ``user``: name of the user.
    * ``uid``: UID of the user.
    * ``vm``: name of the vm.
    * ``server``: name of the vm's server.
    * ``addresses``: list of the server's addresses.
    * ``port``: TLS port of the console.
    * ``nopasswd``: whether sudo asks for no password.
    * ``open``: whether the console is open to the user at that moment.
    * ``state``: the same in words, with the next change.
    * ``grants``: dict of the grants and loans behind the access, by name. ``when`` says when each is open; ``owner``,
      ``reason``, ``ticket`` and ``contact`` are there if they are given; a loan has ``loan: True``.
    * ``groups``: list of the groups through which the user has it; empty if there is none.
    * ``last_used``: when the user last opened or left it, ISO 8601 in UTC, as far as the record goes back; ``None`` if
      it does not say.

    .. code-block:: python

        [
            {
                "user": "myself",
                "uid": 1021,
                "vm": "debianx",
                "server": "mysrv",
                "addresses": ["192.168.2.2"],
                "port": 20002,
                "nopasswd": False,
                "open": True,
                "state": "open",
                "grants": {"myself-debianx": {"when": "always"}},
                "groups": [],
                "last_used": "2026-11-24T16:58:03Z",
            }
        ]

    Reads the stored policy, accounts and the record.

    Raises CommandExecutionError if no policy has been applied yet, or ``at`` is no moment.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.list
        salt '*' spice_grant.list at=2026-11-24T18:00
    """
    desired = _compiled()
    return _with_last_use(access_report.entries(desired, _moment(desired, at)))


@checked(CommandExecutionError)
def who(vm, at=None):
    """
    Return who may open a console.

    vm
        Text: name of the vm. Required.

    at
        Text: the moment that is asked about, as in :func:`list`. Defaults to now.

    Returns a list of dicts, as :func:`list` does, with those of this vm only:

    .. code-block:: python

        [
            {
                "user": "myself",
                "uid": 1021,
                "vm": "debianx",
                "server": "mysrv",
                "addresses": ["192.168.2.2"],
                "port": 20002,
                "nopasswd": False,
                "open": True,
                "state": "open",
                "grants": {"myself-debianx": {"when": "always"}},
                "groups": [],
                "last_used": None,
            }
        ]

    Reads the stored policy, accounts and the record.

    Raises CommandExecutionError if the policy has no such vm, if ``at`` is no moment, or if no policy has been applied
    yet.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.who debianx
    """
    desired = _compiled()
    vm = _known_vm(desired, vm)
    entries = access_report.entries(desired, _moment(desired, at))
    return _with_last_use(entry for entry in entries if entry["vm"] == vm)


def _with_last_use(entries):
    """Return entries with what the record says; that it cannot be read is for those who ask for it to say."""
    used: dict[tuple[str, str], str] = {}
    with contextlib.suppress(SpiceGrantError):
        used = sessions_report.last_used(event_log.read().events)
    return [{**entry, "last_used": used.get((entry["user"], entry["vm"]))} for entry in entries]


@checked(CommandExecutionError)
def timeline(user=None, days=7, at=None, svg=None, html=None):
    """
    Return when a user may open what, in the order of time.

    The list has one dict for each stretch of time in which the same grants and loans open a console. What is locked is
    not in it.

    user
        Text: name of the user. Defaults to everybody.

    days
        Number of days that it covers, 1 to 366. Defaults to ``7``.

    at
        Text: the moment at which it starts, as in :func:`list`. Defaults to now.

    svg
        Text: absolute path, ending in ``.svg``, of a drawing that is written instead of returning the list. It has a
        row for each console, locked ones too, and whole days in the policy's zone, at most 31. Defaults to none.

    html
        Text: absolute path, ending in ``.html``, of a page with that drawing, to be printed; likewise. Both may be
        given. Defaults to none.

    Each dict has these keys:

    * ``user``: name of the user.
    * ``vm``: name of the vm.
    * ``from``: when it opens, in the policy's zone; never before the start of the timeline.
    * ``until``: when it closes, in the policy's zone; never after the end of the timeline.
    * ``grants``: dict of those grants and loans that open it then, as in :func:`list`.

    .. code-block:: python

        [
            {
                "user": "boss",
                "vm": "books",
                "from": "Mon 2026-11-23 18:00 Europe/Berlin",
                "until": "Mon 2026-11-23 22:00 Europe/Berlin",
                "grants": {"boss-books": {"when": "by schedule evenings"}},
            }
        ]

    With ``svg`` or ``html`` it returns a dict with these keys instead:

    * ``written``: list of the files.
    * ``consoles``: number of the rows.
    * ``from``: start of the first day.
    * ``until``: end of the last day.

    .. code-block:: python

        {
            "written": ["/root/week.html"],
            "consoles": 5,
            "from": "Mon 2026-11-23 00:00 Europe/Berlin",
            "until": "Mon 2026-11-30 00:00 Europe/Berlin",
        }

    Reads the stored policy and accounts. Writes these files only, which root may read (owner root, mode 0640); it
    replaces earlier drawings, and nothing else.

    Raises CommandExecutionError if there is no such user, if ``days`` or ``at`` is wrong, if no policy has been
    applied yet, or if a file is not to be written there: others than root can change one of the directories above it,
    or it is there and is no drawing.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.timeline anne days=14
        salt 'client1' spice_grant.timeline html=/root/week.html
    """
    desired = _compiled()
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 366:
        raise CommandExecutionError(f"days: must be a number from 1 to 366, not {quote(days)}")
    if user is not None:
        user = _known_user(desired, user)
    moment = _moment(desired, at)
    if svg is None and html is None:
        return access_report.timeline(desired, user, moment, days)
    if days > week.LONGEST:
        raise CommandExecutionError(f"days: a drawing has {week.LONGEST} at most, not {days}")
    drawn = week.drawn(desired, __opts__["id"], user, moment, days)
    with translated(CommandExecutionError):
        return week_files.write(drawn, svg, html)


@checked(CommandExecutionError)
def explain(user, vm, at=None):
    """
    Say why a user may, or may not, open a console.

    Each layer gives its own answer, from what it really holds.

    user
        Text: name of the user. Required.

    vm
        Text: name of the vm. Required.

    at
        Text: the moment that is asked about, as in :func:`list`. Defaults to now. sudo itself knows only now: for
        another moment its answer is read from the rules in our file.

    Returns a dict with these keys:

    * ``answer``: ``may open``, ``may not open``, ``blocked`` (a chain that is not ours drops what the guard lets
      through) or ``in doubt`` (the layers disagree, or it cannot be told whether such a chain drops it).
    * ``state``: what the policy says of that moment, and what changes next.
    * ``policy``: dict with ``answer`` (``granted`` or ``not granted``) and ``why``.
    * ``firewall``: dict with ``answer`` (``open``, ``closed``, ``blocked`` or ``in doubt``), ``why``, and ``backstop``
      (whether the backstop is held, and if not, why).
    * ``routing``: dict with ``answer`` (``open``, ``closed``, ``in doubt``, or ``off`` where the layer is not on) and
      ``why``.
    * ``sudo``: dict with ``answer`` (``allowed``, ``refused`` or ``in doubt``) and ``why``.
    * ``viewer``: dict with ``answer`` (``only through sudo`` or ``in doubt``) and ``why``.
    * ``host``: only where a KVM host gives tickets: dict with ``answer`` (``granted``, ``refused``, ``in doubt``, or
      ``not asked`` for another moment) and ``why``. The host is really asked, and makes no ticket.

    .. code-block:: python

        {
            "answer": "may not open",
            "state": "closed",
            "policy": {"answer": "not granted", "why": "no grant of debianx means mybro"},
            "firewall": {
                "answer": "closed",
                "why": "no element for UID 1022 with GID 990 (spicegrp) to 192.168.2.2 port 20002",
                "backstop": "held: table inet spice_grant_backstop_6f1d0c52a94be387",
            },
            "routing": {"answer": "off", "why": "routing holds nobody on this machine"},
            "sudo": {"answer": "refused", "why": "no rule"},
            "viewer": {
                "answer": "only through sudo",
                "why": "its group has no members, owner and mode are as they must be",
            },
        }

    With times, ``state`` is as ``closed; opens Tue 2026-11-24 08:00 Europe/Berlin``.

    Reads the stored policy and accounts.

    Runs ``nft list``, ``ip rule show``, ``ip route get``, ``cvtsudoers`` and ``sudo -l``; ``iptables-save`` where nft
    shows less than all. Asks PAM about an account that sudo's rules let through, and by ``ssh`` the KVM host that gives
    tickets.

    Raises CommandExecutionError if the policy has no such vm, nobody knows such a user, ``at`` is no moment, no policy
    has been applied yet, or a layer cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.explain mybro debianx
    """
    desired = _compiled()
    user, vm = _known_user(desired, user), _known_vm(desired, vm)
    moment = _moment(desired, at)
    with translated(CommandExecutionError):
        rules = __salt__["spice_firewall.rules"](foreign=False)
        on, _ = ip.chosen(desired.policy, ip.kernel_if_any())
        known = user in desired.inventory.users
        verdicts = {known and tools.allows(user, rule.call) for rule in commands.calls(desired, user, vm)}
        allowed = None if len(verdicts) > 1 else verdicts == {True}
        refusal = entrance.refusals([user]).get(user, "") if allowed and moment == desired.now else ""
        own_rules = sudoers.own_rules(tools.own_tree() or {})
        obstacles = other_tables.before(desired, user, vm, other_tables.read())
        answers = {
            "policy": reasons.policy(desired, user, vm, moment),
            "firewall": reasons.firewall(
                desired=desired,
                user=user,
                vm=vm,
                rules=rules,
                drift=enforcement.plan_layers([FIREWALL, EXPIRY], desired),
                obstacles=obstacles,
                moment=moment,
            ),
            "routing": reasons.routing(
                desired,
                user,
                vm,
                __salt__["spice_routing.rules"]() if on else None,
                enforcement.plan_layers([ROUTING], desired),
            ),
            "sudo": reasons.sudo(
                desired=desired, user=user, vm=vm, own_rules=own_rules, allowed=allowed, moment=moment, refusal=refusal
            ),
            "viewer": reasons.viewer(enforcement.plan_layers([VIEWER], desired)),
        }
        if desired.policy.gives_tickets(vm):
            asked = hosts.ask(desired.policy, user, vm) if moment == desired.now else None
            answers["host"] = reasons.host(desired.policy.servers[desired.policy.vms[vm].server].minion, asked)
    answers["firewall"]["backstop"] = backstop.words(desired.policy.firewall)
    state = wording.decision(desired.policy, decision.decide(desired, user, vm, moment))
    return {"answer": reasons.summary(answers), "state": state, **answers}


@checked(CommandExecutionError)
def loans():
    """
    Return the loans that have not ended.

    Each dict of the list has these keys:

    * ``user``: name of the user.
    * ``vm``: name of the vm.
    * ``from``: when it began, in the policy's zone.
    * ``until``: when it ends, in the policy's zone.
    * ``left``: how long it still goes on.
    * ``locked``: whether a lock denies it.
    * ``reason``: why; only if one was given.
    * ``host``: ``True`` for one that this machine holds as a KVM host, and else not there.

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

    Reads the stored policy, loans and accounts.

    Raises CommandExecutionError if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.loans
    """

    def of_desk():
        desired = _compiled()
        return access_report.loans(desired.temporary, desired.policy.time.zone, desired.now)

    return _of_both(of_desk, host_status.loans)


@checked(CommandExecutionError)
def locks():
    """
    Return the locks of this machine.

    Each dict of the list has these keys:

    * ``about``: what is locked: ``user NAME``, ``vm NAME`` or ``everything``.
    * ``since``: when it was locked, in the policy's zone.
    * ``reason``: why; only if one was given.
    * ``host``: ``True`` for one that this machine holds as a KVM host, and else not there.

    .. code-block:: python

        [{"about": "user anne", "since": "Tue 2026-11-24 16:00 Europe/Berlin", "reason": "left the company"}]

    Reads the stored policy, locks and accounts.

    Raises CommandExecutionError if no policy has been applied yet.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.locks
    """

    def of_desk():
        desired = _compiled()
        return access_report.locks(desired.temporary, desired.policy.time.zone)

    return _of_both(of_desk, host_status.locks)


def _of_both(of_desk, of_host):
    """Return what this machine holds as a desk and as a KVM host, as far as it is one."""
    with translated(CommandExecutionError):
        as_host = [{**entry, "host": True} for entry in of_host()] if host_loans.here() else None
        return [*(of_desk() if as_host is None or context.exists() else ()), *(as_host or ())]


def _moment(desired, at):
    """Return the moment that is asked about."""
    if at is None:
        return desired.now
    moment = instants.parse_moment(at, desired.policy.time.zone or "UTC")
    if moment is None:
        raise CommandExecutionError(f"at: {quote(at)} is no moment, as 2026-11-24 or 2026-11-24T18:00+01:00")
    return moment


def _compiled():
    with translated(CommandExecutionError):
        return context.compiled()


def _known_vm(desired, vm):
    return typed_names.vm(desired, vm, yamlify_arg, CommandExecutionError)


def _known_user(desired, user):
    return typed_names.user(desired, user, yamlify_arg, CommandExecutionError)
