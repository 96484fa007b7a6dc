"""
Query and enforce the firewall layer: who may connect to the consoles' ports, by owner-match rules.

.. versionadded:: 0.1.0

The rules live in a table of their own, ``inet spice_grant``; no other table is ever changed. A connection to a guarded
port passes if UID and GID of the process that made the socket, the destination address and the port are an element of
the table's map; everything else is logged and reset, in the output and in the forward hook.

:depends: nftables 1.0 or newer
"""

import json
import os
import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants import boot, nftables, owners
from spicegrants.errors import LiveStateUnreadable, SpiceGrantError
from spicegrants.host import current, desktop, disk, run, sockets
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

    Reads the stored policy, accounts, the servers' addresses, the files for the boot; runs ``nft list table``. Returns
    an empty dict if everything is as it must be. Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.plan
    """
    try:
        wanted = wanted or current.compiled()
        return as_dict((*_plan(wanted).changes, *_boot_plan(wanted)[0]))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def apply(wanted=None):
    """
    Make the kernel hold what the policy says, in one transaction, now and from the next boot on.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns what was changed, as :func:`plan` does. Writes the rules to ``/var/lib/spice-grant``, a unit and a drop-in
    for ``nftables.service`` to ``/etc/systemd/system``; runs ``nft list table`` and, if something must change,
    ``nft -f`` and ``systemctl daemon-reload``, and ``ss --kill`` for live sessions that lost their grant, whose users
    are told so on their desktops, by a process of their own. Raises CommandExecutionError if nft refuses: then the
    kernel's rules are as they were.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.apply
    """
    try:
        wanted = wanted or current.compiled()
        planned, (stored_changes, write) = _plan(wanted), _boot_plan(wanted)
        # Stored first: whenever this ends, a boot loads nothing that is revoked.
        entries = boot.wanted_entries(wanted)
        for path in write:
            disk.make_parents(path)
            disk.write(path, entries[path])
        if any(path.startswith(boot.UNITS) for path in write):
            _reload_units()
        if planned.commands:
            run.run(["nft", "-j", "-f", "-"], text=json.dumps({"nftables": planned.commands}))
        desktop.tell(desktop.notices(wanted, sockets.end(planned.closed)), wanted.gid)
        return as_dict((*planned.changes, *stored_changes))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def remove(test=False):
    """
    Remove our table, and with it the guard: afterwards every user reaches every console's port.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what was changed. Removes what :func:`apply` writes; runs ``nft delete table`` and ``systemctl
    daemon-reload``. Raises CommandExecutionError if nft refuses.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.remove
    """
    try:
        run.as_root()
        stored = [path for path in boot.PATHS if disk.read(path) is not None]
        guarded = _table() is not None
        if not test:
            for path in stored:
                disk.remove(path)
            if stored:
                disk.prune(os.path.dirname(boot.DROP_IN))
                _reload_units()
            if guarded:
                run.run(["nft", "delete", "table", nftables.FAMILY, nftables.TABLE])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    done = [f"removes {path}" for path in stored] + ["removes the guard"] * guarded
    return {"layers": {"firewall": done}} if done else {}


def _plan(wanted):
    run.as_root()
    return nftables.plan(wanted, _table())


def _boot_plan(wanted):
    return boot.plan(wanted, {path: disk.read(path) for path in boot.PATHS})


def _reload_units():
    """Have systemd read its units anew, where it runs: not in a chroot or a container without it."""
    if os.path.isdir("/run/systemd/system"):
        run.run(["systemctl", "daemon-reload"])


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
