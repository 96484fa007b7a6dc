"""
Denials: what the guard, sudo, the opener and KVM hosts refused, read back as data: a part of ``spice_grant``.

.. versionadded:: 0.1.0
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.audit import sessions_report
from spicegrants.audit.live import kernel_log
from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import chosen, quote
from spicegrants.engine import context
from spicegrants.firewall import denials as logged
from spicegrants.host import accounts
from spicegrants.record.live import event_log
from spicegrants.schedule import instants

__virtualname__ = "spice_grant"
__outputter__ = {"denials": "spice_grant"}

# Entries, the newest: more than that is no answer of a minion any more.
_MOST = 1000


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def denials(since=None, user=None, vm=None):
    """
    Return what was refused, by the guard, sudo, the opener or a KVM host, the newest last.

    since
        Text: how far back, as a duration (``2h``, ``1d``) or a moment, ISO 8601. A moment without an offset is in the
        policy's zone; a date is its start. Defaults to ``24h``.

    user
        Text: name of the user. Defaults to everybody, and to packets without an owner.

    vm
        Text: name of the vm. Defaults to all, and to guarded ports where no vm is.

    Each dict of the list has these keys:

    * ``at``: when it was refused, ISO 8601 in UTC.
    * ``user``: name of the user, by UID; ``None`` without an account or owner.
    * ``uid``: UID of the socket's creator; ``None`` where the kernel knew no owner, as of forwarded packets.
    * ``gid``: GID of the socket's creator; ``None`` likewise.
    * ``vm``: name of the vm, by address and port; ``None`` where only a range of ports is guarded.
    * ``server``: name of the server, by address; ``None`` if no server has it.
    * ``address``: destination address.
    * ``port``: destination port.
    * ``rule``: which of the guard's rules refused it: ``output`` (sent from here), ``forward`` (routed or bridged
      here), ``egress`` (from a guest that shares a network card), or ``None`` in lines of former versions.
    * ``count``: how often within a minute.
    * ``by``: what refused it: ``guard``, ``sudo``, ``opener`` or ``host``. Of the last three, ``gid``, ``server``,
      ``address``, ``port`` and ``rule`` are ``None``: they refuse a vm and no place.
    * ``why``: why, in words.

    .. code-block:: python

        [
            {
                "at": "2026-11-24T17:03:20Z",
                "user": "mybro",
                "uid": 1022,
                "gid": 1022,
                "vm": "debianx",
                "server": "mysrv",
                "address": "192.168.2.2",
                "port": 20002,
                "rule": "output",
                "count": 3,
                "by": "guard",
                "why": "no grant of debianx means mybro",
            }
        ]

    The same owner, address, port and rule within a minute is one entry; ``at`` is the last of them. Names and ``why``
    come from the accounts, grants, times and locks of now, asked about the moment of the denial.

    What was not logged is not listed. The guard logs at most 6 packets a minute of each UID, the first 10 at once; 300
    a minute of all UIDs below 65536 together, 300 of all others; and 30 a minute without an owner for each rule. Where
    iptables holds it, only users with a grant here have a limit of their own; all others share two, by the same border.
    ``spice_firewall.denied`` has the kernel's own counters, of the last hour.

    The newest are last, which stay in sight on a terminal. It lists the 1000 newest entries, out of the 100000 newest
    lines of the journal. If more were left out, or lines with the guard's prefix cannot be read, entries at the end say
    so: only ``why``, and perhaps ``count``, is in them.

    Refusals by sudo, opener and KVM host come from the record, at most 6 a minute of each user; those by sudo only
    where systemd's journal is.

    Reads the stored policy, accounts and the record. Without a journal, or if it holds nothing of the kernel's, it
    reads ``/dev/kmsg``: only what was logged since boot and still is there. What is older than the last sleep of the
    machine then seems later by as long as that took.

    Runs ``journalctl``.

    Raises CommandExecutionError if no policy has been applied yet, if the log cannot be read, if ``since`` is neither
    duration nor moment, or if there is no such user or vm.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.denials
        salt '*' spice_grant.denials since=2h user=mybro
        salt '*' spice_grant.denials since=2026-11-24T18:00 vm=debianx
    """
    with translated(CommandExecutionError):
        desired = context.compiled(asking=False)
        start = _start(desired, since)
        user, vm = _known(desired, user, vm)
        lines, cut = kernel_log.lines(start)
        recorded = event_log.read(start)
        others = sessions_report.refusals(recorded.events)
    found, unread = logged.parse_denials(lines)
    named = accounts.by_uid({denial.uid for denial in found if denial.uid is not None})
    entries = [
        logged.entry(desired, denial, count, None if denial.uid is None else named.get(denial.uid))
        for denial, count in logged.fold(found)
    ]
    # As these, with the newest first.
    entries = sorted([*entries, *others[::-1]], key=lambda entry: entry["at"], reverse=True)
    entries = [entry for entry in entries if user in (None, entry["user"]) and vm in (None, entry["vm"])]
    notes = []
    if len(entries) > _MOST:
        notes.append(logged.note("older entries that are left out", len(entries) - _MOST))
    if cut:
        notes.append(logged.note(f"what is older than the {kernel_log.MOST} newest lines of the journal is left out"))
    notes += [logged.note(complaint) for complaint in recorded.complaints]
    if unread:
        notes.append(logged.note("lines with the guard's prefix that cannot be read", unread))
    return entries[:_MOST][::-1] + notes


def _start(desired, since):
    """Return the moment from which on denials are wanted."""
    moment = instants.since("24h" if since is None else since, desired.now, desired.policy.time.zone)
    if moment is None:
        raise CommandExecutionError(f"since: {quote(since)} is neither a duration, as 2h, nor a moment, as 2026-11-24")
    return moment


def _known(desired, user, vm):
    """Return the names that are asked for; with a slip in one, the list would be empty."""
    if vm is not None:
        where = " in the policy of this minion"
        vm = chosen("vm", vm, desired.policy.vms, yamlify_arg, CommandExecutionError, where)
    if user is not None:
        user = chosen("user", user, accounts.uids(user), yamlify_arg, CommandExecutionError)
    return user, vm
