"""
Say how this minion stands: in step with the policy it enforces, drifted, or failed.

.. versionadded:: 0.1.0
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from spicegrants.audit import minion_status
from spicegrants.core.errors import SpiceGrantError
from spicegrants.engine import context, enforcement, last_run
from spicegrants.host import lock
from spicegrants.policy import merge

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


def status():
    """
    Return how this minion stands, as a dict.

    ``state`` is ``in step``, ``drifted`` (the layers do not hold what is stored), ``failed`` (the last run was red,
    also one that changed nothing because of a wrong pillar; or something cannot be enforced or read now), or ``no
    policy``. ``policy`` is the fingerprint of the enforced policy: the same on all machines with the same policy.
    ``since`` says from when on state and policy are known to hold so, ISO 8601, UTC; ``None`` after a boot, until the
    next run. ``last_run`` holds ``at`` and ``errors`` of the last ``spice_grant.apply`` or state; ``None`` after a
    boot. ``drift`` is a list of sentences, ``errors`` as well; ``locks`` says what is locked, whatever else is granted.

    It compares with what is stored, not with pillar. Waits for a run that is at work. Reads the stored policy,
    accounts, addresses, what the layers hold, and ``/run/spice-grant/last-run``.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.status
    """
    policy = last = None
    drift, errors, locks = [], [], []
    try:
        with lock.held():
            policy, last = last_run.policy(), last_run.read()
            if policy:
                report = enforcement.enforce(lambda stored: stored, test=True)
                drift, errors = merge.sentences(report["changes"]), report["errors"]
                locks = [held.words for held in context.stored().temporary.locks]
    except SpiceGrantError as error:
        errors = str(error).splitlines()
    return minion_status.status(policy, last, drift, errors, locks)
