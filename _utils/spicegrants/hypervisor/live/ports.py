"""The consoles' ports in the kernel: the table, and the places that it lets in for a while."""

from __future__ import annotations

import time
from collections.abc import Iterable

from spicegrants.firewall.live import nft
from spicegrants.host import run
from spicegrants.hypervisor import port_table, sessions
from spicegrants.hypervisor.port_table import Place
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy.model import PortRange, join_ranges


def differences(ports: Iterable[PortRange]) -> list[str]:
    """Return how the kernel's table differs from what it must be, as sentences. Runs ``nft list table``."""
    live = nft.table(port_table.FAMILY, port_table.TABLE)
    with run.understood("nft"):
        return port_table.differences(ports, live)


def held(ports: Iterable[PortRange], known: Iterable[Session]) -> bool:
    """Make the kernel's table anew where it is another than it must be, or lets in what no session is about.

    ports
        Those that must be guarded. More may be: a run may have shut what it could not store yet.

    known
        Sessions, which go on.

    Returns whether it was made anew. Runs ``nft list table``.
    """
    known, live = [*known], nft.table(port_table.FAMILY, port_table.TABLE)
    wanted = sessions.rights(known, int(time.time()))
    with run.understood("nft"):
        opening, going = port_table.let_in(live or [])
        guarded = join_ranges((*ports, *port_table.guarded(live or [])))
        astray = live is None or bool(port_table.differences(guarded, live))
    astray = astray or going != wanted.keys()
    if not astray and opening <= {place for place, right in wanted.items() if right.opening}:
        return False
    load(guarded, known)
    return True


def load(ports: Iterable[PortRange], known: Iterable[Session] = ()) -> None:
    """Make the table anew, in one step.

    known
        Sessions that go on.
    """
    rights = sessions.rights(known, int(time.time()))
    nft.load([*port_table.fresh(ports), *port_table.held(rights, rights)])


def present() -> bool:
    """Tell whether the kernel holds the table."""
    return (port_table.FAMILY, port_table.TABLE) in nft.tables()


def delete() -> None:
    """Remove the table."""
    run.run(["nft", "delete", "table", port_table.FAMILY, port_table.TABLE])


def hold(places: Iterable[Place], known: Iterable[Session]) -> None:
    """Let in from places what sessions are about, and nothing else.

    See :func:`~spicegrants.hypervisor.port_table.held`.
    """
    commands = port_table.held(places, sessions.rights(known, int(time.time())))
    if commands:
        nft.load(commands)


def elements() -> int:
    """Return to how many places the kernel lets somebody in. Runs ``nft list table``."""
    live = nft.table(port_table.FAMILY, port_table.TABLE)
    with run.understood("nft"):
        opening, going = port_table.let_in(live or [])
    return len(opening | going)


def shut_all() -> None:
    """Let nobody in any more, wherever they come from."""
    nft.load(port_table.emptied())
