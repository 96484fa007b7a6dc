"""
The review of this machine's grants that an auditor signs: a part of ``spice_grant``.

.. versionadded:: 0.1.0

The runner asks all minions for it, and makes pages and tables of what they answer.
"""

import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.accounting.live import noted
from spicegrants.audit import review as reviews
from spicegrants.audit.live import disabled, rooted
from spicegrants.audit.review_row import note
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, kept, translated
from spicegrants.core.reader import quote
from spicegrants.engine import context
from spicegrants.hypervisor.live import loans as host_loans
from spicegrants.record.live import event_log
from spicegrants.schedule import instants

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"
__outputter__ = {"review": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def review(since="90d"):
    """
    Return who may open what on this machine, by what right, and whether they do.

    The list has one dict for each user and vm, locked ones too, and one for each grant that is declared and gives
    nobody anything.

    since
        Text: from when on sessions and refusals count, as a duration back from now (``90d``) or a moment, ISO 8601. A
        moment without an offset is in the policy's zone; a date is its start. Defaults to ``90d``.

    Each dict has these keys:

    * ``user``: name of the user; empty where a grant of a group means nobody.
    * ``vm``: name of the vm.
    * ``desks``: list with this minion's id.
    * ``groups``: list of the groups through which the user has it; empty if there is none.
    * ``grants``: dict of the grants and loans by name. ``when`` says when each is open; ``owner``, ``reason``,
      ``ticket``, ``contact``, ``group`` and ``valid_until`` (ISO 8601 in UTC) are there if they are given; a loan has
      ``loan: True``.
    * ``last_used``: when they last opened or closed it, ISO 8601 in UTC; ``None`` if the record knows of no use.
    * ``sessions``, ``refusals``: how many there were.
    * ``flags``: list of what asks for a decision: ``as good as root``, ``user disabled``, ``ended``, ``gives nothing``,
      ``never used``, ``no owner``, ``no end``.
    * ``why``: more about the flags, in words; of a lock, too.
    * ``zone``: time zone of the policy.
    * ``windows``: list of dicts with ``kind`` (``window``, ``loan`` or ``lock``), ``from`` and ``until``: what was
      open, lent or locked in the last seven days, as it is declared now.
    * ``used``: list of dicts with ``from`` and ``until``: the sessions in these days.

    .. code-block:: python

        [
            {
                "user": "anne",
                "vm": "books",
                "desks": ["desk-1"],
                "groups": ["accounting"],
                "grants": {
                    "accounting-books": {"when": "by schedule work", "owner": "accounting", "group": "accounting"}
                },
                "last_used": "2026-11-24T16:58:03Z",
                "sessions": 41,
                "refusals": 2,
                "flags": ["no end"],
                "why": "",
                "zone": "Europe/Berlin",
                "windows": [
                    {"kind": "window", "from": "2026-11-24T07:00:00Z", "until": "2026-11-24T17:00:00Z"}
                ],
                "used": [{"from": "2026-11-24T08:00:12Z", "until": "2026-11-24T16:58:03Z"}],
            }
        ]

    What is not known stands in dicts at the end that have neither ``user`` nor ``vm``, but ``why``: what of the record
    is damaged, or that sudo cannot be asked. A KVM host that is no desk returns an empty list.

    Reads the stored policy, accounts, ``/etc/shadow``, the record, and what the recorder has noted of open sessions.

    Runs ``sudo -ll`` for each user, and ``cvtsudoers``; with sudo-rs ``sudo -l``.

    Raises CommandExecutionError if no policy has been applied yet, if ``/etc/shadow`` cannot be read, or if ``since``
    is neither duration nor moment.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.review
        salt 'client1' spice_grant.review since=2026-10-01
    """
    with translated(CommandExecutionError):
        if host_loans.here() and not context.exists():
            return []
        desired = context.compiled(asking=False)
        start = instants.since(since, desired.now, desired.policy.time.zone)
        if start is None:
            raise CommandExecutionError(
                f"since: {quote(since)} is neither a duration, as 90d, nor a moment, as 2026-11-24"
            )
        names = sorted({access.user for access in (*desired.accesses, *(each for each, _ in desired.locked))})
        unknown: list[str] = []
        uses = _uses(desired, start, unknown)
        as_root = _as_root(desired, names, unknown)
        unusable = disabled.accounts(names, desired.now)
    facts = reviews.Facts(uses or {}, unusable, as_root, recorded=uses is not None)
    here = __opts__["id"]
    return [*reviews.rows(desired, here, facts), *(note(here, sentence) for sentence in unknown)]


def _uses(desired, start, unknown):
    """Return what the record tells, ``None`` without one; add what is not known of it."""
    if not desired.policy.audit.enabled:
        unknown.append("no record is kept here: pillar says so")
        return None
    faults: list[SpiceGrantError] = []
    uses = None
    with kept(faults):
        found = event_log.read()
        unknown += found.complaints
        uses = reviews.uses(found.events, noted.sessions(), instants.iso(start), instants.iso(desired.now))
    unknown += [sentence for fault in faults for sentence in fault.sentences]
    return uses


def _as_root(desired, names, unknown):
    """Return the users whom sudo makes as good as root; add what is not known of it."""
    faults: list[SpiceGrantError] = []
    found: set[str] = set()
    with kept(faults):
        found = rooted.users(desired, names)
    unknown += [f"who is as good as root: {sentence}" for fault in faults for sentence in fault.sentences]
    return found
