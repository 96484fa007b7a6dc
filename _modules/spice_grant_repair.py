"""
Repair of what the layers hold, from what is stored on this minion alone: a part of ``spice_grant``.

.. versionadded:: 0.1.0
"""

import sys as _sys
from dataclasses import replace
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

import salt.payload
from salt.exceptions import CommandExecutionError, SaltException

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.engine import enforcement, last_run, recording

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __context__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def repair(test=False):
    """
    Make all layers hold what is stored on this minion: the policy that was applied last, loans and locks.

    It needs neither pillar nor master. It resolves no name of a server: each keeps the addresses of the last run. The
    beacon ``spice_grant`` does this at each sign of drift.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what ``spice_grant.plan`` returns, without ``answer``, as no right comes or goes:

    .. code-block:: python

        {
            "changes": {"layers": {"sudo": ["restores /etc/sudoers.d/spice-grant, which was edited"]}},
            "errors": [],
            "warnings": [],
        }

    Reads what is stored, accounts, and what the layers hold.

    Writes what ``spice_grant.apply`` does.

    Raises CommandExecutionError if nothing is stored, or something cannot be read: then nothing was changed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.repair
        salt '*' spice_grant.repair test=True
    """
    report = _report(lambda: last_run.spoken(enforcement.enforce(_stored, test, asking=False)))
    return {key: value for key, value in report.items() if key != "answer"}


@checked(CommandExecutionError)
def close(test=False):
    """
    Take away what the layers hold beyond what is stored on this minion, and give nothing.

    Each run does that first, so this is for where runs fail. Each layer closes by itself; what hinders one is in
    ``errors``. Where what is stored cannot be read, all that is open closes.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what ``spice_grant.plan`` returns, without ``answer``:

    .. code-block:: python

        {
            "changes": {"grants": {"myself-debianx": {"firewall": ["closes 192.168.2.2 port 20002 to myself"]}}},
            "errors": [],
            "warnings": [],
        }

    Reads the stored policy, our own rules, files and open connections: that is all that it needs. It asks for no
    account, name or certificate, and reads no rules of others.

    Writes what is stored for the next boot, our sudoers file, and lists of consoles.

    Raises CommandExecutionError if nothing is stored, and nothing is open.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.close
        salt '*' spice_grant.close test=True
    """
    return _report(lambda: enforcement.close(test))


def _report(made):
    by = recording.job(__opts__, salt.payload.loads, SaltException)
    with translated(CommandExecutionError), recording.run_by(by):
        return enforcement.with_exit_code(__context__, made())


def _stored(stored):
    return replace(stored, policy=stored.the_policy)
