"""Tables of a review: who may open what, by what right, whether they do, and what asks for a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit.review_row import DISABLED, ENDED, FLAGS, IDLE, ROOT, SILENT
from spicegrants.audit.tables.accesses import counted
from spicegrants.audit.tables.layout import BAD, DOUBT, PLAIN, Asked, Cell, Column, Line, Row, Screen, paragraph, table
from spicegrants.audit.tables.text import printable

Entries = Sequence[Mapping[str, Any]]

_GRAVE = (ROOT, DISABLED, ENDED, IDLE, SILENT)
_ROWS = (
    Column("user"),
    Column("vm"),
    Column("flags", prose=True),
    Column("grants", prose=True),
    Column("last used"),
    Column("sessions", 2),
    Column("refusals", 1),
    Column("why", 3, prose=True),
    Column("groups", 4),
    Column("desks", 5, prose=True),
)
_NOTES = (Column("desk"), Column("not known", prose=True))
_CHANGES = (Column("what"), Column("user"), Column("vm"), Column("was", prose=True), Column("is", prose=True))


def review(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``review`` returns: rows with the gravest flags first, then what is not known."""
    notes = [entry for entry in entries if _is_note(entry)]
    found = sorted((entry for entry in entries if not _is_note(entry)), key=_place)
    flags = [printable(flag) for entry in found for flag in _listed(entry["flags"])]
    numbers = ", ".join(f"{flags.count(flag):,} {flag}" for flag in FLAGS if flag in flags)
    lines = paragraph(f"{counted(len(found), 'row', 'rows')}{f': {numbers}' if numbers else ''}", screen.width)
    if found:
        lines += table(_ROWS, [_row(entry) for entry in found], screen.width)
    if notes:
        lines += table(_NOTES, list(map(_note, notes)), screen.width)
    return lines


def of_fleet(answer: Mapping[str, Any], screen: Screen) -> list[Line]:
    """Lay out what the runner returns, with what is different from an earlier review."""
    lines = review(answer["review"], Asked(), screen)
    if "changes" not in answer:
        return lines
    changes = answer["changes"]
    lines += paragraph(f"{counted(len(changes), 'change', 'changes')} since the earlier review", screen.width)
    return lines + (table(_CHANGES, list(map(_change, changes)), screen.width) if changes else [])


def written(answer: Mapping[str, Any], screen: Screen) -> list[Line]:
    """Lay out what the runner returns where it has written a file."""
    rows = counted(answer["rows"], "row", "rows") if type(answer["rows"]) is int else printable(answer["rows"])
    lines = paragraph(f"Written: {printable(answer['written'])}, with {rows}.", screen.width)
    for desk in _listed(answer["silent"]):
        lines += paragraph(f"Note: {printable(desk)} did not say, or not all.", screen.width, DOUBT)
    return lines


def is_change(entry: Any) -> bool:
    """Tell whether an entry is a change between two reviews."""
    return isinstance(entry, Mapping) and {"what", "user", "vm", "fields"} <= set(entry)


def _is_note(entry: Mapping[str, Any]) -> bool:
    return entry["user"] == "" and entry["vm"] == ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _place(entry: Mapping[str, Any]) -> tuple[int, str, str]:
    flags = _listed(entry["flags"])
    worst = min((place for place, flag in enumerate(FLAGS) if flag in flags), default=len(FLAGS))
    return worst, printable(entry["user"]), printable(entry["vm"])


def _note(entry: Mapping[str, Any]) -> Row:
    return Cell(entry.get("desks") or "earlier review", DOUBT), printable(entry.get("why", ""))


def _row(entry: Mapping[str, Any]) -> Row:
    flags, grants = _listed(entry["flags"]), entry["grants"]
    style = BAD if any(flag in _GRAVE for flag in flags) else DOUBT if flags else PLAIN
    last = entry["last_used"]
    return (
        printable(entry["user"]) or "nobody",
        printable(entry["vm"]),
        Cell(", ".join(map(printable, flags)), style),
        ", ".join(map(printable, grants)) if isinstance(grants, Mapping) else printable(grants),
        # The day is enough here.
        "never" if last is None else printable(last).partition("T")[0],
        printable(entry.get("sessions", "")),
        printable(entry.get("refusals", "")),
        printable(entry.get("why", "")),
        printable(entry["groups"]) if entry.get("groups") else "",
        printable(entry.get("desks", "")),
    )


def _change(entry: Mapping[str, Any]) -> Row:
    fields = entry["fields"] if isinstance(entry["fields"], Mapping) else {}
    pairs = {name: each for name, each in fields.items() if isinstance(each, list) and len(each) == 2}
    sides = [
        "; ".join(f"{printable(name)} {printable(each[side] or 'none')}" for name, each in pairs.items())
        for side in (0, 1)
    ]
    return printable(entry["what"]), printable(entry["user"]) or "nobody", printable(entry["vm"]), *sides
