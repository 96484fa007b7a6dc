"""Errors that kept a file from becoming pillar."""

from __future__ import annotations

from typing import NamedTuple


class RenderingError(NamedTuple):
    """An error of Salt's compiler; ``file`` is ``None`` if it is about no existing file."""

    file: str | None
    reason: str


def one_line(text: str) -> str:
    """Return an error as a printable line, without the excerpt that renderers append to it.

    The excerpt is long, and may hold a password. A template's own error may hold anything.
    """
    lines = [line.strip() for line in text.split("\n---")[0].splitlines()]
    line = " ".join(line for line in lines if line)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
