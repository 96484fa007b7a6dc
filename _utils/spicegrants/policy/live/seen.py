"""What of this machine a first pillar can begin with: its people, an authority, consoles that libvirt defines."""

from __future__ import annotations

import os

from spicegrants.core import validation
from spicegrants.core.errors import CommandFailed
from spicegrants.host import accounts, disk, run
from spicegrants.policy import example
from spicegrants.policy.live import resolve

_LOGIN_DEFS = "/etc/login.defs"
# Where libvirt's and QEMU's manuals put the authority of consoles, and where ours does.
_PKI = "/etc/pki"
_FIRST = ("spice", "libvirt-spice", "qemu")
_NAMES = ("ca-cert.pem", "cacert.pem")
_VIRSH = ["virsh", "--readonly", "--connect", "qemu:///system"]
# Seconds for each of virsh's answers, and the domains that are asked for.
_PATIENCE = 10
_MOST = 50


def machine() -> example.Seen:
    """Return what is seen of this machine. What cannot be read is not seen."""
    login_defs = (disk.read_site(_LOGIN_DEFS) or b"").decode("utf-8", "replace")
    return example.Seen(
        people=example.people(accounts.with_shells(), login_defs),
        authority=_authority(),
        host=os.uname().nodename,
        consoles=_consoles(),
    )


def _authority() -> str | None:
    """Return the path of a file with certificates, by the names that authorities have; ``None`` if none is seen."""
    directories = [*_FIRST, *(name for name in disk.names_in(_PKI) if name not in _FIRST)]
    for directory in directories:
        for name in _NAMES:
            path = f"{_PKI}/{directory}/{name}"
            if validation.path(path) is None and resolve.authority(path)[1] is None:
                return path
    return None


def _consoles() -> tuple[example.Console, ...]:
    """Return the consoles of domains that libvirt defines here; none where it is not installed or does not answer."""
    found = []
    try:
        with run.patience(_PATIENCE):
            # A name that can be no vm's is not asked for: it could be an option, too.
            names = [
                name
                for name in run.run([*_VIRSH, "list", "--all", "--name"]).splitlines()
                if validation.object_name(name) is None
            ]
            for name in sorted(names)[:_MOST]:
                found.append(example.console(name, run.run([*_VIRSH, "dumpxml", "--domain", name])))
    except CommandFailed:
        return ()
    return tuple(console for console in found if console is not None)
