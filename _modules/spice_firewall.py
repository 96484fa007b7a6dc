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

import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.errors import translated
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import EXPIRY, FIREWALL
from spicegrants.firewall.live import backends, backstop, egress
from spicegrants.host import run
from spicegrants.policy.model import Firewall

__virtualname__ = "spice_firewall"
# The clock, which ends sessions, is a part of the firewall to whoever asks for it.
_LAYERS = (FIREWALL, EXPIRY)
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
    with translated(CommandExecutionError):
        run.as_root()
        policy = context.stored().policy
        firewall = policy.firewall if policy else Firewall()
        mechanism, reason = backends.choose(firewall.backend)
        guarded = {"uplinks": egress.covered(), "backstop": backstop.words(firewall)}
        return {"backend": mechanism.name, "version": mechanism.version(), "reason": reason, **guarded}


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
    with translated(CommandExecutionError):
        run.as_root()
        found = _mechanism().rules(foreign)
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
    with translated(CommandExecutionError):
        run.as_root()
        refused = _mechanism().denied()
    return [
        {"uid": key.uid, "gid": key.gid, "address": key.address, "port": key.port, "packets": packets}
        for key, packets in sorted(refused.items())
    ]


def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Reads the stored policy, accounts, the servers' addresses, the files for boot and clock; runs ``nft list table``,
    ``ip link`` and, with iptables, ``iptables-save``. Returns an empty dict if everything is as it must be. Raises
    CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers(_LAYERS)


def apply():
    """
    Make the kernel hold what the policy says, in one transaction, now and from the next boot on.

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
    with translated(CommandExecutionError):
        return enforcement.apply_layers(_LAYERS)


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
    with translated(CommandExecutionError):
        return enforcement.remove_layers(_LAYERS, test)


def _mechanism():
    """Return the mechanism that the stored policy asks for; without one, the machine decides."""
    policy = context.stored().policy
    return backends.choose((policy.firewall if policy else Firewall()).backend)[0]
