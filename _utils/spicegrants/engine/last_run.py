"""Record of the last run that knew what is declared; gone with the next boot."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from spicegrants.audit import minion_status
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import LiveStateUnreadable, SpiceGrantError, SystemFault
from spicegrants.core.paths import RUN
from spicegrants.engine import context
from spicegrants.host import disk

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

    Yields a list that takes the run's report. What hinders the record is added to the report's errors.
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
    for report in reports if not test else ():
        try:
            _note(bool(report["changes"]), tuple(report["errors"]))
        except SystemFault as error:
            report["errors"].append(f"status: {error}")


def policy() -> str | None:
    """Return the fingerprint of the stored policy; ``None`` without one."""
    stored = context.stored().policy
    return minion_status.fingerprint(stored) if stored else None


def _note(changed: bool, errors: tuple[str, ...]) -> None:
    before = enforced = None
    with contextlib.suppress(LiveStateUnreadable):
        before = read()
    with contextlib.suppress(SpiceGrantError):
        enforced = policy()
    directory, desired = os.path.dirname(PATH), Directory(0o700)
    if disk.read(directory) != desired:
        disk.make_directory(directory, desired)
    run = minion_status.after(before, int(time.time()), changed, errors, enforced)
    disk.write(PATH, File(minion_status.dump(run), 0o600))


def forget() -> None:
    """Remove the record, with what a killed run left of it, and its directory if nothing else is there."""
    directory = os.path.dirname(PATH)
    for path in (PATH, *disk.temporaries(directory)):
        disk.remove(path)
    disk.prune(directory)
