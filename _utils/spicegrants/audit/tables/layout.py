"""Layout: rows and sentences become lines of a width, each a series of pieces with a style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Union

from spicegrants.audit.tables import text

# Styles; whoever prints lines chooses their colours.
STYLES = PLAIN, HEAD, GOOD, BAD, DOUBT = ("plain", "head", "good", "bad", "doubt")
GAP = "  "
# Narrower than that nothing is laid out.
NARROWEST = 40


class Piece(NamedTuple):
    """A part of a line, of one style."""

    text: str
    style: str = PLAIN


Line = tuple[Piece, ...]


class Screen(NamedTuple):
    """Where lines are shown: its columns, whether it shows more than ASCII, and the moment at which it does."""

    width: int
    unicode: bool = True
    now: int | None = None


class Asked(NamedTuple):
    """The function that was asked, as ``list``, its arguments as far as they were named or placed, and its module."""

    function: str = ""
    arguments: dict[str, Any] = {}
    module: str = ""

    def word(self, name: str) -> str:
        """Return an argument as text; nothing if it was not given."""
        value = self.arguments.get(name)
        return "" if value is None else text.printable(value)


class Cell(NamedTuple):
    """What stands in a table: any value, and a style."""

    value: Any = ""
    style: str = PLAIN


class Column(NamedTuple):
    """A column of a table.

    spare
        Whether it may be left out where room is lacking: not if it is 0, and the highest goes first.

    prose
        Whether it holds sentences, which one reads as well on several lines.
    """

    title: str = ""
    spare: int = 0
    prose: bool = False


Row = Sequence[Union[Cell, str]]
_COMFORTABLE, _CRAMPED = 24, 10
# A word, and what there is to say about it.
PAIR = (Column(), Column(prose=True))


def shape(cell: Cell | str) -> tuple[str, str]:
    """Return a cell's text and style."""
    return (text.printable(cell.value), cell.style) if isinstance(cell, Cell) else (text.printable(cell), PLAIN)


def paragraph(sentence: Any, width: int, style: str = PLAIN) -> list[Line]:
    """Lay out a sentence."""
    return [(Piece(part, style),) for part in text.wrapped(text.printable(sentence), width)]


def table(columns: Sequence[Column], rows: Iterable[Row], width: int) -> list[Line]:
    """Lay out a table; one without any title has no head. What was left out is named below it."""
    shaped = [[shape(cell) for cell in row] for row in rows]
    natural = [
        max([text.columns(column.title), *(text.columns(row[place][0]) for row in shaped)])
        for place, column in enumerate(columns)
    ]
    kept = [place for place, column in enumerate(columns) if not column.spare or any(row[place][0] for row in shaped)]
    left_out = []
    while _total([_least(columns[place], natural[place]) for place in kept]) > width:
        spare = [place for place in kept if columns[place].spare]
        if not spare:
            break
        first = max(spare, key=lambda place: columns[place].spare)
        kept.remove(first)
        left_out.append(columns[first].title)
    sizes = _sizes([columns[place] for place in kept], [natural[place] for place in kept], width)
    lines: list[Line] = []
    if any(column.title for column in columns):
        lines += _row([(columns[place].title, HEAD) for place in kept], sizes)
        lines.append((Piece("-" * _total(sizes), HEAD),))
    for row in shaped:
        lines += _row([row[place] for place in kept], sizes)
    if left_out:
        lines += paragraph(f"Not shown: {', '.join(sorted(left_out))}. --out=nested has all.", width)
    return lines


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _least(column: Column, natural: int) -> int:
    """Return how much room a column must have for others to be shown beside it."""
    return min(natural, _COMFORTABLE) if column.prose else natural


def _sizes(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return widths that fit: the widest give way, sentences first."""
    sizes = [min(size, width) for size in natural]
    while _total(sizes) > width:
        places = range(len(sizes))
        prose = [place for place in places if columns[place].prose and sizes[place] > _CRAMPED]
        widest = max(prose or places, key=sizes.__getitem__)
        sizes[widest] -= 1
    return sizes


def _row(cells: Sequence[tuple[str, str]], sizes: Sequence[int]) -> list[Line]:
    parts = [text.wrapped(content, size) for (content, _), size in zip(cells, sizes)]
    lines = []
    for number in range(max(map(len, parts))):
        pieces = []
        for (_, style), part, size in zip(cells, parts, sizes):
            content = part[number] if number < len(part) else ""
            pieces += [Piece(content, style), Piece(" " * (size - text.columns(content)) + GAP)]
        lines.append(trimmed(pieces))
    return lines


def trimmed(pieces: Sequence[Piece]) -> Line:
    """Return pieces as a line, without blanks at its end."""
    left = [piece for piece in pieces if piece.text]
    while left and not left[-1].text.strip():
        left.pop()
    return (*left[:-1], left[-1]._replace(text=left[-1].text.rstrip())) if left else ()


BLANK: Line = ()
