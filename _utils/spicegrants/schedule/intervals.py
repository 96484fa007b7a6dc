"""Windows: sorted, disjoint, half-open intervals of whole seconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
Windows = tuple[Range, ...]

# What the kernel's and iptables' own fields can hold: 1970 to 2106.
FIRST, LAST = 0, 2**32
ALWAYS: Windows = ((FIRST, LAST),)
NEVER: Windows = ()
DAY = 86400


def union(*many: Windows) -> Windows:
    """Return the union of windows; intervals that overlap or touch are joined."""
    joined: list[Range] = []
    for start, end in sorted(span for windows in many for span in windows):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def clip(windows: Iterable[Range], start: int, end: int) -> Windows:
    """Return the parts of windows that lie between two moments."""
    cut = ((max(low, start), min(high, end)) for low, high in windows)
    return tuple((low, high) for low, high in cut if low < high)


def overlap(one: Windows, other: Windows) -> Windows:
    """Return the intersection of windows."""
    if one == other:
        return one
    found = []
    first, second = 0, 0
    while first < len(one) and second < len(other):
        (low, high), (start, end) = one[first], other[second]
        found.append((max(low, start), min(high, end)))
        if high < end:
            first += 1
        else:
            second += 1
    return union(tuple((start, end) for start, end in found if start < end))


def contains(windows: Windows, moment: int) -> bool:
    """Tell whether a moment lies in one of the windows."""
    return any(start <= moment < end for start, end in windows)


def next_edge(windows: Windows, moment: int) -> int | None:
    """Return the first start or end of a window after a moment; ``None`` if nothing changes any more."""
    return next((edge for span in windows for edge in span if moment < edge < LAST), None)


def lengthened(windows: Windows, seconds: int) -> Windows:
    """Return windows, each lasting some seconds longer."""
    return union(tuple((start, min(end + seconds, LAST)) for start, end in windows))
