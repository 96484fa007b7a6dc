"""Pause garbage collection, which would slow a run down: it walks through all that Salt holds in memory."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def unsearched() -> Iterator[None]:
    """Pause Python's cyclic garbage collector.

    Once a run makes many values, the collector walks through all that Salt holds. The values of a run are trees, which
    are freed without it.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
