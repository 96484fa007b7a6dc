"""
A first pillar, made of what is seen of this machine: a part of ``spice_grant``.

.. versionadded:: 0.1.0
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.policy import example as first
from spicegrants.policy.live import seen

__virtualname__ = "spice_grant"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def example():
    """
    Return the text of a first pillar for this machine.

    Its people, an authority and its own consoles are in it where they can be seen: accounts with a shell and a UID of
    people's kind, a file with certificates below ``/etc/pki``, consoles on TLS ports that libvirt defines. Where
    nothing is seen, there are the names of the README. Comments say what is to be filled in. It is a valid pillar, and
    nothing of it is applied: who may open what is for you to say.

    Returns text in YAML, as for a file of pillar. It is printed as it is by ``salt-call spice_grant.example --out=txt |
    sed 's/^local: //'``.

    .. code-block:: yaml

        spice:
          servers:
            mysrv:
              host: mysrv.anraconc.de  # fill in: the name in the certificate
              addresses: [192.168.2.2]  # fill in: all of them
              ports: [20001-20010]  # fill in: closed to all but granted users, TLS and plain ports alike
              ca: /etc/pki/spice/ca-cert.pem  # seen here
          vms:  # fill in: consoles and their TLS ports
            debianx: {server: mysrv, tls_port: 20002}
          grants:  # fill in: who may open what; none of these was asked for
            anne-debianx: {user: anne, vm: debianx}

    Reads accounts, ``/etc/login.defs``, and files below ``/etc/pki``. Writes nothing.

    Runs ``virsh list`` and ``virsh dumpxml``, if virsh is there.

    Raises CommandExecutionError if the accounts' limits or ``/etc/pki`` cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'client1' spice_grant.example
    """
    with translated(CommandExecutionError):
        return first.pillar(seen.machine())
