"""
The review of all grants that an auditor signs, and the pillar that follows from their decisions.

.. versionadded:: 0.1.0

This is a part of the runner ``spice_grant``.
"""

import sys as _sys

# The master's own processes live long: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import time
from typing import TYPE_CHECKING

import salt.client
import salt.exceptions
import salt.pillar
import salt.utils.minions

# The one error of a runner's that Salt prints as it is, and not with a traceback.
from salt.exceptions import NotImplemented as Refused

from spicegrants.audit import review as reviews
from spicegrants.audit import review_csv, review_document, review_proposal
from spicegrants.audit.live import asking, review_files
from spicegrants.audit.review_row import SILENT
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.host import terminal
from spicegrants.policy import merge
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import DAY

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __opts__: dict[str, Any] = {}

# Salt makes one runner of all files with the same name.
__virtualname__ = "spice_grant"

_TABLE = "table"
# Days in which sessions and refusals count.
_DAYS = 90


def __virtual__():
    return __virtualname__


@checked(Refused)
def review(format="table", file=None, since=None, tgt="*", tgt_type="glob", batch=None, timeout=None, quiet=False):
    """
    Return who may open what, on which minions, by what right, and whether they do; or write that as a file.

    The minions say it themselves, of what they enforce; sessions and refusals are those of the last 90 days.

    format
        Text: ``table``, which is shown; or what is written: ``html`` (a page to print and sign, with the last seven
        days as a drawing), ``csv`` (for a spreadsheet, with empty columns ``decision`` and ``comment``) or ``json``
        (with which a later review is compared). Defaults to ``table``.

    file
        Text: absolute path of the file on the master, ending in ``.html``, ``.csv`` or ``.json``. Required for these.

    since
        Text: absolute path of an earlier review on the master, written with ``format=json``: what was added, removed
        and changed since is in the answer, too. Defaults to none.

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

    Returns a dict for our outputter, with ``retcode`` and ``review`` in its ``data``. ``review`` is a list
    with one dict for each user and vm, with the keys that the function of the minions has; ``desks`` are all minions
    on which it is so, and where they do not say the same, all of it is there. A minion that did not say has a dict
    without ``user`` and ``vm``, with the flag ``desk silent`` and the reason in ``why``.

    .. code-block:: json

        {
            "retcode": 0,
            "review": [
                {
                    "user": "anne",
                    "vm": "books",
                    "desks": ["desk-1", "desk-2"],
                    "groups": [],
                    "grants": {"anne-books": {"when": "always"}},
                    "last_used": null,
                    "sessions": 0,
                    "refusals": 0,
                    "flags": ["never used", "no owner", "no end"],
                    "why": "",
                    "zone": "UTC",
                    "windows": [],
                    "used": []
                }
            ]
        }

    With ``since`` there is a list ``changes`` as well: ``what`` (``added``, ``removed``, ``changed``, or ``not known``,
    where a desk did not say), ``user``, ``vm``, ``groups`` and ``fields``, by name a list of what was and what is.

    With ``file`` it returns ``retcode``, ``written`` (the path), ``rows`` (their number) and ``silent`` (list of the
    minions that did not say, or not all) instead:

    .. code-block:: json

        {"retcode": 0, "written": "/root/review.html", "rows": 12, "silent": []}

    The file is written for whom the master runs as, and nobody else can read it (mode 0600). An earlier page or JSON is
    replaced; a table is not, as there may be decisions in it.

    The exit code is not 0 if a minion did not say. Changes nothing else.

    Fails, and says why in one line, if no minion with an accepted key matches, if ``batch`` or ``format`` is wrong, if
    there is no such earlier review, or if a file is not to be written there: others can change one of the directories
    above it, or it is there and is no review.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.review
        salt-run spice_grant.review format=html file=/root/review.html since=/root/review-q3.json
        salt-run spice_grant.review format=csv file=/root/review.csv
    """
    if format not in (_TABLE, *review_files.FORMS):
        known = (_TABLE, *review_files.FORMS)
        raise Refused(f"format: {quote(format)} is none of {', '.join(known)}{did_you_mean(format, known)}")
    if (file is None) is not (format == _TABLE):
        raise Refused("file: name one for html, csv and json, as /root/review.html, and none for a table")
    with translated(Refused):
        path = None if file is None else review_files.place(format, file)
        old = None if since is None else review_files.earlier(since)
        asked = ("spice_grant.review", (), {"since": f"{_DAYS}d"}, tgt, tgt_type, batch, timeout, quiet)
        expected, answers = asking.Master(salt, __opts__).ask(*asked)
        rows, now = reviews.merged(expected, answers), int(time.time())
        found = review_document.Review(now, instants.iso(now - _DAYS * DAY), len(expected), rows)
        if old is not None:
            found = found.compared(old)
        silent = sorted({desk for each in found.notes if SILENT in each["flags"] for desk in each["desks"]})
        retcode = int(bool(silent))
        if path is not None:
            review_files.write(format, path, found)
            return asking.shown({"retcode": retcode, "written": path, "rows": len(found.accesses), "silent": silent})
    compared = {} if old is None else {"changes": review_document.plain_changes(found.changes)}
    return asking.shown({"retcode": retcode, "review": found.rows, **compared})


@checked(Refused)
def apply_review(file, quiet=False):
    """
    Return the pillar that follows from the decisions in a table that came back. It changes nothing.

    In the column ``decision`` stands ``keep``, ``revoke`` or nothing, in small letters or large. What is revoked goes
    out of each grant that the row names: a user's own grant goes, or means fewer vms; a group's grant gets an
    ``except``, and becomes a grant for each vm where that is for some of its vms only.

    file
        Text: absolute path of the table on the master, ending in ``.csv``. Required.

    quiet
        Boolean: whether to show no progress on a terminal. Defaults to ``False``.

    Returns a dict for our outputter, with ``retcode`` and ``pillar`` in its ``data``. ``pillar`` is text in YAML: the
    grants of the desks' pillars as they would be, with a comment above each change, and at its beginning what is not in
    it: other words than these decisions, loans, and grants that pillar does not declare.

    .. code-block:: json

        {
            "retcode": 0,
            "pillar": "# Proposed, and nothing was changed. Rows of the review: 1 revoked, 0 kept, 0 not decided.\\n..."
        }

    The exit code is 0 only if all decisions are in it. Reads the file, and compiles the pillar of each desk from which
    something is revoked.

    Fails, and says why in one line, if there is no such file.

    CLI Example:

    .. code-block:: bash

        salt-run spice_grant.apply_review /root/review.csv
    """
    with translated(Refused):
        decided = review_csv.read(review_files.returned(file))
    wanted = review_proposal.desks(decided.revoked)
    master = asking.Master(salt, __opts__)
    accepted = master.matching("*", "glob")
    declared: dict[str, review_proposal.Declared] = {}
    with terminal.live_line(not quiet) as line:
        for desk in wanted:
            line.count("pillars compiled", len(declared), len(wanted))
            declared[desk] = _declared(master, desk) if desk in accepted else "no minion with an accepted key"
    proposal = review_proposal.proposed(decided, declared)
    return asking.shown({"retcode": int(bool(proposal.findings)), "pillar": proposal.text})


def _declared(master, desk):
    """Return what a desk's pillar declares, or why that is not known."""
    try:
        return merge.declared(master.pillar(desk)) or "it declares nothing"
    except SpiceGrantError as error:
        return "; ".join(error.sentences)
