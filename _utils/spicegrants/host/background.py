"""Run a call in a thread of its own: beside other work that need not wait, or with mounts that nobody else has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from spicegrants.core.errors import SystemFault

_Result = TypeVar("_Result")


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


def apart(function: Callable[[], _Result]) -> _Result:
    """Run a function in a new thread, which may have mounts of its own; return its result.

    A fork would copy all of Salt's process, and the locks of its other threads as they are at that moment. Raises
    RuntimeError if no thread can be started.
    """
    # Called after the one that waits for it, for whoever looks at what a process does.
    with ThreadPoolExecutor(1, thread_name_prefix=threading.current_thread().name) as alone:
        return alone.submit(function).result()
