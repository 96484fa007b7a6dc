"""The text of /etc/permissions.local, permissions(5) of openSUSE and SLES: one line of ours for each viewer.

The file is the site's own: all lines but those of the given path stay as they are, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What a file that we made starts with: it is ours to remove once nothing else is in it.
HEADER = b"# Made for the rights of the SPICE viewer; see permissions(5).\n"
# What an entry of the path is taken for that is not just one line with owner, group and mode.
UNCLEAR = ("", "", 0)

# Not as Python splits lines: a carriage return is part of one.
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")

Rights = tuple[str, str, int]


def read(text: bytes, path: str) -> Rights | None:
    """Return owner, group and mode that the file gives a path; ``None`` if it does not mention it.

    :data:`UNCLEAR` if it has several lines for the path, more in a line than these, or a condition.
    """
    own = [(line, conditional) for line, mine, conditional in _lines(text, path) if mine]
    if not own:
        return None
    words = own[0][0].decode("ascii", "replace").split()
    if len(own) > 1 or own[0][1] or len(words) != 3:
        return UNCLEAR
    owner, _, group = words[1].partition(":")
    try:
        return owner, group, int(words[2], 8)
    except ValueError:
        return UNCLEAR


def write(text: bytes | None, path: str, owner: str, group: str, mode: int) -> bytes:
    """Return the file's text with this entry as the only one for the path.

    It comes first: what follows a ``:package:`` line would be for that package only.
    """
    rest = HEADER if text is None else remove(text, path)
    return f"{path} {owner}:{group} {mode:04o}\n".encode() + rest


def remove(text: bytes, path: str) -> bytes:
    """Return the file's text without the path's entry."""
    return b"".join(line for line, mine, _ in _lines(text, path) if not mine)


def _lines(text: bytes, path: str) -> Iterator[tuple[bytes, bool, bool]]:
    """Yield each line, whether it is part of the path's entry, and whether it is for one package only.

    A line that starts with a plus sign adds to the entry before it; comments between them are skipped.
    """
    name, mine, conditional = path.encode(), False, False
    for line in _LINE.findall(text):
        words = line.split()
        if not words or words[0].startswith((b"#", b"$")):
            yield line, False, conditional
            continue
        if not words[0].startswith(b"+"):
            mine = words[0] == name
            conditional = conditional or words[0].startswith(b":")
        yield line, mine, conditional
