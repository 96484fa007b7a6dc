"""How far long work is, in one line that is drawn over itself and is gone at the end. Pure.

Where it is written, by which clock, and how wide the terminal is comes from the caller.
"""

from __future__ import annotations

from collections.abc import Callable

# Seconds between two drawings: more often nobody reads it, and a slow way to the terminal would slow down the work.
_EVERY = 0.1
# Steps that are drawn all the same: each hundredth, and the last ones. Somebody may wait long for the next.
_PARTS, _LAST = 100, 20


class LiveLine:
    """One line of a terminal.

    write
        Takes text for the terminal; ``None`` where there is none: nothing is shown then.

    clock
        Returns seconds.

    columns
        Returns how wide the terminal is.
    """

    def __init__(
        self, write: Callable[[str], object] | None, clock: Callable[[], float], columns: Callable[[], int]
    ) -> None:
        self._write, self._clock, self._columns = write, clock, columns
        self._begun = clock()
        self._drawn = self._begun
        self._counted: tuple[str, int] | None = None
        self._length = 0

    def count(self, what: str, done: int, number: int) -> None:
        """Show how many of how many are done, and for how long the work has gone on; not each of many small steps."""
        now = self._clock()
        step = what, done * _PARTS // max(number, 1)
        if step == self._counted and number - done >= _LAST and now < self._drawn + _EVERY:
            return
        self._counted, self._drawn = step, now
        seconds = int(now - self._begun)
        self.show(f"{what}: {done:,} of {number:,}" + (f" ({seconds} s)" if seconds > 0 else ""))

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self._write is None:
            return
        # One letter is one column, whoever chose it; in the last column some terminals begin another line.
        room = max(self._columns() - 1, 0)
        shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:room]
        self._write("\r" + shown.ljust(min(self._length, room)))
        self._length = len(shown)

    def clear(self) -> None:
        """Take the line away."""
        if self._write is not None and self._length:
            self._write("\r" + " " * min(self._length, max(self._columns() - 1, 0)) + "\r")
        self._length = 0
