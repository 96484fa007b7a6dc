"""Text of anybody's as it may stand on a terminal: escaped, measured in columns, and wrapped."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

# More than that is no cell of a table; --out=json has it.
_LONGEST, _DEEPEST = 1000, 4
# Python itself refuses to spell very long numbers.
_HUGE = 10**18


def printable(value: Any) -> str:
    """Return anything as one line of moderate length in which nothing moves the cursor or turns text around."""
    text = escaped(_spelled(value, 0))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _spelled(value: Any, depth: int) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= _HUGE:
        return "a huge number"
    if isinstance(value, (Mapping, list, tuple)):
        if not value:
            return "none"
        if depth == _DEEPEST:
            return "..."
        if isinstance(value, Mapping):
            pairs = ((_spelled(key, depth + 1), _spelled(each, depth + 1)) for key, each in value.items())
            return ", ".join(f"{key}: {each}" for key, each in pairs)
        return ", ".join(_spelled(each, depth + 1) for each in value)
    return str(value)


def escaped(text: str) -> str:
    """Return a text with all that is not printed as itself as an escape, as Python spells it.

    >>> escaped("\\x1b[2J\\u202e")
    '\\\\x1b[2J\\\\u202e'
    """
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    # A mark without a letter before it would stand on what is left of the text.
    return ascii(text[0])[1:-1] + text[1:] if text and not columns(text[0]) else text


def harmless(value: Any) -> Any:
    """Return data with all its texts escaped, but for line breaks; for an outputter that takes texts as they are."""
    if isinstance(value, str):
        return "\n".join(map(escaped, value.split("\n")))
    if isinstance(value, Mapping):
        return {harmless(key): harmless(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [harmless(each) for each in value]
    return value


def columns(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def padded(text: str, width: int) -> str:
    """Return a text with blanks behind it, up to a width."""
    return text + " " * (width - columns(text))


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of a width, at blanks where there are any; the width is at least 2."""
    lines, line, room = [], "", width
    for number, word in enumerate(text.split(" ")):
        size = columns(word)
        if number and size < room:
            line, room = f"{line} {word}", room - size - 1
            continue
        if number:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
        room = width - columns(line)
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    """Break a word where it must be broken, never between a letter and its marks."""
    pieces, size = [""], 0
    for letter in word:
        more = _columns(letter)
        if size + more > width:
            pieces.append("")
            size = 0
        pieces[-1] += letter
        size += more
    return pieces
