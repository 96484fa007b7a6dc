"""
This machine as a desk that asks KVM hosts for tickets. Salt makes one module of this and ``spice_grant``.

.. versionadded:: 0.2.0
"""

import socket
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.paths import DESK_KEY
from spicegrants.engine import context
from spicegrants.host import disk

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def desk():
    """
    Return this machine as an entry of pillar's ``spice:desks``, also for Salt's mine.

    Returns a dict with these keys:

    * ``addresses``: list of its addresses on the way to the KVM hosts that it asks.
    * ``key``: public key by which its root asks KVM hosts for tickets.

    .. code-block:: python

        {"addresses": ["192.168.2.22"], "key": "ssh-ed25519 AAAAC3Nza..."}

    Reads the stored policy, and ``/var/lib/spice-grant/desk_key.pub``, which a run makes where hosts are to be asked.

    Raises CommandExecutionError if there is no such key yet, or no way to any of these servers.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.desk
    """
    with translated(CommandExecutionError):
        kept = context.stored()
        servers = kept.the_policy.servers
        content = disk.read_text(f"{DESK_KEY}.pub")
    if content is None:
        raise CommandExecutionError("this machine has no key for KVM hosts yet: run state.apply spice")
    asked = [address for name, found in kept.addresses.items() if servers[name].minion for address in found]
    addresses = list(dict.fromkeys(filter(None, map(_own_address, asked))))
    if not addresses:
        raise CommandExecutionError("no way leads to the servers whose minion gives tickets")
    return {"addresses": addresses, "key": " ".join(content.decode("ascii", "replace").split()[:2])}


def _own_address(server):
    """Return this machine's address on the way to a server; ``None`` where no way leads there. Nothing is sent."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((server, 9))
            return probe.getsockname()[0]
    except OSError:
        return None
