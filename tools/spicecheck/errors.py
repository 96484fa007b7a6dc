"""What kept a file from becoming pillar."""

from __future__ import annotations

from typing import NamedTuple


class RenderingError(NamedTuple):
    """An error of Salt's compiler; ``file`` is ``None`` where it is about none that there is."""

    file: str | None
    reason: str


def one_line(text: str) -> str:
    """Return an error without the excerpt that renderers append to it: it is long, and may hold a password."""
    lines = [line.strip() for line in text.split("\n---")[0].splitlines()]
    return " ".join(line for line in lines if line)
