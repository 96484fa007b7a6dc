"""
Query and enforce the firewall layer: who may connect to the consoles' ports, by owner-match rules.

.. versionadded:: 0.1.0

The rules live in a table of their own, ``inet spice_grant``, or, where there is no nftables, in chains of their own,
``SPICE-GRANT...`` of iptables; no other rule is ever changed. A connection to a guarded port passes if UID and GID of
the process that made the socket, the destination address and the port are those of a grant; everything else is logged
and reset, whether it comes from this machine or is only forwarded by it. What guests and containers send that share a
network card with it passes neither: a second table, ``netdev spice_grant``, drops the beginning of a connection there.

:depends: nftables 1.0 or newer, or iptables
"""

import logging
import os
import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.changes import Change, as_dict
from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.core.paths import LOAD_GUARD, UNITS
from spicegrants.engine import context
from spicegrants.expiry import clock_units, messages
from spicegrants.expiry.live import clock, notify
from spicegrants.firewall import backstop as backing
from spicegrants.firewall import boot, connections
from spicegrants.firewall.live import backends, backstop, egress, sockets
from spicegrants.firewall.nft import hotplug
from spicegrants.host import background, disk, package, run
from spicegrants.policy.model import Firewall

log = logging.getLogger(__name__)

__virtualname__ = "spice_firewall"
# Directories that go once nothing is in them.
_OWN = sorted({os.path.dirname(path) for path in (LOAD_GUARD, *boot.DROP_INS)})
_FILES = (*boot.PATHS, *clock_units.PATHS, *hotplug.PATHS, hotplug.RULES)
__outputter__ = {"rules": "nested"}


def __virtual__():
    return __virtualname__


def backend():
    """
    Return which firewall mechanism enforces the rules on this machine, its version, and why it is that one.

    The keys are ``backend`` (``nftables``, ``iptables-nft`` or ``iptables-legacy``), ``version``, ``reason``, and
    ``uplinks``, the interfaces on which frames are guarded that pass no other rule, and ``backstop``: whether that is
    held, and if not, why. Reads the stored policy, whose ``firewall: {backend: ...}`` decides; without one, or with
    ``auto``, it is nftables wherever that works. Runs ``nft`` or ``iptables``, and ``ip``. Raises CommandExecutionError
    if neither is installed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.backend
    """
    try:
        run.as_root()
        policy = context.stored().policy
        firewall = policy.firewall if policy else Firewall()
        mechanism, reason = backends.choose(firewall.backend)
        guarded = {"uplinks": egress.covered(), "backstop": backstop.words(firewall)}
        return {"backend": mechanism.name, "version": mechanism.version(), "reason": reason, **guarded}
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def rules(foreign=True):
    """
    Return the owner-match rules that the kernel holds, as a list of dicts.

    Ours have the keys ``user`` (None if no account has the UID), ``uid``, ``gid``, ``address``, ``port``, ``vm``,
    ``verdict``, ``packets``, ``bytes`` and ``foreign: False``. Where the verdict is the name of a chain, what it
    leads to is open at some times only: ``times`` are the ranges that the kernel holds, ``lasting`` those in which
    sessions that are open may go on, as lists of ``[start, end]``, the end being outside, ISO 8601 in UTC; both are
    None if the chain holds other rules than ours. Rules of other tables that match a UID or GID have ``foreign: True``,
    ``table``, ``chain``, ``handle`` and what of the other keys the rule states.

    foreign
        Whether to list rules of other tables. Defaults to ``True``.

    Runs ``nft list ruleset`` or ``iptables-save``. Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.rules
    """
    try:
        run.as_root()
        found = _mechanism()[0].rules(foreign)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    return [{"user": users.get(rule.get("uid")), **rule} for rule in found]


