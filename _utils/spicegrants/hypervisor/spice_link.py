"""The first words of SPICE's protocol: enough to see whether a console lets somebody in. Pure.

Messages and error codes: https://www.spice-space.org/spice-protocol.html, spice/protocol.h and spice/error_codes.h.
"""

from __future__ import annotations

import struct

# A message begins with these, its version, and the length of the rest.
_HEADER = struct.Struct("<4sIII")
HEADER = _HEADER.size
_MAGIC, _MAJOR, _MINOR = b"REDQ", 2, 2
_MAIN_CHANNEL = 1
# Numbers of common capabilities: that one says how one identifies oneself, and that it is by a ticket.
_SELECTION, _TICKET = 0, 1
_KEY = slice(4, 166)
# A reply holds an error, the key, and some capabilities; whatever answers may be something else.
_LONGEST = 4096
# What follows the ticket.
_IN, _DENIED = 0, 7
OPEN, DENIED = "open", "denied"


def hello() -> bytes:
    """Return the message that begins a new session's main channel."""
    fields = struct.Struct("<IBBIII")
    # Neither a session that goes on, nor a second channel; one word of common capabilities, right behind.
    body = fields.pack(0, _MAIN_CHANNEL, 0, 1, 0, fields.size) + struct.pack("<I", 1 << _SELECTION | 1 << _TICKET)
    return _HEADER.pack(_MAGIC, _MAJOR, _MINOR, len(body)) + body


def length(header: bytes) -> int:
    """Return how many bytes follow the beginning of a reply; raise ``ValueError`` if it is none of SPICE."""
    magic, major, _, rest = _HEADER.unpack(header)
    if (magic, major) != (_MAGIC, _MAJOR) or not _KEY.stop <= rest <= _LONGEST:
        raise ValueError("what answers does not speak SPICE")
    return rest


def public_key(reply: bytes) -> bytes:
    """Return the key by which the ticket is encrypted, as DER."""
    return reply[_KEY]


def ticket(encrypted: bytes) -> bytes:
    """Return the message with the ticket."""
    return struct.pack("<I", _TICKET) + encrypted


def outcome(word: bytes) -> str:
    """Return what a console says to a ticket: :data:`OPEN`, :data:`DENIED`, or in words something else."""
    (code,) = struct.unpack("<I", word)
    return {_IN: OPEN, _DENIED: DENIED}.get(code, f"error {code}")
