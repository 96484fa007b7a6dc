"""Open sessions, as the recorder has noted them."""

from __future__ import annotations

import os
from typing import Any

from spicegrants.accounting import tracking
from spicegrants.core.entries import File
from spicegrants.core.paths import RUN, SESSIONS
from spicegrants.host import disk, run
from spicegrants.record import events

# An id of this boot, which goes with it. The kernel's own is the host's where a service of a container looks for it.
BOOT = f"{RUN}/boot"


def boot() -> str:
    """Return the id of this boot; empty as long as it has none."""
    return (disk.read_text(BOOT) or b"").decode("ascii", "replace").strip()


def new_boot() -> str:
    """Return the id of this boot, which is made if it has none."""
    if not boot():
        disk.write(BOOT, File(f"{os.urandom(8).hex()}\n".encode(), 0o600))
    return boot()


def sessions() -> list[dict[str, Any]]:
    """Return the sessions that are open, in the form of the record's event of their beginning.

    Raises :class:`~spicegrants.core.errors.SystemFault` if that cannot be read.
    """
    run.as_root()
    known, of_boot, _ = tracking.load(disk.read_text(SESSIONS))
    if not of_boot or of_boot != boot():
        return []
    return [events.event(events.OPENED, each.start, None, **tracking.fields(each)) for each in known.values()]
