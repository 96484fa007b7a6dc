"""
The firewall layer: owner-match rules that decide who may connect to the consoles' ports.

.. versionadded:: 0.1.0

The rules are in a table of their own, ``inet spice_grant``. Where there is no nftables, they are in chains of their own
of iptables, ``SPICE-GRANT...``. No other rule is ever changed.

A connection to a guarded port passes if four things are those of a grant: UID and GID of the process that made the
socket, the destination address, and the port. Everything else is logged and reset, whether it comes from this machine
or is only forwarded by it.

What guests and containers send that share a network card with this machine passes neither table nor chains. A second
table, ``netdev spice_grant``, drops the beginning of a connection there.

:depends: nftables 1.0 or newer, or iptables
"""

import pwd
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import ACCOUNTING, EXPIRY, FIREWALL
from spicegrants.firewall.live import backends, backstop, egress
from spicegrants.host import run
from spicegrants.policy.model import Firewall

__virtualname__ = "spice_firewall"
# The clock, which ends sessions, is a part of the firewall to whoever asks for it.
_LAYERS = (FIREWALL, EXPIRY, ACCOUNTING)
__outputter__ = {"rules": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def backend():
    """
    Return which firewall mechanism enforces the rules on this machine, and why it is that one.

    The stored policy's ``firewall: {backend: ...}`` decides. Without a policy, or with ``auto``, it is nftables
    wherever that works.

    Returns a dict with these keys:

    * ``backend``: ``nftables``, ``iptables-nft`` or ``iptables-legacy``.
    * ``version``: what the program says of its version.
    * ``reason``: why it is that mechanism.
    * ``uplinks``: list of the interfaces on which frames are guarded that pass no other rule.
    * ``backstop``: whether the backstop is held, and if not, why.

    .. code-block:: python

        {
            "backend": "nftables",
            "version": "nftables v1.0.6 (Lester Gooch #5)",
            "reason": "nft is installed, and in use already",
            "uplinks": ["eth0"],
            "backstop": "off: pillar says so",
        }

    Reads the stored policy.

    Runs ``nft`` or ``iptables``, and ``ip``.

    Raises CommandExecutionError if neither ``nft`` nor ``iptables`` is installed.

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


@checked(CommandExecutionError)
def rules(foreign=True):
    """
    Return the owner-match rules that the kernel holds.

    foreign
        Boolean: whether to list rules of other tables as well. Defaults to ``True``.

    Each dict of the list that is a rule of ours has these keys:

    * ``user``: name of the user; ``None`` if no account has the UID.
    * ``uid``: UID of the access.
    * ``gid``: GID of the viewer's group.
    * ``address``: address of the server.
    * ``port``: port of the console.
    * ``vm``: name of the vm.
    * ``verdict``: what becomes of a packet, or the name of a chain. What leads to a chain is open at some times only.
    * ``times``: only with a chain: when it opens, as the kernel holds it. A list of ``[start, end]``, ISO 8601 in UTC,
      the end being outside; ``None`` if the chain holds other rules than ours.
    * ``lasting``: only with a chain: when sessions that are open may go on; in the same form.
    * ``packets``: packets that the rule has counted.
    * ``bytes``: bytes that the rule has counted.
    * ``foreign``: ``False``.

    Each rule of another table that matches a UID or GID has ``user`` and these keys, and what of the others it states:

    * ``table``: family and name of the table.
    * ``chain``: name of the chain.
    * ``handle``: the kernel's number for the rule; ``None`` where iptables holds it.
    * ``foreign``: ``True``.

    .. code-block:: python

        [
            {
                "user": "myself",
                "uid": 1021,
                "gid": 990,
                "address": "192.168.2.2",
                "port": 20002,
                "vm": "debianx",
                "verdict": "accept",
                "packets": 3,
                "bytes": 180,
                "foreign": False,
            },
            {
                "user": None,
                "table": "ip site",
                "chain": "mine",
                "handle": 4,
                "gid": 1500,
                "verdict": "drop",
                "foreign": True,
            },
        ]

    Runs ``nft list ruleset`` or ``iptables-save``.

    Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.rules
    """
    with translated(CommandExecutionError):
        run.as_root()
        found = _mechanism().rules(foreign)
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    return [{"user": users.get(rule.get("uid")), **rule} for rule in found]


@checked(CommandExecutionError)
def denied():
    """
    Return the connections that the guard refused within the last hour.

    Forwarded connections have no owner and are only in the log, which ``spice_grant.denials`` reads.

    Each dict of the list has these keys:

    * ``uid``: UID of the process that made the socket.
    * ``gid``: GID of the process that made the socket.
    * ``address``: destination address.
    * ``port``: destination port.
    * ``packets``: how many packets were refused.

    .. code-block:: python

        [{"uid": 1023, "gid": 1023, "address": "192.168.2.2", "port": 20002, "packets": 3}]

    Runs ``nft list table``.

    Raises CommandExecutionError if the table cannot be read, or if iptables enforces the rules: that keeps no such
    list.

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


@checked(CommandExecutionError)
def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Returns a dict, empty if everything is as it must be:

    * ``grants``: dict by grant; each has the sentences under ``firewall``.
    * ``layers``: dict with the sentences that belong to no single grant, under ``firewall``.

    .. code-block:: python

        {
            "grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}},
            "layers": {"firewall": ["guards ports 20001-20010 towards every destination"]},
        }

    Reads the stored policy, accounts, the servers' addresses, the files for boot and clock.

    Runs ``nft list table``, ``ip link`` and, with iptables, ``iptables-save``.

    Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers(_LAYERS)


@checked(CommandExecutionError)
def apply():
    """
    Make the kernel hold what the policy says, in one transaction, now and from the next boot on.

    Rules of a mechanism that is not used any more go last.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"grants": {"myself-debianx": {"firewall": ["opens 192.168.2.2 port 20002 to myself"]}}}

    Writes the rules to ``/var/lib/spice-grant``, what loads them to ``/usr/local/lib/spice-grant``, units and drop-ins
    for the services that flush rules to ``/etc/systemd/system`` and, where udev is, a rule for new interfaces to
    ``/etc/udev/rules.d``.

    Runs ``nft list table`` or ``iptables-save``. If something must change, it runs ``nft -f`` or ``iptables-restore``,
    ``systemctl daemon-reload``, and ``ss --kill`` for live sessions that lost their grant. A process of its own says so
    to their users on their desktops.

    Has systemd hold the backstop, and start the clock, which ends and announces what runs out later.

    Raises CommandExecutionError if the rules are refused. The kernel's are then as they were; with iptables this holds
    for the IP version that was refused. With nftables, new times may be there already beside the old ones.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_firewall.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers(_LAYERS)


@checked(CommandExecutionError)
def remove(test=False):
    """
    Remove our rules, and with them the guard: afterwards every user reaches every console's port.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"firewall": ["removes the guard from nftables"]}}

    Removes what :func:`apply` writes, whichever mechanism held it.

    Runs ``nft delete table``, ``iptables-restore``, ``systemctl stop`` and ``systemctl daemon-reload``.

    Raises CommandExecutionError if the rules cannot be removed.

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
