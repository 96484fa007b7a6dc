"""What ``verify`` found: its verdict in a line, what differs, and the matrix where that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spicegrants.audit import verdict
from spicegrants.audit.tables import text
from spicegrants.audit.tables.accesses import counted
from spicegrants.audit.tables.layout import (
    BAD,
    DOUBT,
    GAP,
    GOOD,
    HEAD,
    PAIR,
    PLAIN,
    Asked,
    Cell,
    Line,
    Piece,
    Row,
    Screen,
    paragraph,
    table,
    trimmed,
)
from spicegrants.audit.tables.text import printable

Answer = Mapping[str, Any]

# What a pair of user and vm can be, with its mark, the mark where there is ASCII only, and its style.
_OPEN, _CLOSED, _DIFFERS, _UNPROVEN = "open, as granted", "closed, as not granted", "differs", "not proven"
_MARKS = {
    _OPEN: ("●", "o", GOOD),
    _CLOSED: ("·", ".", PLAIN),
    _DIFFERS: ("X", "X", BAD),
    _UNPROVEN: ("?", "?", DOUBT),
}
# Users in a matrix that one still looks through.
_MOST = 50


Kinds = dict[str, dict[str, str]]


def verify(answer: Answer, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``verify`` returns."""
    kinds = _kinds(answer)
    rows: list[Row] = []
    for key, name, style in (
        ("differences", "differs", BAD),
        ("unproven", "unproven", DOUBT),
        ("left_out", "left out", PLAIN),
        ("warnings", "warning", DOUBT),
    ):
        rows += [(Cell(name, style), printable(each)) for each in _listed(answer, key)]
    lines = _verdict(answer, kinds, screen)
    if rows:
        lines += table(PAIR, rows, screen.width)
    return [*lines, *_matrix(kinds, screen)]


def _listed(answer: Answer, key: str) -> list[Any]:
    found = answer.get(key)
    return list(found) if isinstance(found, (list, tuple)) else [found] if found else []


def _kinds(answer: Answer) -> Kinds:
    """Tell what each pair is, from the sentences about it and from its cell."""
    said = {
        printable(sentence).partition(": ")[0]: kind
        for key, kind in (("unproven", _UNPROVEN), ("differences", _DIFFERS))
        for sentence in _listed(answer, key)
    }
    matrix = answer["matrix"]
    found: Kinds = {}
    for user, cells in matrix.items() if isinstance(matrix, Mapping) else ():
        for vm, cell in cells.items() if isinstance(cells, Mapping) else ():
            names = printable(user), printable(vm)
            found.setdefault(names[0], {})[names[1]] = said.get(" x ".join(names)) or _kind(cell)
    return found


def _kind(cell: Any) -> str:
    if isinstance(cell, Mapping):
        ended, own = cell.get("viewer group"), cell.get("own program")
        with_ticket = ended == verdict.NEEDS_TICKET and cell.get("host") == verdict.GRANTED
        if cell.get("granted") is True and (ended == verdict.OPEN or with_ticket) and own == verdict.DENIED:
            return _OPEN
        if cell.get("granted") is False and ended == own == verdict.DENIED:
            return _CLOSED
    return _UNPROVEN


def _verdict(answer: Answer, kinds: Kinds, screen: Screen) -> list[Line]:
    found = [kind for cells in kinds.values() for kind in cells.values()]
    tried = f"{counted(len(found), 'pair', 'pairs')} of user and vm tried"
    if answer["ok"] is True:
        rest = f", {found.count(_UNPROVEN):,} not proven" if _UNPROVEN in found else ""
        said = f"As the policy says: {tried}, {found.count(_OPEN):,} open, {found.count(_CLOSED):,} closed{rest}."
        return paragraph(said, screen.width, GOOD)
    if answer["ok"] is None:
        said = f"Not proven: nothing differs, but no granted user reached a console; {tried}."
        return paragraph(said, screen.width, DOUBT)
    number = counted(len(_listed(answer, "differences")), "difference", "differences")
    return paragraph(f"NOT as the policy says: {number}; {tried}.", screen.width, BAD)


def _matrix(kinds: Kinds, screen: Screen) -> list[Line]:
    """Draw users against vms, a mark each; where that does not fit say so."""
    if not kinds:
        return []
    vms = sorted({vm for cells in kinds.values() for vm in cells})
    room = max(map(text.columns, kinds))
    heads = _heads(vms, screen.width - room)
    if not heads or len(kinds) > _MOST:
        size = f"{counted(len(kinds), 'user', 'users')} x {counted(len(vms), 'vm', 'vms')}"
        return paragraph(f"The matrix of {size} does not fit here: --out=nested shows it.", screen.width)
    *above, sizes = heads
    lines: list[Line] = [trimmed([Piece(" " * room), Piece(head, HEAD)]) for head in above]
    for user in sorted(kinds):
        pieces = [Piece(text.padded(user, room))]
        for vm, size in zip(vms, sizes):
            mark, style = _mark(kinds[user].get(vm), screen)
            pieces.append(Piece(GAP + text.padded(mark, size), style))
        lines.append(trimmed(pieces))
    used = [kind for kind in _MARKS if any(kind in cells.values() for cells in kinds.values())]
    legend = GAP.join(f"{_mark(kind, screen)[0]} {kind}" for kind in used)
    return [*lines, *paragraph(legend, screen.width)]


def _mark(kind: str | None, screen: Screen) -> tuple[str, str]:
    if kind is None:
        return " ", PLAIN
    mark, plain, style = _MARKS[kind]
    return (mark if screen.unicode else plain), style


def _heads(names: list[str], room: int) -> list[Any]:
    """Return lines with the vms' names, and the widths of their columns; nothing if they do not fit.

    Names that are too long to stand side by side stand upright.
    """
    sizes = [text.columns(name) for name in names]
    if sum(sizes) + len(GAP) * len(sizes) <= room:
        return ["".join(GAP + name for name in names), sizes]
    longest = max(map(len, names))
    if 3 * len(names) > room or not all(map(str.isascii, names)):
        return []
    upright = [name.rjust(longest) for name in names]
    return [*("".join(f"{GAP}{name[place]}" for name in upright) for place in range(longest)), [1] * len(names)]
