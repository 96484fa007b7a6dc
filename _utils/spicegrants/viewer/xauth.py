"""X displays and the cookies that open them, in the file format of libXau (Xauthority). Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_DISPLAY = re.compile(r"(?:unix)?:([0-9]{1,5})(?:\.[0-9]{1,3})?")
_LOCAL, _WILD = 256, 65535
_COOKIE = b"MIT-MAGIC-COOKIE-1"

Record = tuple[int, bytes, bytes, bytes, bytes]


def display_number(text: str) -> str | None:
    """Return the number of a local display, as in ``:0`` or ``:10.0``; ``None`` for any other."""
    match = _DISPLAY.fullmatch(text)
    return match[1] if match else None


def cookie(content: bytes, number: str, host: str) -> bytes | None:
    """Return the cookie for one display in an Xauthority file, as a file of its own; ``None`` if there is none.

    It is valid for any display number, since the viewer knows the display by another.

    content
        The file's content. It is not trusted in any way: reading stops at a damaged record.

    number
        Number of the display.

    host
        Name of this machine: its record is preferred.
    """
    found = [
        (address != host.encode(), place, data)
        for place, (family, address, display, name, data) in enumerate(_records(content))
        if family in (_LOCAL, _WILD) and display in (number.encode(), b"") and name == _COOKIE and len(data) == 16
    ]
    if not found:
        return None
    parts = (b"", b"", _COOKIE, min(found)[2])
    return struct.pack(">H", _WILD) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def _records(content: bytes) -> Iterator[Record]:
    place = 0
    try:
        while place < len(content):
            (family,) = struct.unpack_from(">H", content, place)
            place += 2
            parts = []
            for _ in range(4):
                (length,) = struct.unpack_from(">H", content, place)
                part = content[place + 2 : place + 2 + length]
                if len(part) != length:
                    return
                parts.append(part)
                place += 2 + length
            yield (family, *parts)
    except struct.error:
        return
