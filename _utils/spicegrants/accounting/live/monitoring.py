"""The file by which Prometheus' node_exporter shows figures, where it has a directory for such files."""

from __future__ import annotations

import json
import os
import time

from spicegrants.accounting import metrics
from spicegrants.accounting.tracking import Session
from spicegrants.core.entries import File
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import METRICS, RUN
from spicegrants.host import disk
from spicegrants.policy.compiler import DesiredState
from spicegrants.record.live import event_log

# Seconds between two files.
_OFTEN = 60.0


class Monitoring:
    """Writes the file now and then."""

    def __init__(self) -> None:
        self.totals = metrics.Totals()
        self.tail = event_log.Tail()
        self.written = 0.0

    def write(self, desired: DesiredState | None, sessions: list[Session]) -> None:
        """Write the file if it is time, and somebody looks for it."""
        if desired is None or time.monotonic() < self.written + _OFTEN or not os.path.isdir(os.path.dirname(METRICS)):
            return
        self.written = time.monotonic()
        self.totals.take(self.tail.new())
        text = metrics.text(desired, [each.vm for each in sessions], self.totals, _last_run())
        disk.write(METRICS, File(text.encode(), 0o644))


def _last_run() -> metrics.LastRun | None:
    """Return how the last run ended, as it noted that itself."""
    try:
        found = json.loads(disk.read_text(f"{RUN}/last-run") or b"null")
        return None if found is None else metrics.LastRun(int(found["at"]), len(found["errors"]))
    except (SystemFault, ValueError, KeyError, TypeError):
        return None
