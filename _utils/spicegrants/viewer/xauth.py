"""X displays and the cookies that open them, in the file format of libXau (Xauthority). Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# What libxcb connects to by a socket of this machine: no host, or unix as host or protocol.
_DISPLAY = re.compile(r"(?:unix(?:/[^:/]*)?)?:([0-9]{1,5})(?:\.[0-9]{1,3})?")
_LOCAL, _WILD = 256, 65535
_COOKIE = b"MIT-MAGIC-COOKIE-1"
_LENGTH = 16

Record = tuple[int, bytes, bytes, bytes, bytes]


def display_number(text: str) -> str | None:
    """Return the number of a local display, as in ``:0`` or ``unix/:10.0``; ``None`` for others.

    Source: ``_xcb_parse_display`` and ``_xcb_open`` of libxcb.
    """
    match = _DISPLAY.fullmatch(text)
    return str(int(match[1])) if match else None


def cookie(content: bytes, number: str, host: str) -> bytes | None:
    """Return the cookie for a display in an Xauthority file, the one that a program of the user would use.

    That is the first whose record is for any machine, or for this one, and for any display, or for this one. Records of
    other machines are left alone: a home directory that several machines share collects them. Source:
    ``XauGetBestAuthByAddr`` of libXau.

    content
        The file's content. It is not trusted in any way: reading stops at a damaged record.

    number
        Number of the display.

    host
        Name of this machine.

    Returns 16 bytes, or ``None`` if there is none.
    """
    for family, address, display, name, data in _records(content):
        here = family == _WILD or (family == _LOCAL and address == host.encode())
        if here and display in (number.encode(), b"") and name == _COOKIE and len(data) == _LENGTH:
            return data
    return None


def file_of(data: bytes) -> bytes:
    """Return an Xauthority file with one cookie, valid for any display: the viewer knows its own by another number.

    Raises ValueError if it is no cookie.
    """
    if len(data) != _LENGTH:
        raise ValueError(f"a cookie of {len(data)} bytes")
    return struct.pack(">H", _WILD) + b"".join(
        struct.pack(">H", len(part)) + part for part in (b"", b"", _COOKIE, data)
    )


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
