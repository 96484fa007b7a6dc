"""
The record: who was in which console, from when to when, and what else happened: a part of ``spice_grant``.

.. versionadded:: 0.1.0

It is kept in ``/var/log/spice-grant/events.jsonl``, which root and the group ``adm`` may read, and in systemd's
journal.
"""

import sys as _sys
import time

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.accounting.live import noted
from spicegrants.audit import sessions_report
from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import name_for, quote
from spicegrants.engine import context
from spicegrants.record import events as recorded
from spicegrants.record.live import event_log
from spicegrants.schedule import instants

__virtualname__ = "spice_grant"
__outputter__ = {"sessions": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def sessions(since=None, user=None, vm=None, open=False):
    """
    Return who was in which console, from when to when, and why it ended; the newest last.

    since
        Text: how far back, as a duration (``7d``, ``2h``) or a moment, ISO 8601. A moment without an offset is in the
        policy's zone; a date is its start. Sessions that were open at some time since then count. Defaults to ``7d``.

    user
        Text: name of the user. Defaults to everybody.

    vm
        Text: name of the vm. Defaults to all.

    open
        Boolean: whether only to list sessions that are open now. Defaults to ``False``.

    Each dict of the list has these keys:

    * ``user``: name of the user; ``None`` where the UID has no account.
    * ``uid``: their UID.
    * ``vm``, ``server``: names of vm and server; ``None`` where the policy of that moment had no vm there.
    * ``address``, ``port``: where the console listened.
    * ``client_port``: port on this machine of the session's first connection, by which the KVM host knows it.
    * ``grants``: names of the grants and loans that opened it.
    * ``form``: ``confined`` or ``direct``.
    * ``from``, ``until``: ISO 8601 in UTC; ``until`` is ``None`` while it is open.
    * ``seconds``: how long; ``None`` while it is open.
    * ``sent``, ``received``: bytes from and to this machine, headers left out; ``None`` while it is open, and where
      some were not counted.
    * ``why``: why it ended, in words; ``None`` while it is open.
    * ``open``: whether it is open.

    .. code-block:: python

        [
            {
                "user": "anne",
                "uid": 1021,
                "vm": "books",
                "server": "kvm1",
                "address": "192.168.2.2",
                "port": 20002,
                "client_port": 41822,
                "grants": ["anne-books"],
                "form": "confined",
                "from": "2026-11-24T08:00:12Z",
                "until": "2026-11-24T16:58:03Z",
                "seconds": 32271,
                "sent": 181422,
                "received": 90127733,
                "why": "the viewer closed",
                "open": False,
            }
        ]

    Reads the record, and what the recorder has noted of open sessions. What of the record is damaged, or was changed
    or taken out, is said in entries at the end that have nothing but ``why``.

    Raises CommandExecutionError if the record cannot be read, or is a link, or if ``since`` is neither duration nor
    moment.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.sessions
        salt '*' spice_grant.sessions since=30d user=anne
        salt '*' spice_grant.sessions open=True
    """
    with translated(CommandExecutionError):
        start = _start("7d" if since is None else since)
        # What ended since may have begun before.
        found = event_log.read(start)
        now_open = noted.sessions()
    rows = sessions_report.sessions(found.events, now_open, instants.iso(start))
    user, vm = (_named(word, {row[kind] for row in rows}) for kind, word in (("user", user), ("vm", vm)))
    chosen = [
        row for row in rows if user in (None, row["user"]) and vm in (None, row["vm"]) and (row["open"] or not open)
    ]
    return chosen + [{**dict.fromkeys(sessions_report.KEYS), "why": complaint} for complaint in found.complaints]


@checked(CommandExecutionError)
def events(since=None, kind=None):
    """
    Return what the record holds, as it stands there; the newest last.

    since
        Text: how far back, as for :func:`sessions`. Defaults to ``24h``.

    kind
        Text: only events of that kind: ``launch``, ``opened``, ``ended``, ``refused``, ``loan``, ``lock``, ``policy``
        or ``repair``. Defaults to all.

    Each dict of the list has ``at`` (ISO 8601 in UTC), ``local`` (the same in the policy's zone) and ``event``
    (its kind), and what belongs to that kind: the record's own page, ``docs/record.md``, has all of it.

    .. code-block:: python

        [
            {
                "at": "2026-11-24T08:00:11Z",
                "local": "2026-11-24T09:00:11+01:00",
                "event": "launch",
                "user": "anne",
                "uid": 1021,
                "vm": "books",
            }
        ]

    Reads the record. Complaints about it are entries at the end, with the kind ``complaint`` and ``why``.

    Raises CommandExecutionError if the record cannot be read, or is a link, if ``since`` is neither duration nor
    moment, or if there is no such kind.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.events
        salt '*' spice_grant.events since=7d kind=policy
    """
    if kind is not None and kind not in recorded.KINDS:
        raise CommandExecutionError(f"kind: {quote(kind)} is none of {', '.join(recorded.KINDS)}")
    with translated(CommandExecutionError):
        found = event_log.read(_start("24h" if since is None else since))
    chosen = [event for event in found.events if kind in (None, event["event"])]
    return chosen + [{"event": "complaint", "why": complaint} for complaint in found.complaints]


def _start(since):
    """Return the moment from which on something is wanted."""
    policy = context.stored().policy
    moment = instants.since(since, int(time.time()), policy.time.zone if policy else None)
    if moment is None:
        raise CommandExecutionError(f"since: {quote(since)} is neither a duration, as 7d, nor a moment, as 2026-11-24")
    return moment


def _named(word, known):
    """Return the name that a word of the command line stands for, of which Salt may have made a number or so."""
    return None if word is None else name_for(word, {name for name in known if name}, yamlify_arg)
