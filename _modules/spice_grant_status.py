"""
How this minion stands: in sync with the policy that it enforces, drifted, or failed.

.. versionadded:: 0.1.0
"""

import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.audit import minion_status
from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.engine import context, enforcement, host_status, last_run
from spicegrants.host import lock
from spicegrants.hypervisor.live import loans as host_loans
from spicegrants.policy import merge

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __context__: dict[str, Any] = {}

__virtualname__ = "spice_grant"
__outputter__ = {"status": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def status():
    """
    Return how this minion stands.

    It compares the layers with what is stored, not with pillar. It waits for a run that is at work.

    Returns a dict with these keys:

    * ``state``: ``in sync`` (the layers hold what is stored); ``drifted`` (they do not); ``failed`` (the last run
      failed, also one that changed nothing because of a wrong pillar; or something cannot be enforced or read now); or
      ``no policy``.
    * ``policy``: fingerprint of the enforced policy, the same on all machines with the same policy; ``None`` without
      one.
    * ``since``: from when on state and policy are known to hold so, ISO 8601 in UTC. ``None`` where that is not known,
      as after a boot until the next run, or while the layers have drifted.
    * ``last_run``: dict with ``at`` and ``errors`` of the last ``spice_grant.apply`` or state ``present``; ``None``
      after a boot.
    * ``drift``: list of sentences, how the layers differ from what is stored.
    * ``errors``: list of sentences, what failed in the last run or cannot be enforced or read now.
    * ``locks``: list of what is locked, whatever else is granted.
    * ``notes``: list of sentences, what is worth knowing. Runs say each when it is new or comes back, and after a boot.

    .. code-block:: python

        {
            "state": "in sync",
            "policy": "3f0c1a9be27d",
            "since": "2026-11-24T07:15:00Z",
            "last_run": {"at": "2026-11-24T17:00:00Z", "errors": []},
            "drift": [],
            "errors": [],
            "locks": ["user anne"],
            "notes": ["viewers run confined: this machine has what that needs"],
        }

    The exit code is 1 if the state is ``drifted`` or ``failed``.

    On a KVM host that gives tickets it is how that stands, as ``spice_host.status`` says it. Where it holds grants of
    its own as well, it is both, and what is said of the host begins with ``host:``.

    Reads the stored policy, accounts, addresses, what the layers hold, and ``/run/spice-grant/last-run``.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.status
    """
    if not host_loans.here():
        stand = _of_desk()
    else:
        with translated(CommandExecutionError):
            stand = host_status.status()
        if context.exists():
            stand = minion_status.joined(_of_desk(), stand)
    if stand["state"] in (minion_status.DRIFTED, minion_status.FAILED):
        __context__["retcode"] = 1
    return stand


def _of_desk():
    """Return how this machine stands by its own grants."""
    policy = last = None
    drift, errors, locks, notes = [], [], [], []
    try:
        with lock.run_lock():
            policy, last = last_run.policy(), last_run.read()
            if policy:
                report = enforcement.enforce(lambda stored: stored, test=True)
                drift, errors, notes = merge.sentences(report["changes"]), report["errors"], report["warnings"]
                locks = [each.words for each in context.stored().temporary.locks]
    except SpiceGrantError as error:
        errors = str(error).splitlines()
    return minion_status.status(policy, last, drift, errors, locks, notes)
