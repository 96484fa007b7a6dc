"""Values that several parts of a pillar have: names of things, references to them, durations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from spicegrants.core import validation
from spicegrants.core.reader import Node, complete, quote
from spicegrants.schedule import instants

_T = TypeVar("_T")


def named_children(
    node: Node, read: Callable[[str, Node], _T | None], named: Callable[[str], str | None] = validation.object_name
) -> dict[str, _T]:
    """Parse a mapping of names; children with findings are left out.

    named
        Says what is wrong with a name.
    """
    found: dict[str, _T] = {}
    if node.absent:
        return found
    for name, child in node.items():
        complaint = named(name)
        if complaint:
            child.wrong(f"{quote(name)} {complaint}")
        else:
            value = read(name, child)
            if value is not None:
                found[name] = value
    return found


def members(node: Node, known: Collection[str], what: str) -> tuple[str, ...] | None:
    """Return names of things that are declared elsewhere, each once; ``None`` if one is unknown."""
    names = complete(child.reference(known, what) for child in node.elements(scalar=True))
    if node.value == []:
        node.wrong("is empty: name at least one")
    return None if names is None else tuple(dict.fromkeys(names))


def duration(node: Node, longest: int) -> int | None:
    """Return a duration in seconds, longer than nothing and within a limit."""
    if node.absent:
        return None
    seconds = instants.duration(node.value)
    if seconds is None:
        node.wrong(f"{quote(node.value)} is no duration, as 15m or 1h30m")
    elif not 0 < seconds <= longest:
        node.wrong(f"{quote(node.value)} is not between 1s and {instants.spell_duration(longest)}")
    else:
        return seconds
    return None
