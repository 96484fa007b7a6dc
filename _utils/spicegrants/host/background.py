"""Run a blocking call in a background thread, so that waiting for a program does not delay other work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from spicegrants.core.errors import SystemFault


def begin(work: Callable[[], Any]) -> Future:
    """Start a call in a thread; ``result()`` of the returned future waits for it and raises what it raised.

    Raises :class:`~spicegrants.core.errors.SystemFault` if no thread can be started.
    """
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work)
    except RuntimeError as error:
        raise SystemFault(f"no thread can be started: {error}") from error
    finally:
        pool.shutdown(wait=False)
