"""Tables of the record: sessions, which is who was in which console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit.tables.accesses import counted
from spicegrants.audit.tables.layout import (
    BAD,
    DOUBT,
    GOOD,
    Asked,
    Cell,
    Column,
    Line,
    Row,
    Screen,
    paragraph,
    table,
)
from spicegrants.audit.tables.text import printable
from spicegrants.schedule import instants

Entries = Sequence[Mapping[str, Any]]

_SESSIONS = (
    Column("user"),
    Column("vm"),
    Column("from"),
    Column("for"),
    Column("ended because", prose=True),
    Column("received", 1),
    Column("sent", 1),
    Column("form", 2),
    Column("grants", 3),
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def sessions(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out sessions, the newest last, and what is wrong with the record above them."""
    found = [entry for entry in entries if entry.get("from")]
    rows = [
        (
            printable(entry.get("user") or f"UID {printable(entry.get('uid'))}"),
            printable(entry.get("vm") or ""),
            printable(entry["from"]),
            _duration(entry.get("seconds")),
            Cell("open", GOOD) if entry["open"] is True else printable(entry["why"]),
            _bytes(entry.get("received")),
            _bytes(entry.get("sent")),
            printable(entry.get("form")),
            printable(", ".join(map(str, grants)) if isinstance(grants := entry.get("grants"), list) else grants),
        )
        for entry in sorted(found, key=lambda entry: printable(entry["from"]))
    ]
    now = sum(entry["open"] is True for entry in found)
    lines = paragraph(f"{counted(len(found), 'session', 'sessions')}, {now:,} open, the newest last", screen.width)
    for entry in entries:
        if not entry.get("from"):
            lines += paragraph(f"Note: {printable(entry['why'])}", screen.width, DOUBT)
    return lines + (table(_SESSIONS, rows, screen.width) if rows else [])


_OF_FLEET = (Column("minion"), *_SESSIONS[:7])


def of_fleet(rows: Entries, screen: Screen) -> list[Line]:
    """Lay out the sessions of minions, first the minions that did not say."""
    silent = [row for row in rows if row["state"] != ""]
    found = [row for row in rows if row["state"] == ""]
    now = sum(row["open"] is True for row in found)
    said = f"{counted(len(found), 'session', 'sessions')}, {now:,} open, the newest last"
    if silent:
        said += f"; {counted(len(silent), 'minion', 'minions')} did not say"
    blank = [""] * (len(_OF_FLEET) - 2)
    cells: list[Row] = [(printable(row["minion"]), Cell(row["state"], BAD), *blank) for row in silent]
    cells += [
        (
            *(printable(row[key]) for key in ("minion", "user", "vm", "from")),
            _duration(row["seconds"]),
            Cell("open", GOOD) if row["open"] is True else printable(row["why"]),
            _bytes(row["received"]),
            _bytes(row["sent"]),
        )
        for row in found
    ]
    return [*paragraph(said, screen.width), *table(_OF_FLEET, cells, screen.width)]


def _duration(seconds: Any) -> str:
    return instants.spell_duration(seconds) if type(seconds) is int and seconds >= 0 else ""


def _bytes(number: Any) -> str:
    """Spell a number of bytes in three digits or less, decimal units."""
    if type(number) is not int or number < 0:
        return "" if number is None else printable(number)
    amount, unit = float(number), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}"
