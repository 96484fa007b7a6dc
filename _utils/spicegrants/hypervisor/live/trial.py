"""Try this host's consoles: with a ticket, without one, and by all that must not open them."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from spicegrants.firewall.live import sockets
from spicegrants.hypervisor import consoles, trial
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import book, notice, spice_link, tickets, virsh
from spicegrants.hypervisor.live.spice_link import Encryption
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy.model import Vm
from spicegrants.policy.ticket_protocol import IN_USE

# Seconds in which the service must have noticed a connection, or its end; and between two looks.
_NOTICING, _EVERY = 15.0, 0.1


class Tried(NamedTuple):
    """How it went, by way; and why some ways could not be tried, empty if they could."""

    found: dict[str, str]
    hindrance: str = ""


def console(kept: Stored, vm: Vm, encrypted: Encryption) -> Tried:
    """Try one console. If somebody has it open, it is only tried without a ticket."""
    listening = sockets.listeners()
    if (why := consoles.shared(vm.tls_port, listening)) is not None:
        return Tried({}, why)
    address = consoles.reached_at(vm.tls_port, listening)
    own, other = _sources(address)
    attempt = partial(spice_link.attempt, address=address, port=vm.tls_port, encrypted=encrypted)
    found = {trial.WITHOUT: attempt(own, ticket=tickets.new_secret())}
    answer = notice.trial(vm.name, own)
    if answer is None:
        return Tried(found, "the service that gives tickets does not answer")
    if answer.ticket is None:
        in_use = f"{answer.user} has it open" if answer.refusal == IN_USE else ""
        return Tried(found, in_use or answer.why or str(answer.refusal))
    # As long as this is open, so is the port.
    with contextlib.closing(socket.create_connection((address, vm.tls_port), 10, (own, 0))):
        found[trial.GUESSED] = attempt(own, ticket=tickets.new_secret())
        if (known := virsh.defined_secret(kept.uuids[vm.name])) is not None:
            found[trial.DEFINED] = attempt(own, ticket=known)
        found[trial.ELSEWHERE] = attempt(other, ticket=answer.ticket)
        found[trial.TICKET] = attempt(own, ticket=answer.ticket)
        # A connection that was never seen would be taken for one that is still to come.
        _await(lambda: any(session.own for session in _sessions(vm)))
    # Each try would be a session again.
    if not _await(lambda: not _sessions(vm)):
        return Tried(found, "its session has not ended in time, so the ticket was not tried again")
    found[trial.AGAIN] = attempt(own, ticket=answer.ticket)
    return Tried(found)


def _sources(address: str) -> tuple[str, str]:
    """Return two addresses of this host from which it may come; of IPv4 such as nobody else here comes from."""
    if ":" in address:
        return address, "::1"
    first = 1 + secrets.randbelow(127)
    rest = f"{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    return f"127.{first}.{rest}", f"127.{first + 127}.{rest}"


def _sessions(vm: Vm) -> list[Session]:
    return [session for session in book.read() if session.vm == vm.name]


def _await(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _NOTICING
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(_EVERY)
    return found
