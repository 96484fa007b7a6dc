"""Reads who may map a group into a user namespace of his own, and so have it for any program: subgid(5)."""

from __future__ import annotations

import re
from typing import NamedTuple

from spicegrants.host import disk

PATH = "/etc/subgid"
# Owner, by name or UID, first GID and how many.
_LINE = re.compile(r"([^:#\s][^:]*):([0-9]{1,10}):([0-9]{1,10})")


class Range(NamedTuple):
    """GIDs from a first one on, up to an end that is none of them, of an owner by name or UID as it stands there."""

    owner: str
    first: int
    end: int


def ranges() -> list[Range]:
    """Return what newgidmap(1) gives to whom; nothing where there is no such file."""
    lines = (disk.read_site(PATH) or b"").decode(errors="surrogateescape").splitlines()
    found = (each.groups() for each in filter(None, map(_LINE.fullmatch, lines)))
    return [Range(owner, int(first), int(first) + int(count)) for owner, first, count in found]
