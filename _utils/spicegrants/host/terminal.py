"""The terminal of whoever calls: how far long work is goes there, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from spicegrants.core.live_line import LiveLine

_COLUMNS = 80


@contextlib.contextmanager
def live_line(wanted: bool = True) -> Iterator[LiveLine]:
    """Give a line of standard error to show progress on; it shows nothing where that is no terminal.

    wanted
        Whether to show anything.
    """
    line = LiveLine(_write if wanted and _is_terminal() else None, time.monotonic, _columns)
    try:
        yield line
    finally:
        line.clear()


def _is_terminal() -> bool:
    # A daemon may have closed it, or have none.
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def _write(text: str) -> None:
    # Work goes on when its terminal is gone; in a buffer this would be left over.
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), text.encode("ascii"))


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS
