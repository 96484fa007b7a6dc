"""
The KVM host's half: consoles as declared, a ticket for each launch, and ports that are shut to all who did not ask.

.. versionadded:: 0.2.0

A console has a password that nobody knows and that has ended. The opener of a desk asks for a ticket by SSH, with a key
that only its root has. This host decides by the same grants as the desks, with what is stored here alone. Then it gives
the console a password for some seconds, and opens its port for that desk.

:depends: libvirt with virsh, nftables, ss and OpenSSH's server
"""

import sys as _sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError, SaltException

from spicegrants.audit import minion_status
from spicegrants.core.calls import checked
from spicegrants.core.changes import as_dict
from spicegrants.core.errors import Finding, SpiceGrantError, translated
from spicegrants.core.reader import Node
from spicegrants.engine import enforcement as whole
from spicegrants.engine import host_status
from spicegrants.hypervisor import consoles as host_consoles
from spicegrants.hypervisor.live import book, enforcement, tickets, virsh
from spicegrants.policy import merge, pillar
from spicegrants.policy.model import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}
    __context__: dict[str, Any] = {}
    __pillar__: dict[str, Any] = {}

__virtualname__ = "spice_host"
__outputter__ = dict.fromkeys(("consoles", "sessions", "status"), "spice_grant")


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Returns what :func:`apply` returns:

    .. code-block:: python

        {"changes": {"layers": {"firewall": ["shuts the consoles' ports"]}}, "errors": [], "warnings": []}

    Reads and runs as :func:`apply`, but for what changes something.

    Raises CommandExecutionError if the pillar is wrong or something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.plan
    """
    return apply(test=True)


@checked(CommandExecutionError)
def apply(test=False):
    """
    Make this host hold what pillar declares: ports, policy, consoles, and the account by which desks ask.

    test
        Boolean: whether only to report what would change. Defaults to ``False``.

    Returns a dict with these keys:

    * ``changes``: dict of what was changed: sentences by layer (``firewall``, ``policy``, ``console``, ``ssh``) under
      ``layers``.
    * ``errors``: list of sentences: what could not be done, and consoles that stay shut.
    * ``warnings``: list of sentences.

    .. code-block:: python

        {
            "changes": {"layers": {"console": ["defines the console of books: TLS port 20003 alone, ..."]}},
            "errors": ["spice:vms:debianx: there is no domain debianx-kali; its console stays shut"],
            "warnings": [],
        }

    What needs a restart of a virtual machine is an error that says so; it is not restarted.

    What a run takes away goes first, and needs no libvirt: sessions whose grant is gone end also where something else
    is missing or fails. Then ``errors`` says so, and nothing is opened. If what is stored cannot be read, nobody can
    tell what is locked: all that is open closes.

    Reads the pillar's ``spice``, and Salt's mine where that declares no ``desks``; if nobody can be asked for those,
    the known ones stay.

    Writes to ``/var/lib/spice-host``, programs to ``/usr/local/lib/spice-grant`` and units to ``/etc/systemd/system``.
    Records how it ended, for :func:`status`.

    Runs ``virsh``, ``nft``, ``ss``, ``useradd`` and ``systemctl``.

    Raises CommandExecutionError if the pillar is wrong or something cannot be read; then nothing is changed. If
    something was taken away before that, it is in ``errors`` instead.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.apply
        salt 'kvm1' spice_host.apply test=True
    """
    with host_status.noted(test, (CommandExecutionError,)) as reports, translated(CommandExecutionError):
        policy, complaints, asked = _policy()
        report = enforcement.enforce(policy, __opts__["id"], test, complaints, asked)
        reports.append(whole.with_exit_code(__context__, report))
    return report


@checked(CommandExecutionError)
def remove(test=False):
    """
    Remove everything of ours from this host: service, account, files, and at the end the rules.

    Consoles keep their definition: TLS alone, and a password that nobody knows, until somebody defines another.

    test
        Boolean: whether only to report what would change. Defaults to ``False``.

    Returns what :func:`apply` returns:

    .. code-block:: python

        {"changes": {"layers": {"firewall": ["opens the consoles' ports again"]}}, "errors": [], "warnings": []}

    Removes what :func:`apply` writes.

    Runs ``nft``, ``userdel`` and ``systemctl``.

    Raises CommandExecutionError if it does not run as root.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.remove
    """
    with translated(CommandExecutionError):
        return enforcement.remove(test)


@checked(CommandExecutionError)
def consoles():
    """
    List all domains of this host with their consoles, declared or not.

    Returns a list of dicts, sorted by domain, with these keys:

    * ``domain``, ``uuid``: libvirt's name and UUID of the domain.
    * ``running``: whether it runs.
    * ``tls_port``, ``port``: its ports, as it runs or else as it is defined; ``None`` for none.
    * ``password``: when its password ends, ``never``, or ``none`` where it asks for none.
    * ``vm``: the vm that declares it; ``None`` if none does.

    .. code-block:: python

        [
            {
                "domain": "books",
                "uuid": "6f1c1a52-...",
                "running": True,
                "tls_port": 20003,
                "port": None,
                "password": "1970-01-02T00:00:00",
                "vm": "books",
            }
        ]

    Runs ``virsh``.

    Raises CommandExecutionError if libvirt cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.consoles
    """
    with translated(CommandExecutionError):
        policy = tickets.stored().policy
        declared = policy.consoles_of(__opts__["id"]) if policy else {}
        names = {vm.libvirts_name: name for name, vm in declared.items()}
        found = virsh.found()
    return [
        {
            "domain": domain.name,
            "uuid": domain.uuid,
            "running": domain.now is not None,
            "tls_port": graphics.tls_port,
            "port": graphics.port,
            "password": (graphics.until or "never") if graphics.ticketed else "none",
            "vm": names.get(domain.name),
        }
        for domain in found
        for graphics in domain.now or domain.defined or ()
    ]


@checked(CommandExecutionError)
def propose():
    """
    Return the pillar's ``vms`` for the domains of this host that it does not declare.

    Returns a dict of vms by libvirt's name, for ``spice:vms``. Domains without a TLS port of their own are left out.

    .. code-block:: python

        {"books": {"server": "mysrv", "tls_port": 20003}}

    Reads the pillar's ``spice``.

    Runs ``virsh``.

    Raises CommandExecutionError if libvirt cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.propose
    """
    declared = merge.plain(__pillar__.get("spice") or {})
    servers, vms = (_mappings(declared, part) for part in ("servers", "vms"))
    own = [name for name, value in servers.items() if value.get("minion") == __opts__["id"]]
    known = [value.get("domain", name) for name, value in vms.items() if value.get("server") in own]
    with translated(CommandExecutionError):
        return host_consoles.proposed(own[0] if own else "mysrv", virsh.found(), known)


@checked(CommandExecutionError)
def accept(vm):
    """
    Take the domain that is behind a console now for the one that has to be there.

    A console whose domain was replaced by another is shut until then.

    vm
        Text: name of the vm. Required.

    Returns what :func:`apply` returns:

    .. code-block:: python

        {"changes": {"layers": {"console": ["takes domain books for the vm books"]}}, "errors": [], "warnings": []}

    Writes ``/var/lib/spice-host/state.json``.

    Runs ``virsh``.

    Raises CommandExecutionError if there is no such vm or domain.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.accept books
    """
    with translated(CommandExecutionError):
        what = enforcement.accept(vm)
    return {"changes": as_dict(what), "errors": [], "warnings": []}


@checked(CommandExecutionError)
def sessions():
    """
    List the sessions that tickets of this host have opened, or are about to.

    Returns a list of dicts with these keys:

    * ``vm``, ``user``, ``desk``: who has which console, and where.
    * ``since``: when the ticket was given, in UTC.
    * ``opening``: whether the ticket still opens the console.

    .. code-block:: python

        [{"vm": "books", "user": "anne", "desk": "desk-1", "since": "2026-12-01T08:00:00Z", "opening": False}]

    Reads ``/run/spice-host/sessions.json``.

    Raises CommandExecutionError if that cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.sessions
    """
    with translated(CommandExecutionError):
        found = book.read()
    return [
        {
            "vm": session.vm,
            "user": session.user,
            "desk": session.desk,
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.since)),
            "opening": session.fresh,
        }
        for session in found
    ]


@checked(CommandExecutionError)
def status():
    """
    Return how this KVM host stands: at one look what it enforces, what is wrong, and who has which console.

    It compares the host with what is stored, not with pillar. It waits for a run that is at work. What cannot be read
    is among the errors, and hinders nothing else.

    Returns a dict with these keys:

    * ``state``, ``policy``, ``since``, ``last_run``, ``drift``, ``errors``, ``locks``, ``notes``: as
      ``spice_grant.status`` returns them. A console that stays shut is an error, with the reason.
    * ``service``: ``runs``, or ``does not answer``: then there are no tickets.
    * ``ports``: ``shut``, or in words what is not as it must be.
    * ``consoles``: dict by vm: ``opens with a ticket``, ``off``, ``locked: ...`` or ``shut: ...``, with the reason.
    * ``desks``: list of the desks that may ask.
    * ``sessions``: list of who has which console at which desk, and since when.

    .. code-block:: python

        {
            "state": "in sync",
            "policy": "3f0c1a9be27d",
            "since": "2026-12-01T07:15:00Z",
            "last_run": {"at": "2026-12-01T08:00:00Z", "errors": []},
            "drift": [],
            "errors": [],
            "locks": ["user ben"],
            "notes": [],
            "service": "runs",
            "ports": "shut",
            "consoles": {"books": "opens with a ticket", "debianx": "off"},
            "desks": ["desk-1"],
            "sessions": ["anne has books at desk-1 since Tue 2026-12-01 09:00 Europe/Berlin"],
        }

    The exit code is 1 if the state is ``drifted`` or ``failed``.

    Reads what is stored in ``/var/lib/spice-host`` and ``/run/spice-host``.

    Runs ``virsh``, ``nft`` and ``systemctl``.

    CLI Example:

    .. code-block:: bash

        salt 'kvm1' spice_host.status
    """
    with translated(CommandExecutionError):
        stand = host_status.status()
    if stand["state"] in (minion_status.DRIFTED, minion_status.FAILED):
        __context__["retcode"] = 1
    return stand


def _mappings(declared, part):
    """Return what a part of a pillar declares by name, of one that need not be right in other places."""
    found = declared.get(part) if isinstance(declared, dict) else None
    return {name: value for name, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _policy():
    """Return the pillar's policy, with the mine's desks where it declares none.

    Returns as well what is wrong with the mine, as sentences, and whether it has said which desks there are. A desk
    that says something odd there keeps nothing else from being done.
    """
    policy = pillar.parse_policy(merge.plain(__pillar__.get("spice")))
    if policy.desks or "mine.get" not in __salt__:
        return policy, [], True
    try:
        known = merge.plain(__salt__["mine.get"]("*", "spice_grant.desk"))
    except SaltException as error:
        return policy, [f"mine: it cannot be asked, so the desks that were known stay: {error}"], False
    if not isinstance(known, dict):
        return policy, ["mine: it gave no answer, so the desks that were known stay"], False
    findings: list[Finding] = []
    before: Mapping[str, Desk] = {}
    # What cannot be read closes everything later on.
    with suppress(SpiceGrantError):
        stored = tickets.stored().policy
        before = stored.desks if stored else {}
    # What a minion says of itself must not take another's place.
    desks = pillar.parse_desks(Node(known or None, "mine", findings), before)
    return replace(policy, desks=desks), [*map(str, findings)], True
