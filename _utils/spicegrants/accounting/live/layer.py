"""Accounting as a layer: the recorder's program and unit. It opens and closes nothing."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection
from typing import NamedTuple

from spicegrants.accounting import recorder_units
from spicegrants.accounting.live import noted
from spicegrants.accounting.recorder_units import ENABLED, LAYER, PATHS
from spicegrants.core.changes import Change
from spicegrants.core.entries import File, Link
from spicegrants.core.paths import METRICS, RECORDER_SOCKET, SESSIONS, SYSTEMD
from spicegrants.core.units import RECORDER_SERVICE
from spicegrants.host import disk, package, run, systemd
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored

_RECORDER = "spicegrants.accounting.live.recorder"
PACKAGES = ("core", "schedule", "host", "policy", "firewall", "record", "accounting")


class Steps(NamedTuple):
    """The desired files by path, and the paths of those that differ; none where only the recorder has to be started."""

    desired: dict[str, File | Link]
    files: tuple[str, ...]


class Accounting:
    """The layer that has sessions recorded."""

    name = LAYER

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare the recorder's files, and ask whether it is at work; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        enabled = desired.policy.audit.enabled
        live = {path: disk.read(path) for path in PATHS}
        wanted = recorder_units.desired_entries(package.program(_RECORDER, PACKAGES), enabled)
        changes, files = recorder_units.plan_units(wanted, live)
        start = enabled and not files and os.path.isdir(SYSTEMD) and not at_work()
        if start:
            changes = (*changes, Change(LAYER, f"starts {RECORDER_SERVICE}, which was not at work"))
        return Plan(changes, desired, Steps(wanted, files))

    def apply(self, plan: Plan) -> None:
        """Install or remove the recorder, and start it."""
        steps, enabled = plan.steps, plan.desired.policy.audit.enabled
        if not enabled:
            self.remove(Stored(), False)
            return
        if steps.files:
            # It comes back last: as long as it is missing, the next run does what this one could not.
            disk.remove(ENABLED)
            for path in steps.files:
                if path != ENABLED:
                    _write(path, steps.desired[path])
            systemd.reload()
        if plan.changes and os.path.isdir(SYSTEMD):
            run.run(["systemctl", "restart", RECORDER_SERVICE])
        if steps.files:
            _write(ENABLED, steps.desired[ENABLED])

    def review(self, plan: Plan) -> Review:
        """Report nothing."""
        return Review()

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove nothing: this layer opens nothing."""
        return CloseResult()

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Stop the recorder, and remove its files; the record stays."""
        run.as_root()
        files = [path for path in PATHS if disk.read(path) is not None]
        if not test and files:
            _stop()
            for path in files:
                disk.remove(path)
            systemd.reload()
        return tuple(Change(LAYER, f"removes {path}") for path in files)


def at_work() -> bool:
    """Tell whether the recorder listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(RECORDER_SOCKET)
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _write(path: str, entry: File | Link) -> None:
    disk.make_parents(path)
    disk.write(path, entry)


def _stop() -> None:
    if os.path.isdir(SYSTEMD):
        run.attempt(["systemctl", "stop", RECORDER_SERVICE])
    for path in (RECORDER_SOCKET, noted.BOOT, METRICS):
        disk.remove(path)
    for name in disk.names_in(os.path.dirname(SESSIONS)):
        disk.remove(f"{os.path.dirname(SESSIONS)}/{name}")
    disk.prune(os.path.dirname(SESSIONS))
