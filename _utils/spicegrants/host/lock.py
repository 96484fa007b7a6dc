"""Run lock: one run at a time on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from spicegrants.core.errors import SystemFault

PATH = "/run/spice-grant.lock"
PATIENCE = 120.0


@contextlib.contextmanager
def run_lock(patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of all writers on this machine.

    patience
        Seconds to wait for another run. Defaults to 120. Then raises :class:`~spicegrants.core.errors.SystemFault`,
        which names the process that holds it.

    The kernel drops the lock with the process that holds it, however that ends.
    """
    try:
        descriptor = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SystemFault(f"{PATH} cannot be opened: {error}") from error
    try:
        deadline = time.monotonic() + patience
        while not _take(descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise SystemFault(f"another run is at work (process {holder or 'unknown'}); waited {patience:.0f} s")
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
