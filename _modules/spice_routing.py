"""
Query and enforce the routing layer: rules of policy routing that keep users from consoles' ports without netfilter.

.. versionadded:: 0.1.0

A packet to a guarded port finds its way only if the user and the place are those of a grant; all others are led to a
device that swallows them, ``spice-dead``. While the firewall layer is up it refuses them first, and logs it; where
netfilter was flushed, or is not loaded yet, they still go nowhere. Rules have the preferences 161 to 166 and protocol
74, routes are in table 7462; no other rule or route is ever changed. Routing knows neither the viewer's group nor
times, and holds nothing of root's.

:depends: iproute2 and a kernel with rules by UID and port (4.17 or newer) and dummy or ifb devices
"""

import os
import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.changes import as_dict, merge
from spicegrants.core.errors import SpiceGrantError
from spicegrants.core.paths import LOAD_ROUTES
from spicegrants.engine import context
from spicegrants.host import disk, run
from spicegrants.routing import boot, policy_rules
from spicegrants.routing.live import ip

__virtualname__ = "spice_routing"
# How often rules are made as they must be before what is still different is an error.
_PASSES = 3


def __virtual__():
    return __virtualname__


def rules():
    """
    Return the rules of ours that the kernel holds for grants, as a list of dicts.

    The keys are ``user`` (None if no account has the UID), ``uid``, ``address`` and ``ports`` (the first and the last).

    Runs ``ip rule show``. Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.rules
    """
    try:
        run.as_root()
        found = ip.rules(ip.read())
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    return [
        {"user": users.get(rule.uid), "uid": rule.uid, "address": rule.address, "ports": list(rule.ports)}
        for rule in found
        if policy_rules.personal(rule)
    ]


def review(wanted=None):
    """
    Say whether the layer is on where pillar leaves that open, and why not where it is off.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns ``errors`` and ``warnings``, lists of sentences. Tries it in a network namespace of its own where nothing
    of ours is there yet. Runs ``ip`` and ``unshare``. Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.review
    """
    try:
        run.as_root()
        wanted = wanted or context.compiled()
        live = None if wanted.policy.routing.enabled is False else ip.held()
        hindered = ip.chosen(wanted.policy, live)[1]
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    insisted = wanted.policy.routing.enabled is True
    return {
        "errors": [f"routing: pillar wants it: {hindered}"] if hindered and insisted else [],
        "warnings": [f"routing is off: {hindered}"] if hindered and not insisted else [],
    }


def plan(wanted=None):
    """
    Return what :func:`apply` would change, and change nothing.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Reads the stored policy, accounts, the servers' addresses and the files for the boot; runs ``ip rule show``, ``ip
    route show`` and ``ip link show``. Returns an empty dict if everything is as it must be. Raises
    CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.plan
    """
    try:
        run.as_root()
        return as_dict(_planned(wanted or context.compiled())[0])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def apply(wanted=None):
    """
    Make the kernel hold the rules that the policy says, now and from the next boot on; or none where the layer is off.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns what was changed, as :func:`plan` does. Writes rules to ``/var/lib/spice-grant``, what loads them to
    ``/usr/local/lib/spice-grant``, a unit to ``/etc/systemd/system`` and, where there is systemd-networkd, the setting
    that has it leave rules of others alone to ``/etc/systemd/networkd.conf.d``. Runs ``ip`` and, for a new unit,
    ``systemctl daemon-reload``. At no moment is more open than before or after. Raises CommandExecutionError if the
    kernel refuses a rule.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.apply
    """
    try:
        run.as_root()
        wanted = wanted or context.compiled()
        changes, planned, entries, superfluous = _planned(wanted)
        # Stored first: whenever this ends, a boot loads nothing that is revoked.
        for path, entry in entries.items():
            disk.make_parents(path)
            disk.write(path, entry)
        for path in superfluous:
            disk.remove(path)
        ip.carry_out(planned)
        for _ in range(_PASSES - 1):
            # What stood where only ours may be can have taken one of ours along.
            _, left = _kernel_plan(wanted)
            if left is None or not left.changes:
                break
            ip.carry_out(left)
        if any(path.startswith(os.path.dirname(boot.UNIT)) for path in (*entries, *superfluous)):
            _reload_units()
        return as_dict(changes)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def remove(test=False):
    """
    Remove our rules, the table's routes, the device, and what loads them at a boot.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what was changed. Removes what :func:`apply` writes; runs ``ip`` and ``systemctl daemon-reload``. Raises
    CommandExecutionError if something cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.remove
    """
    try:
        run.as_root()
        stored = [path for path in boot.PATHS if disk.read(path) is not None]
        planned = ip.plan(None, ip.held())
        if not test:
            for path in stored:
                disk.remove(path)
            for path in (LOAD_ROUTES, boot.NETWORKD):
                disk.prune(os.path.dirname(path))
            if stored:
                _reload_units()
            ip.carry_out(planned)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    removals = {"layers": {"routing": [f"removes {path}" for path in stored]}} if stored else {}
    return merge([removals, as_dict(planned.changes if planned else ())])


def _kernel_plan(wanted):
    """Return whether the layer is on, and the plan for the kernel; ``None`` where nothing can be there, nor need be."""
    live = ip.held()
    on, _ = ip.chosen(wanted.policy, live)
    return on, ip.plan(wanted if on else None, live)


def _planned(wanted):
    """Return all changes in words, the plan for the kernel, and of files those to write and those to remove."""
    on, planned = _kernel_plan(wanted)
    entries = boot.wanted_entries(wanted, ip.networkd()) if on else {}
    held = {path: disk.read(path) for path in boot.PATHS}
    stored, write = boot.plan(entries, held)
    superfluous = [path for path in held if path not in entries and held[path] is not None]
    changes = (*stored, *(planned.changes if planned else ()))
    return changes, planned, {path: entries[path] for path in write}, superfluous


def _reload_units():
    """Have systemd read its units anew, where it runs."""
    if os.path.isdir("/run/systemd/system"):
        run.run(["systemctl", "daemon-reload"])
