"""Does something in a thread, so that what waits for a program does not keep others from working."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from spicegrants.core.errors import SystemFault


def begin(work: Callable[[], Any]) -> Future:
    """Begin something; ``result()`` of what is returned waits for it, and raises what it raised.

    Raises :class:`~spicegrants.core.errors.SystemFault` if there can be no thread.
    """
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work)
    except RuntimeError as error:
        raise SystemFault(f"no thread can be started: {error}") from error
    finally:
        pool.shutdown(wait=False)
