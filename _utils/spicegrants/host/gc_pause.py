"""What a run needs not to be slowed down by all that Salt holds in memory."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def unsearched() -> Iterator[None]:
    """Pause Python's search for cycles of values that nothing refers to.

    It walks through all that Salt holds, once a run makes many values; those of a run are trees, which go without it.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
