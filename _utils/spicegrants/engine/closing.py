"""Closing first, in all layers: take away what may no longer be open, whatever else fails."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from spicegrants.core.changes import Change, as_dict, union
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.engine import context
from spicegrants.engine.layers import FIREWALL, ROUTING, SUDO, VIEWER
from spicegrants.expiry.live import notify
from spicegrants.firewall import connections
from spicegrants.firewall.live import sockets
from spicegrants.host import run
from spicegrants.policy import closing
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import Layer
from spicegrants.policy.state_file import Stored
from spicegrants.routing.live import last_resort

# Seconds that a program may take before others have their turn.
PATIENCE = 20
# The last one's lists and connection files open nothing by themselves.
_CLOSING = (FIREWALL, ROUTING, SUDO, VIEWER)


class ClosingReport(NamedTuple):
    """Changes made by closing, in the form of a report, and what hindered more."""

    changes: dict[str, Any]
    errors: list[str]


def take(before: Stored, after: Stored, whole: bool, test: bool) -> ClosingReport:
    """Store what stays, and take away everything else: rights, and open sessions.

    before, after
        What was stored, and what of it stays.

    whole
        Whether to take away everything that is not stored. Otherwise only what was stored and does not stay goes; lists
        and connection files, which open nothing, are left to the end of the run.

    test
        Whether only to report what would change.
    """
    desired, was = context.recalled(before, after), context.recalled(before, before)
    errors = [] if test or not closing.takes_away(before, after) else _keep(closing.remembered(after, desired))
    found = layers(desired, was, whole, test)
    return ClosingReport(found.changes, errors + found.errors)


def layers(desired: DesiredState, was: DesiredState, whole: bool, test: bool) -> ClosingReport:
    """Take away what the layers hold beyond the desired state, each by itself, the guard first.

    was
        The state that was enforced before.
    """
    lost_doors = closing.lost_doors(was, desired)
    where = None if whole else lost_doors
    # Where the guard has closed, a session may end by itself before it is looked at again: that is said, too.
    strays = _strays_if_readable(desired, where)
    found, failed = _close_layers(_CLOSING if whole else _CLOSING[:-1], desired, was, where, test)
    errors = [*found.errors, *(_shut_consoles(lost_doors, test) if lost_doors and FIREWALL in failed else ())]
    session_changes, hindrances = _sessions(desired, where, strays, test)
    return ClosingReport(union(found.changes, as_dict(session_changes)), errors + hindrances)


def everything(test: bool) -> ClosingReport:
    """Take away all rights, for when nobody can tell which of them stay."""
    return _close_layers(_CLOSING, None, None, None, test)[0]


def _close_layers(
    chosen: Iterable[Layer],
    desired: DesiredState | None,
    was: DesiredState | None,
    lost_doors: Collection[closing.Door] | None,
    test: bool,
) -> tuple[ClosingReport, set[Layer]]:
    """Close layers, each by itself; return the result, and which of them failed."""
    changes: list[Change] = []
    errors: list[str] = []
    failed = set()
    for layer in chosen:
        try:
            with run.patience(PATIENCE):
                found = layer.close(desired, was, lost_doors, test)
            changes += found.changes
            errors += [f"{layer.name}: what is taken away comes back with a boot: {why}" for why in found.unstored]
        except SpiceGrantError as error:
            failed.add(layer)
            errors.append(f"{layer.name}: what is taken away could not be closed there: {error}")
    return ClosingReport(as_dict(changes), errors), failed


def _keep(after: Stored) -> list[str]:
    try:
        context.keep(after)
    except SystemFault as error:
        return [f"policy: what is taken away could not be stored: {error}"]
    return []


def _shut_consoles(lost_doors: Iterable[closing.Door], test: bool) -> list[str]:
    """Shut consoles for everybody; return a sentence that says so, or what hinders it."""
    places = sorted({(address, port) for _, address, port in lost_doors})
    try:
        if not test:
            last_resort.shut(places)
    except SystemFault as error:
        return [f"firewall: {error}"]
    words = ", ".join(f"{address} port {port}" for address, port in places)
    return [f"firewall: {words}: shut for everybody, until a run succeeds"]


def _strays(desired: DesiredState, lost_doors: Collection[closing.Door] | None) -> set[connections.Connection]:
    """Return the connections without a right at doors that were lost; ``None`` for everywhere."""
    found = connections.stray(desired, sockets.connections())
    return {each for each in found if lost_doors is None or each.door in lost_doors}


def _strays_if_readable(
    desired: DesiredState, lost_doors: Collection[closing.Door] | None
) -> set[connections.Connection]:
    """Return stray connections before anything is closed. An error hinders no closing: a later look reports it."""
    try:
        return _strays(desired, lost_doors)
    except SystemFault:
        return set()


def _sessions(
    desired: DesiredState,
    lost_doors: Collection[closing.Door] | None,
    before: Collection[connections.Connection],
    test: bool,
) -> tuple[list[Change], list[str]]:
    """End connections without a right, as seen before and as they are now; return changes and errors."""
    try:
        found = sorted(_strays(desired, lost_doors).union(before))
        users = {access.uid: access.user for access in (*desired.accesses, *desired.previous)}
        changes = connections.changes(desired, found, users, sockets.hindrance())
        if found and not test:
            with run.patience(PATIENCE):
                sockets.end(found)
            notify.ended(desired, found, users)
    except SystemFault as error:
        return [], [f"sessions without a grant go on until their next packet: {error}"]
    return changes, []
