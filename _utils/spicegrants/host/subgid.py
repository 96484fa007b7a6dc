"""Reader of subgid(5): users who can map a group into their user namespace, and so have it for any program."""

from __future__ import annotations

import re
from typing import NamedTuple

from spicegrants.host import disk

PATH = "/etc/subgid"
# Owner, by name or UID, first GID and how many.
_LINE = re.compile(r"([^:#\s][^:]*):([0-9]{1,10}):([0-9]{1,10})")


class Range(NamedTuple):
    """A half-open range of GIDs, and its owner by name or UID as in the file."""

    owner: str
    first: int
    end: int


def ranges() -> list[Range]:
    """Return the ranges that newgidmap(1) grants; none where there is no such file."""
    lines = (disk.read_site(PATH) or b"").decode(errors="surrogateescape").splitlines()
    found = (each.groups() for each in filter(None, map(_LINE.fullmatch, lines)))
    return [Range(owner, int(first), int(first) + int(count)) for owner, first, count in found]
