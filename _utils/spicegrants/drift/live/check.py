"""One look at the layers, in a separate process that leaves a report for the beacon that started it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import LiveStateUnreadable, SystemFault
from spicegrants.core.paths import LOAD_GUARD, RUN, STATE
from spicegrants.drift import flapping
from spicegrants.drift.live import nft_monitor
from spicegrants.host import disk, lock
from spicegrants.policy import merge

REPORTS = f"{RUN}/looks"
FIGHTS = f"{RUN}/fights"
Repair = Callable[..., Mapping[str, Any]]


def take(repair: Repair, failure: type[Exception], repairing: bool, noticed: list[str]) -> None:
    """Look, repair, and leave a report.

    repair
        ``spice_grant.repair`` of the execution modules.

    failure
        The exception by which ``repair`` says that something did not work.

    repairing
        Whether drift is repaired, or only reported.

    noticed
        The signs that caused the look; they are passed on in the report.

    The report is a dict with ``changes`` and ``errors`` of :func:`repair`, ``left`` (sentences of what is still to do),
    ``held`` (those of what is left alone on purpose), ``acted`` (whether anything was to be repaired), ``noticed``, and
    ``generations``: the numbers of the kernel's ruleset before and after. What others do in between cannot be told from
    what we do.
    """
    paused = sorted(flapping.pauses(noted(), time.monotonic()))
    report = {"changes": {}, "errors": [], "left": [], "held": paused, "acted": True, "noticed": noticed}
    before = nft_monitor.generation()
    try:
        report.update(_look_and_repair(repair, repairing, set(paused)))
    except (failure, SystemFault) as error:
        # Where all was taken away while we waited, there is nothing to be said.
        if needed():
            report.update(errors=[str(error)], left=[str(error)])
    report["generations"] = [before, nft_monitor.generation()]
    make_directory(REPORTS)
    disk.write(f"{REPORTS}/{os.getpid()}", File(json.dumps(report).encode(), 0o600))


def _look_and_repair(repair: Repair, repairing: bool, paused: set[str]) -> dict[str, Any]:
    if paused or not repairing:
        with lock.run_lock():
            changes = repair(test=True)["changes"]
        what = merge.sentences(changes)
        if not repairing or set(what) <= paused:
            return {"changes": changes, "left": what, "acted": False}
    report = repair()
    # Errors are those of the run as a whole; where there is any, only another look finds what is left.
    remaining = merge.sentences(repair(test=True)["changes"]) if report["errors"] else []
    return {"changes": report["changes"], "errors": report["errors"], "left": remaining}


def needed() -> bool:
    """Tell whether there is anything to look at: something is stored, or of ours although nothing is."""
    return os.path.lexists(STATE) or os.path.lexists(LOAD_GUARD)


def noted() -> dict[str, flapping.Record]:
    """Return the records of changes that came back. Unreadable ones begin anew: that delays no repair."""
    with contextlib.suppress(LiveStateUnreadable):
        return flapping.load(disk.read_text(FIGHTS))
    return {}


def note(records: Mapping[str, flapping.Record]) -> None:
    """Store the records of changes that came back until the next boot, whatever becomes of this process."""
    if records or disk.read(FIGHTS) is not None:
        make_directory(RUN)
        disk.write(FIGHTS, File(flapping.dump(records), 0o600))


def reports() -> list[dict[str, Any]]:
    """Return the reports that were left since the last call, the oldest first, and remove them."""
    found = []
    for name in disk.names_in(REPORTS):
        path = f"{REPORTS}/{name}"
        # One that is on its way into place is for the next call.
        if name.isdigit():
            written = os.lstat(path).st_mtime_ns
            try:
                found.append((written, json.loads(disk.read_text(path) or b"")))
            except (ValueError, SystemFault) as error:
                found.append((written, _unreadable(error)))
            disk.remove(path)
    return [report for _, report in sorted(found, key=lambda each: each[0])]


def _unreadable(error: Exception) -> dict[str, Any]:
    """Return the report in place of one that cannot be read: what the look found is not known."""
    sentence = f"the report of a look cannot be read: {error}"
    return {"errors": [sentence], "left": [sentence]}


def make_directory(path: str) -> None:
    """Make a directory that is root's alone, and the one above it."""
    for directory in dict.fromkeys((RUN, path)):
        if disk.read(directory) != Directory(0o700):
            disk.make_directory(directory, Directory(0o700))


def forget() -> None:
    """Remove all reports and records."""
    reports()
    for path in (FIGHTS, REPORTS, RUN):
        with contextlib.suppress(SystemFault):
            disk.remove(path)
