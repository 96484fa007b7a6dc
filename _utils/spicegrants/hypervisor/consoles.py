"""Consoles as pillar declares them, beside libvirt's domains: what differs, and what keeps one shut. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from spicegrants.core import validation
from spicegrants.hypervisor import domains
from spicegrants.hypervisor.domains import Domain, Graphics
from spicegrants.policy.model import Vm


class Console(NamedTuple):
    """A declared console, and the domain behind it.

    wrong
        Why nobody gets a ticket for it, as sentences without a full stop; none if it can be opened.

    redefine
        Whether its definition is to be changed.

    restart
        Why the domain has to be restarted, as a sentence; empty if it need not.
    """

    vm: Vm
    domain: Domain | None = None
    wrong: tuple[str, ...] = ()
    redefine: bool = False
    restart: str = ""


def judge(declared: Mapping[str, Vm], found: Iterable[Domain], accepted: Mapping[str, str]) -> dict[str, Console]:
    """Compare declared consoles with the domains of a host.

    accepted
        By vm: UUID of the domain that was behind it, and so must be.
    """
    by_name = {domain.name: domain for domain in found}
    ours = {vm.libvirts_name for vm in declared.values()}
    at_port: dict[int, set[str]] = {}
    for domain in by_name.values():
        for graphics in (*(domain.defined or ()), *(domain.now or ())):
            for port in filter(None, (graphics.tls_port, graphics.port)):
                at_port.setdefault(port, set()).add(domain.name)
    return {
        name: _judged(vm, by_name.get(vm.libvirts_name), accepted.get(name), at_port, ours)
        for name, vm in declared.items()
    }


def _judged(
    vm: Vm, domain: Domain | None, uuid: str | None, at_port: Mapping[int, set[str]], ours: set[str]
) -> Console:
    called, port = vm.libvirts_name, vm.tls_port
    others = sorted(at_port.get(port, set()) - {called})
    wrong = [f"port {port} is that of domain {', '.join(others)} as well"] * bool(others)
    if domain is None:
        return Console(vm, None, (f"there is no domain {called}", *wrong))
    if uuid is not None and uuid != domain.uuid:
        wrong.append(f"behind it is another domain than before: {domain.uuid}, not {uuid}; spice_host.accept takes it")
    kept = domain.now if domain.defined is None else domain.defined
    if not kept or len(kept) != 1:
        return Console(vm, domain, (*wrong, f"domain {called} has {len(kept or ())} SPICE consoles, not one"))
    if kept[0].local:
        return Console(vm, domain, (*wrong, f"domain {called} listens on a socket, or nowhere, not on a port"))
    # Of two that are ours each gets its own port; with somebody else's there is no telling who is right.
    mine = ours.issuperset(others) and uuid in (None, domain.uuid)
    redefine = mine and domain.defined is not None and not domains.as_declared(domain.defined[0], port)
    restart = ""
    if domain.now is not None:
        count = len(domain.now)
        restart = _restart(domain.now[0], port) if count == 1 else f"runs with {count} SPICE consoles, not one"
    return Console(vm, domain, (*wrong, *[f"domain {called} {restart}: restart it"] * bool(restart)), redefine, restart)


def hindrance(vm: Vm, domain: ElementTree.Element) -> str | None:
    """Return why a running domain is not the declared console behind its port; ``None`` if it is."""
    if domains.name_of(domain) != vm.libvirts_name:
        return f"the domain with the UUID of {vm.libvirts_name} is called {domains.name_of(domain)} now"
    now = domains.consoles(domain)
    if len(now) != 1:
        return f"domain {vm.libvirts_name} has {len(now)} SPICE consoles, not one"
    why = _restart(now[0], vm.tls_port)
    return f"domain {vm.libvirts_name} {why}" if why else None


def shared(port: int, listeners: Iterable[tuple[str, int]]) -> str | None:
    """Return why it cannot be told what answers at a port; ``None`` if one console does, where desks can reach it.

    listeners
        Addresses and ports on which somebody listens.
    """
    reached = _reached(port, listeners)
    if len(reached) == 1:
        return None
    places = ", ".join(sorted(reached))
    return f"at port {port} several programs listen ({places})" if places else f"at port {port} nobody listens"


def _reached(port: int, listeners: Iterable[tuple[str, int]]) -> list[str]:
    return [address for address, each in listeners if each == port and not ipaddress.ip_address(address).is_loopback]


def reached_at(port: int, listeners: Iterable[tuple[str, int]]) -> str:
    """Return the address at which this host reaches one console of its own.

    The port is one at which one program listens; see :func:`shared`.
    """
    (address,) = _reached(port, listeners)
    return "127.0.0.1" if ipaddress.ip_address(address).is_unspecified else address


def own_address(text: str) -> bool:
    """Tell whether a text is an address that packets to this host's own services may have: a loopback one, or IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or (address.version == 6 and not address.is_unspecified)


def _restart(now: Graphics, port: int) -> str:
    """Return what about a running console no call can change; empty for nothing."""
    if now.tls_port != port:
        found = now.tls_port or now.port
        return f"runs with port {found} instead of {port}" if found else f"runs without port {port}"
    if now.port is not None:
        return f"runs with port {now.port} without TLS"
    if now.mode != "secure":
        return "runs with channels that need no TLS"
    return "" if now.ticketed else "runs without a password"


def sentences(consoles: Mapping[str, Console]) -> list[tuple[str, str]]:
    """Return the vm and what is wrong with its console, for each that is shut."""
    return [(name, "; ".join(console.wrong)) for name, console in consoles.items() if console.wrong]


def proposed(server: str, found: Iterable[Domain], known: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return pillar's ``vms`` for the domains with a TLS port of their own that no vm is about.

    known
        libvirt's names of the domains that are declared.

    One whose name is no vm's is called by its port. One whose name pillar cannot hold is left out.
    """
    declared = set(known)
    proposal: dict[str, dict[str, object]] = {}
    for domain in found:
        ports = [graphics.tls_port for graphics in domain.defined or domain.now or () if graphics.tls_port]
        if domain.name in declared or len(ports) != 1 or validation.line(domain.name):
            continue
        vm: dict[str, object] = {"server": server, "tls_port": ports[0]}
        if validation.object_name(domain.name):
            proposal[f"vm-{ports[0]}"] = {**vm, "domain": domain.name}
        else:
            proposal[domain.name] = vm
    return proposal