def denied():
    """
    Return the connections that the guard refused within the last hour, as a list of dicts.

    The keys are ``uid``, ``gid``, ``address``, ``port`` and ``packets``. Forwarded connections have no owner and are
    only in the log.

    Runs ``nft list table``. Raises CommandExecutionError if the table cannot be read, or if iptables enforces the
    rules: that keeps no such list.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.denied
    """
    try:
        run.as_root()
        refused = _mechanism()[0].denied()
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

    Reads the stored policy, accounts, the servers' addresses, the files for boot and clock; runs ``nft list table``,
    ``ip link`` and, with iptables, ``iptables-save``. Returns an empty dict if everything is as it must be. Raises
    CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.plan
    """
    try:
        wanted = wanted or context.compiled()
        run.as_root()
        mechanism, reason = _mechanism(wanted)
        # With many grants the longest wait of a run that changes nothing.
        held = background.begin(mechanism.held)
        stored, _, _ = _file_plan(wanted, mechanism.loading(wanted))
        beyond = (*egress.planned(wanted)[0].changes, *backstop.planned(wanted)[0].changes)
        left = (*beyond, *stored, *_left_over(mechanism), *_stray(wanted)[1])
        return as_dict((*_newly(mechanism, reason), *mechanism.compare(wanted, held.result()).changes, *left))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def apply(wanted=None):
    """
    Make the kernel hold what the policy says, in one transaction, now and from the next boot on.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns what was changed, as :func:`plan` does. Writes the rules to ``/var/lib/spice-grant``, what loads them to
    ``/usr/local/lib/spice-grant``, units and drop-ins for the services that flush rules to ``/etc/systemd/system``, and
    where udev is, a rule for new interfaces to ``/etc/udev/rules.d``.
    Runs ``nft list table`` or ``iptables-save`` and, if something must change, ``nft -f`` or ``iptables-restore``,
    ``systemctl daemon-reload``, and ``ss --kill`` for live sessions that lost their grant, whose users are told so on
    their desktops, by a process of their own. Has systemd hold the backstop, and start the clock, which ends and
    announces what runs out later. Rules of a mechanism that is not used any more go last.
    Raises CommandExecutionError if the rules are refused: then the kernel's are as they were, with iptables those of
    the IP version that was refused. With nftables, new times may be there already beside the old ones.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.apply
    """
    try:
        wanted = wanted or context.compiled()
        run.as_root()
        mechanism, reason = _mechanism(wanted)
        planned, leaving = mechanism.plan(wanted), egress.plan(wanted)[0].changes
        held_back, _ = backstop.plan(wanted)
        stored, entries, gone = _file_plan(wanted, mechanism.loading(wanted))
        left = (*leaving, *held_back.changes, *stored, *_left_over(mechanism), *_stray(wanted)[1])
        entries, gone = {**entries, **held_back.written}, [*gone, *held_back.removed]
        # Stored first: whenever this ends, a boot loads nothing that is revoked.
        for path, entry in entries.items():
            disk.make_parents(path)
            disk.write(path, entry)
        for path in gone:
            disk.remove(path)
        # As long as rules must change, a run that was killed may have written units as well.
        units = any(planned[1:]) or any(path.startswith(UNITS) for path in (*entries, *gone))
        try:
            if units:
                _reload_units()
        finally:
            # What systemd does not know is no reason to leave a port open.
            mechanism.send(planned)
            egress.apply(wanted)
            _end_sessions(wanted)
            _back(held_back)
        if units:
            _start_clock()
        for other in backends.left_over(mechanism):
            if mechanism.plan(wanted).changes:
                raise SystemFault(f"{mechanism.name} does not hold the rules yet: those of {other.name} stay")
            _take_over(other)
        return as_dict((*_newly(mechanism, reason), *planned.changes, *left))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def remove(test=False):
    """
    Remove our rules, and with them the guard: afterwards every user reaches every console's port.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what was changed. Removes what :func:`apply` writes, whichever mechanism held it; runs ``nft delete table``,
    ``iptables-restore``, ``systemctl stop`` and ``daemon-reload``. Raises CommandExecutionError if the rules cannot be
    removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.remove
    """
    try:
        run.as_root()
        guards = [path for paths in boot.GUARDS.values() for path in paths]
        files = (*boot.PATHS, *clock_units.PATHS, *hotplug.PATHS, *backing.PATHS, *guards)
        stored = [path for path in files if disk.read(path) is not None]
        hollow = [directory for directory in _OWN if disk.read(directory) and not disk.names_in(directory)]
        holding, watching = backends.holding(), egress.present()
        if not test:
            clock.stop()
            backstop.stop()
            for path in stored:
                disk.remove(path)
            for directory in _OWN:
                disk.prune(directory)
            if stored or holding or watching:
                # Also where a run that was killed had removed the units.
                _reload_units()
            for mechanism in holding:
                mechanism.delete()
            if watching:
                egress.delete()
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    done = [f"removes {path}" for path in (*stored, *hollow)]
    done += [f"removes the guard from {entry.name}" for entry in holding]
    done += ["removes the guard from uplinks"] * watching
    return {"layers": {"firewall": done}} if done else {}


def _mechanism(wanted=None):
    """Return the mechanism that the policy asks for, and why; without a policy, the machine decides."""
    policy = wanted.policy if wanted else context.stored().policy
    return backends.choose((policy.firewall if policy else Firewall()).backend)


def _stray(wanted):
    """Return the connections without a grant, and say that they will be ended."""
    found = connections.stray(wanted, sockets.connections())
    return found, connections.changes(wanted, found, _users(found), sockets.hindrance())


def _end_sessions(wanted):
    """End connections without a grant; where that fails they are still to do, and no reason to leave all else open."""
    found, _ = _stray(wanted)
    try:
        sockets.end(found)
    except CommandFailed as error:
        log.warning("sessions without a grant go on until their next packet: %s", error)
    else:
        notify.tell(messages.ended(wanted, found, _users(found)), messages.ENDED, wanted.gid)


def _back(planned):
    """Have the backstop held, or ended; where that fails the guard stands, and what is left to do is an error."""
    try:
        if planned.removed:
            backstop.stop()
        elif not planned.held:
            backstop.hold()
    except CommandFailed as error:
        log.warning("the backstop is not held: %s", error)


def _start_clock():
    """Start the clock, whose unit may be new; where that fails, what holds in the kernel holds all the same."""
    try:
        clock.start()
    except CommandFailed as error:
        log.warning("nobody is warned before a session ends, and idle ones go on: %s", error)


def _users(found):
    """Return the names of users by UID, where any are needed."""
    return {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()} if found else {}


def _file_plan(wanted, loading):
    """Return in words what of our files must change, by path what is to be written, and the paths to remove."""
    program = package.program("spicegrants.expiry.live.clock")
    live = {path: disk.read(path) for path in (*_FILES, *loading.files)}
    plans = boot.plan(loading, live), clock_units.plan(program, live), hotplug.plan(wanted, live)
    changes, paths = (sum(parts, ()) for parts in zip(*plans))
    entries = {
        **boot.wanted_entries(loading),
        **clock_units.wanted_entries(program),
        **hotplug.wanted_entries(wanted, live),
    }
    written = {path: entries[path] for path in paths if path in entries}
    return changes, written, [path for path in paths if path not in entries]


def _newly(mechanism, reason):
    """Say which mechanism is used, and why, where it has not been used before."""
    known = any(disk.read(path) is not None for path in boot.GUARDS[mechanism.name])
    return [] if known else [Change("firewall", f"uses {mechanism.name}: {reason}")]


def _left_over(mechanism):
    """Say what becomes of the rules that an earlier run gave to another mechanism."""
    return [
        Change("firewall", f"removes the guard from {other.name}, now that {mechanism.name} holds it")
        for other in backends.left_over(mechanism)
    ]


def _take_over(mechanism):
    """Remove the rules of a mechanism, and then what says that it was in use."""
    paths = boot.GUARDS[mechanism.name]
    try:
        if mechanism.present():
            mechanism.delete()
    except SpiceGrantError as error:
        hint = f"once the kernel has none, remove {' and '.join(paths)}"
        raise SystemFault(f"what {mechanism.name} may hold of ours cannot be removed: {error}; {hint}") from error
    for path in paths:
        disk.remove(path)


def _reload_units():
    """Have systemd read its units anew, where it runs: not in a chroot or a container without it."""
    if os.path.isdir("/run/systemd/system"):
        run.run(["systemctl", "daemon-reload"])
