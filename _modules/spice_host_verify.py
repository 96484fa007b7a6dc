"""
Proof that a KVM host's consoles open with a ticket and with nothing else, by trying: a part of ``spice_host``.

.. versionadded:: 0.2.0

:depends: cryptography, which Salt brings
"""

import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from salt.exceptions import CommandExecutionError

from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.host import run
from spicegrants.hypervisor import trial
from spicegrants.hypervisor.live import notice, tickets
from spicegrants.hypervisor.live import trial as live_trial

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __context__: dict[str, Any] = {}

__virtualname__ = "spice_host"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def verify(vm=None):
    """
    Prove by trying that consoles of this host open with a ticket, and with nothing else.

    vm
        Text: name of the one vm to try. Defaults to every vm whose tickets this host gives.

    It speaks SPICE with each console, from this host itself: without a ticket; then with one that the service makes for
    this, which holds for a few seconds and opens the port to this host alone, with a guessed password, with that of the
    domain's definition, with the ticket from another address, and with the ticket again once its session has ended. A
    console that somebody has open is only tried without a ticket. Nobody is thrown out.

    Who may have a ticket is no question here: ``spice_grant.verify`` on the desks asks that.

    Returns a dict with these keys:

    * ``ok``: ``True`` if all is as it must be. ``False`` if anything is not; the exit code is 1 then. ``None`` if
      nothing differs, but no console could be opened with a ticket; the exit code is 2 then.
    * ``differences``: list of sentences, what is not as it must be.
    * ``unproven``: list of sentences, what could not be tried.
    * ``consoles``: dict by vm of dicts by way: ``open``, ``denied`` (by the console), ``refused`` (by the port), or
      what happened in words.

    .. code-block:: python

        {
            "ok": True,
            "differences": [],
            "unproven": ["debianx: domain debianx-kali does not run"],
            "consoles": {
                "books": {
                    "without a ticket": "refused",
                    "guessed password": "denied",
                    "password of its definition": "denied",
                    "ticket, from another address": "refused",
                    "ticket": "open",
                    "ticket, once its session has ended": "refused",
                }
            },
        }

    Reads what is stored in ``/var/lib/spice-host``.

    Runs ``virsh``.

    Raises CommandExecutionError if nothing is stored, if there is no such vm, or if the service that gives tickets does
    not answer.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.verify
        salt 'kvm1' spice_host.verify vm=books
    """
    with translated(CommandExecutionError):
        run.as_root()
        run.need("virsh")
        kept = tickets.stored()
        declared = kept.the_policy.consoles_of(kept.minion)
        if vm is not None and vm not in declared:
            raise CommandExecutionError(f"this host gives no tickets for a vm {quote(vm)}{did_you_mean(vm, declared)}")
        if not notice.tell():
            raise CommandExecutionError("the service that gives tickets does not answer")
        differences, unproven, found = [], [], {}
        for name in [vm] if vm is not None else sorted(declared):
            try:
                tried = live_trial.console(kept, declared[name], _encrypted)
            except (SpiceGrantError, OSError) as error:
                tried = live_trial.Tried({}, str(error))
            found[name] = tried.found
            differences += trial.differences(name, tried.found)
            unproven += [f"{name}: {tried.hindrance}"] * bool(tried.hindrance)
    ok = trial.verdict(differences, sum(trial.TICKET in ways for ways in found.values()))
    if ok is not True:
        __context__["retcode"] = 1 if ok is False else 2
    return {"ok": ok, "differences": differences, "unproven": unproven, "consoles": found}


def _encrypted(key, ticket):
    """Encrypt a ticket by a console's key; raise ``ValueError`` if that is none. The hash is SPICE's own choice."""
    public = serialization.load_der_public_key(key)
    if not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("its key is not of RSA")
    digest = hashes.SHA1()  # noqa: S303
    return public.encrypt(ticket.encode() + bytes(1), padding.OAEP(padding.MGF1(digest), digest, None))
