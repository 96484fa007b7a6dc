"""libvirt by virsh: read domains, define a console anew, give it a password. No secret is ever among the arguments."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault, kept
from spicegrants.host import run
from spicegrants.hypervisor import domains
from spicegrants.hypervisor.domains import NEXT, Domain

_CONNECTION = ["virsh", "--quiet", "--connect", "qemu:///system"]
# Domains that one run of virsh prints: its arguments have a limit.
_AT_ONCE = 500
# States in which libvirt prints the definition for what runs.
_OFF = ("shut off", "crashed")
# Where virsh reads a file, the one that it is given.
_INPUT = "/dev/stdin"


def found() -> list[Domain]:
    """Return all domains of this host, sorted by name. Runs ``virsh list`` and ``virsh dumpxml``."""
    return domains.assembled(*_dumped(*_listed("list --uuid --all --persistent", "list --uuid")))


def _listed(*calls: str) -> list[list[str]]:
    """Return the UUIDs that each call prints: of names virsh would take some for numbers.

    One virsh makes all of them: to reach libvirt takes it longer than to ask.
    """
    result = run.attempt([*_CONNECTION, f"; echo {NEXT}; ".join(calls)])
    printed = result.stdout.split(NEXT)
    # Its exit code is that of the last call alone.
    if result.returncode or result.stderr.strip() or len(printed) != len(calls):
        raise CommandFailed(f"virsh list ended with {result.returncode}: {result.stderr.strip()[:300]}")
    return [part.split() for part in printed]


def _dumped(defined: list[str], running: Iterable[str] = ()) -> tuple[list[Element], list[Element]]:
    """Return domains as they are defined, and as they run, secrets and all; one that is gone meanwhile is left out."""
    calls = [f"dumpxml --security-info --inactive {uuid}" for uuid in defined]
    calls += [f"echo '<{NEXT}/>'", *(f"dumpxml --security-info {uuid}" for uuid in running)]
    printed = complaints = ""
    for start in range(0, len(calls), _AT_ONCE):
        result = run.attempt([*_CONNECTION, "; ".join(calls[start : start + _AT_ONCE])])
        printed += result.stdout
        complaints += result.stderr
    elements = domains.parse(printed)
    between = next(index for index, element in enumerate(elements) if element.tag == NEXT)
    halves = elements[:between], elements[between + 1 :]
    missing = {*defined} - {*map(domains.uuid_of, halves[0])} | {*running} - {*map(domains.uuid_of, halves[1])}
    # What runs no more may still be there.
    if missing and complaints and not missing.isdisjoint(_listed("list --uuid --all")[0]):
        raise CommandFailed(f"virsh dumpxml does not print every domain: {complaints.strip()[:300]}")
    return halves


def running(uuid: str) -> Element | None:
    """Return a domain as it runs; ``None`` if it does not. Runs ``virsh dumpxml`` and ``virsh domstate``."""
    result = run.attempt([*_CONNECTION, f"domstate {uuid}; dumpxml --security-info {uuid}"])
    state, _, printed = result.stdout.partition("\n")
    if result.returncode:
        if uuid in _listed("list --uuid --all")[0]:
            raise CommandFailed(
                f"virsh dumpxml of {uuid} ended with {result.returncode}: {result.stderr.strip()[:300]}"
            )
        return None
    return None if state.strip() == "shut off" else domains.parse(printed)[0]


def defined_secret(uuid: str) -> str | None:
    """Return the password in the definition of a domain, if there is one. Runs ``virsh dumpxml``."""
    return next(map(domains.secret, _dumped([uuid])[0]), None)


def define(uuid: str, tls_port: int, secret: str) -> None:
    """Define a domain with its console as it must be, from its next start on. Runs ``virsh define``."""
    for domain in _dumped([uuid])[0]:
        run.run([*_CONNECTION, "define", "--validate", _INPUT], text=domains.redefined(domain, tls_port, secret))


def set_password(domain: Element, secret: str, until: str, connected: str) -> None:
    """Give the console of a running domain another password; see :func:`~spicegrants.hypervisor.domains.with_ticket`.

    Runs ``virsh update-device``. Raises :class:`~spicegrants.core.errors.SystemFault` if libvirt refuses, or if the
    domain has not one console.
    """
    number = len(domains.consoles(domain))
    if number != 1:
        raise SystemFault(f"domain {domains.name_of(domain)} has {number} SPICE consoles, not one")
    text = domains.with_ticket(domain, secret, until, connected)
    run.run([*_CONNECTION, "update-device", domains.uuid_of(domain), _INPUT, "--live"], text=text)


def shut(uuids: Iterable[str], secret: str) -> list[str]:
    """End the passwords of running domains, and their sessions; return what hindered that."""
    faults: list[SpiceGrantError] = []
    for uuid in uuids:
        with kept(faults):
            domain = running(uuid)
            if domain is not None:
                set_password(domain, secret, domains.ENDED, "disconnect")
    return [*dict.fromkeys(map(str, faults))]
