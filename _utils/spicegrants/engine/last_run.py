"""Record of the last run that knew what is declared; gone with the next boot."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from spicegrants.audit import minion_status
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import RUN
from spicegrants.engine import context
from spicegrants.host import disk
from spicegrants.policy import hints
from spicegrants.policy.fingerprint import fingerprint

PATH = f"{RUN}/last-run"


def read() -> minion_status.Run | None:
    """Return the record of the last run; ``None`` if there was none since the boot."""
    return minion_status.load(disk.read_text(PATH))


@contextlib.contextmanager
def noted(test: bool, failures: tuple[type[Exception], ...]) -> Iterator[list[dict[str, Any]]]:
    """Record how the run within ends, even one that changes nothing because something is wrong.

    test
        Whether the run only reports what would change: then nothing is recorded.

    failures
        The exceptions by which the run says that it changed nothing.

    Yields a list that takes the run's report. What hinders the record is added to the report's errors, and notes that
    were said by the run before are left out of its warnings, as :func:`spoken` does.
    """
    reports: list[dict[str, Any]] = []
    try:
        yield reports
    except failures as error:
        if not test:
            # The error itself is raised; that it cannot be recorded as well is less important.
            with contextlib.suppress(SystemFault):
                _note(False, tuple(str(error).splitlines()))
        raise
    for report in reports:
        notes = report["warnings"]
        report.update(spoken(report))
        if test:
            continue
        try:
            _note(bool(report["changes"]), tuple(report["errors"]), notes)
        except SystemFault as error:
            report["errors"].append(f"status: {error}")


def spoken(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report as people are to read it: with what is locked, and without notes that the last run said.

    Nothing is recorded: what is new is said by the next run as well.
    """
    locks: list[str] = []
    with contextlib.suppress(SpiceGrantError):
        locks = hints.locked(context.stored().temporary)
    return {**report, "warnings": [*locks, *minion_status.unsaid(_before(), report["warnings"])]}


def policy() -> str | None:
    """Return the fingerprint of the stored policy; ``None`` without one."""
    stored = context.stored().policy
    return fingerprint(stored) if stored else None


def _before() -> minion_status.Run | None:
    """Return the record of the last run; ``None`` where it cannot be read."""
    with contextlib.suppress(SystemFault):
        return read()
    return None


def _note(changed: bool, errors: tuple[str, ...], notes: Iterable[str] = ()) -> None:
    enforced = None
    with contextlib.suppress(SpiceGrantError):
        enforced = policy()
    directory, desired = os.path.dirname(PATH), Directory(0o700)
    if disk.read(directory) != desired:
        disk.make_directory(directory, desired)
    run = minion_status.after(_before(), int(time.time()), changed, errors, enforced, notes)
    disk.write(PATH, File(minion_status.dump(run), 0o600))


def forget() -> None:
    """Remove the record, with what a killed run left of it, and its directory if nothing else is there."""
    directory = os.path.dirname(PATH)
    for path in (PATH, *disk.temporaries(directory)):
        disk.remove(path)
    disk.prune(directory)
