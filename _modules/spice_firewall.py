"""
Query and enforce the firewall layer: who may connect to the consoles' ports, by owner-match rules.

.. versionadded:: 0.1.0

The rules live in a table of their own, ``inet spice_grant``; no other table is ever changed. A connection to a guarded
port passes if UID and GID of the process that made the socket, the destination address and the port are an element of
the table's map; everything else is logged and reset, in the output and in the forward hook.

:depends: nftables 1.0 or newer
"""

import json
import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants import nftables, owners
from spicegrants.errors import LiveStateUnreadable, SpiceGrantError
from spicegrants.host import current, run
from spicegrants.plan import as_dict

__virtualname__ = "spice_firewall"
__outputter__ = {"rules": "nested"}


def __virtual__():
    return __virtualname__


def backend():
    """
    Return which firewall mechanism enforces the rules.

    Runs ``nft --version``. Raises CommandExecutionError if nft is missing.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.backend
    """
    try:
        return {"backend": "nftables", "version": run.run(["nft", "--version"]).strip()}
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def rules(foreign=True):
    """
    Return the owner-match rules that the kernel holds, as a list of dicts.

    Ours have the keys ``user`` (None if no account has the UID), ``uid``, ``gid``, ``address``, ``port``, ``vm``,
    ``verdict``, ``packets``, ``bytes`` and ``foreign: False``. Rules of other tables that match a UID or GID have
    ``foreign: True``, ``table``, ``chain``, ``handle`` and what of the other keys the rule states.

    foreign
        Whether to list rules of other tables. Defaults to ``True``.

    Runs ``nft list ruleset``. Raises CommandExecutionError if the ruleset cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.rules
    """
    try:
        run.as_root()
        objects = _listed(["list", "ruleset"])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    found = owners.ours(objects)
    if foreign:
        found += owners.foreign(objects)
    return [{"user": users.get(rule.get("uid")), **rule} for rule in found]


def denied():
    """
    Return the connections that the guard refused within the last hour, as a list of dicts.

    The keys are ``uid``, ``gid``, ``address``, ``port`` and ``packets``. Forwarded connections have no owner and are
    only in the log.

    Runs ``nft list table``. Raises CommandExecutionError if the table cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.denied
    """
    try:
        run.as_root()
        refused = nftables.denied(_table() or [])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return [
        {"uid": key.uid, "gid": key.gid, "address": key.address, "port": key.port, "packets": packets}
        for key, packets in sorted(refused.items())
    ]


def plan(wanted=None):
    """
    Return what :func:`apply` would change, and change nothing.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Reads the stored policy, accounts, the servers' addresses; runs ``nft list table``. Returns an empty dict if
    everything is as it must be. Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.plan
    """
    try:
        return as_dict(_plan(wanted or current.compiled()).changes)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def apply(wanted=None):
    """
    Make the kernel hold what the policy says, in one transaction; return what was changed, as :func:`plan` does.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Runs ``nft list table`` and, if something must change, ``nft -f``. Raises CommandExecutionError if nft refuses: then
    nothing was changed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.apply
    """
    try:
        planned = _plan(wanted or current.compiled())
        if planned.commands:
            run.run(["nft", "-j", "-f", "-"], text=json.dumps({"nftables": planned.commands}))
        return as_dict(planned.changes)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def remove():
    """
    Remove our table, and with it the guard: afterwards every user reaches every console's port.

    Returns what was changed. Runs ``nft delete table``. Raises CommandExecutionError if nft refuses.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.remove
    """
    try:
        run.as_root()
        if _table() is None:
            return {}
        run.run(["nft", "delete", "table", nftables.FAMILY, nftables.TABLE])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {"layers": {"firewall": ["removes the guard"]}}


def _plan(wanted):
    run.as_root()
    return nftables.plan(wanted, _table())


def _table():
    """Return the objects of our table; None if there is no such table, which is not the same as unreadable."""
    listing = ["nft", "-nj", "list", "table", nftables.FAMILY, nftables.TABLE]
    done = run.attempt(listing)
    if done.returncode == 0:
        return run.as_json(done.stdout, "nft list table")["nftables"]
    tables = [entry["table"] for entry in _listed(["list", "tables"]) if "table" in entry]
    if any((table["family"], table["name"]) == (nftables.FAMILY, nftables.TABLE) for table in tables):
        raise LiveStateUnreadable(f"nft list table ended with {done.returncode}: {done.stderr.strip()}")
    return None


def _listed(what):
    return run.as_json(run.run(["nft", "-nj", *what]), f"nft {' '.join(what)}")["nftables"]
