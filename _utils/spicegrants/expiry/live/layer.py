"""The end of sessions as a layer: the clock's program and units, and open connections without a grant.

It is reported as part of the firewall, by whose name people know it.
"""

from __future__ import annotations

import logging
import pwd
from collections.abc import Collection, Iterable
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry
from spicegrants.core.errors import CommandFailed
from spicegrants.core.paths import UNITS
from spicegrants.expiry import clock_units
from spicegrants.expiry.live import clock, notify
from spicegrants.firewall import connections
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.host import disk, package, run, systemd
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored

log = logging.getLogger(__name__)
# What the clock needs, and the program that covers interfaces: that one borrows it from the clock.
PACKAGES = ("core", "schedule", "host", "policy", "firewall", "expiry")


class Steps(NamedTuple):
    """Files to write, by path, and the link by which systemd starts the clock at each boot."""

    write: dict[str, Entry]
    enabled: Entry


class Expiry:
    """The layer that ends sessions when their time is over."""

    name = "firewall"

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare the clock's files, and look at open connections; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        program = package.program(clock.__name__, PACKAGES)
        live = {path: disk.read(path) for path in clock_units.PATHS}
        file_changes, paths = clock_units.plan_units(program, live)
        entries = clock_units.desired_entries(program)
        strays = connections.stray(desired, sockets.connections())
        session_changes = connections.changes(desired, strays, _users(strays), sockets.hindrance())
        steps = Steps({path: entries[path] for path in paths}, entries[clock_units.ENABLED])
        return Plan((*file_changes, *session_changes), desired, steps)

    def apply(self, plan: Plan) -> None:
        """Install and start the clock; end connections without a grant, also those opened meanwhile."""
        steps, desired = plan.steps, plan.desired
        units = any(path.startswith(UNITS) for path in steps.write)
        if units:
            # It comes back last: as long as it is missing, the next run tells systemd what this one could not.
            disk.remove(clock_units.ENABLED)
        for path, entry in steps.write.items():
            if path != clock_units.ENABLED:
                disk.make_parents(path)
                disk.write(path, entry)
        try:
            if units:
                systemd.reload()
        finally:
            _end(desired, connections.stray(desired, sockets.connections()))
        if units:
            _start()
            disk.make_parents(clock_units.ENABLED)
            disk.write(clock_units.ENABLED, steps.enabled)

    def review(self, plan: Plan) -> Review:
        """Report nothing."""
        return Review()

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove nothing: this layer opens nothing."""
        return CloseResult()

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Stop the clock, and remove its files."""
        run.as_root()
        files = [path for path in clock_units.PATHS if disk.read(path) is not None]
        if not test:
            clock.stop()
            for path in files:
                disk.remove(path)
            if files:
                systemd.reload()
        return tuple(Change("firewall", f"removes {path}") for path in files)


def _end(desired: DesiredState, strays: list[Connection]) -> None:
    """End connections; if it fails, they stay to be done, and do not keep other steps from being taken."""
    try:
        sockets.end(strays)
    except CommandFailed as error:
        log.warning("sessions without a grant go on until their next packet: %s", error)
    else:
        notify.ended(desired, strays, _users(strays))


def _start() -> None:
    """Start the clock, whose unit may be new; if it fails, the kernel's windows hold all the same."""
    try:
        clock.start()
    except CommandFailed as error:
        log.warning("nobody is warned before a session ends, and idle ones go on: %s", error)


def _users(found: Iterable[Connection]) -> dict[int, str]:
    """Return users' names by UID; empty if none are needed."""
    return {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()} if found else {}
