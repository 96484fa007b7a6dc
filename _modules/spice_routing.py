"""
The routing layer: rules of policy routing that keep users from consoles' ports without netfilter.

.. versionadded:: 0.1.0

A packet to a guarded port finds its way only if the user and the place are those of a grant. All others are led to a
device that swallows them, ``spice-dead``. While the firewall layer is up it refuses them first, and logs it. Where
netfilter was flushed, or is not loaded yet, they still go nowhere.

Rules have the preferences 161 to 166 and protocol 74, routes are in table 7462; no other rule or route is ever changed.
Routing knows neither the viewer's group nor times, and holds nothing of root's.

:depends: iproute2 and a kernel with rules by UID and port (4.17 or newer) and dummy or ifb devices
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
from spicegrants.engine import enforcement
from spicegrants.engine.layers import ROUTING
from spicegrants.host import run
from spicegrants.routing import policy_rules
from spicegrants.routing.live import ip

__virtualname__ = "spice_routing"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def rules():
    """
    Return the rules of ours that the kernel holds for grants.

    Each dict of the list has these keys:

    * ``user``: name of the user; ``None`` if no account has the UID.
    * ``uid``: UID of the access.
    * ``address``: address of the server.
    * ``ports``: list of the first and the last port.

    .. code-block:: python

        [{"user": "myself", "uid": 1021, "address": "192.168.2.2", "ports": [20002, 20002]}]

    Runs ``ip rule show``.

    Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.rules
    """
    with translated(CommandExecutionError):
        run.as_root()
        found = ip.own_rules(ip.read_kernel())
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}
    return [
        {"user": users.get(rule.uid), "uid": rule.uid, "address": rule.address, "ports": list(rule.ports)}
        for rule in found
        if policy_rules.personal(rule) and rule.uid and rule.ports
    ]


@checked(CommandExecutionError)
def review():
    """
    Say whether the layer is on where pillar leaves that open, and why not where it is off.

    Returns a dict with these keys:

    * ``errors``: list of sentences, why the layer is off though pillar switches it on.
    * ``warnings``: list of sentences, why the layer is off where pillar leaves that open.

    Both are empty where the layer is on, or pillar does not ask for it:

    .. code-block:: python

        {"errors": [], "warnings": []}

    Runs ``ip`` and ``unshare``. Where nothing of ours is there yet, it tries the layer in a network namespace of its
    own.

    Raises CommandExecutionError if the rules cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.review
    """
    with translated(CommandExecutionError):
        return enforcement.review_layer(ROUTING)


@checked(CommandExecutionError)
def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Returns a dict, empty if everything is as it must be:

    * ``grants``: dict by grant; each has the sentences under ``routing``.
    * ``layers``: dict with the sentences that belong to no single grant, under ``routing``.

    .. code-block:: python

        {
            "grants": {"myself-debianx": {"routing": ["opens 192.168.2.2 port 20002 to myself"]}},
            "layers": {"routing": ["guards ports 20001-20010 towards every destination (IPv4)"]},
        }

    Reads the stored policy, accounts, the servers' addresses and the files for the boot.

    Runs ``ip rule show``, ``ip route show`` and ``ip link show``.

    Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers([ROUTING])


@checked(CommandExecutionError)
def apply():
    """
    Make the kernel hold the rules that the policy says, now and from the next boot on; or none where the layer is off.

    At no moment is more open than before or after.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"grants": {"myself-debianx": {"routing": ["opens 192.168.2.2 port 20002 to myself"]}}}

    Writes rules to ``/var/lib/spice-grant``, what loads them to ``/usr/local/lib/spice-grant``, and a unit to
    ``/etc/systemd/system``. Where there is systemd-networkd, it also writes to ``/etc/systemd/networkd.conf.d`` the
    setting that has it leave rules of others alone.

    Runs ``ip`` and, for a new unit, ``systemctl daemon-reload``.

    Raises CommandExecutionError if the kernel refuses a rule.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers([ROUTING])


@checked(CommandExecutionError)
def remove(test=False):
    """
    Remove our rules, the table's routes, the device, and what loads them at a boot.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"routing": ["removes the rules (IPv4)"]}}

    Removes what :func:`apply` writes.

    Runs ``ip`` and ``systemctl daemon-reload``.

    Raises CommandExecutionError if something cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_routing.remove
    """
    with translated(CommandExecutionError):
        return enforcement.remove_layers([ROUTING], test)
