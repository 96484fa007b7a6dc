"""Tables of the rules that firewall and sudo hold: those of others first, ours behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit.tables.accesses import counted, door
from spicegrants.audit.tables.layout import BAD, BLANK, DOUBT, Asked, Cell, Column, Line, Screen, paragraph, table
from spicegrants.audit.tables.text import printable

Entries = Sequence[Mapping[str, Any]]

_OTHERS = (
    Column("table"),
    Column("chain"),
    Column("rule"),
    Column("owner"),
    Column("verdict"),
    Column("what else", prose=True),
)
_OURS = (
    Column("user"),
    Column("vm"),
    Column("to"),
    Column("open", prose=True),
    Column("packets"),
    Column("uid", 1),
    Column("gid", 2),
    Column("bytes", 3),
)
_SUDO_OTHERS = (Column("who"), Column("what", prose=True), Column("where"))
_SUDO_OURS = (
    Column("user"),
    Column("may open"),
    Column("password"),
    Column("when", prose=True),
    Column("by", 1),
    Column("group", 2),
)
# Of another party's rule what has a column.
_PLACED = ("user", "uid", "gid", "table", "chain", "handle", "verdict", "foreign")


def firewall(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``spice_firewall.rules`` returns."""
    foreign, ours = _parted(entries)
    lines = paragraph(_headline(foreign, ours), screen.width)
    if foreign:
        rows = [
            (
                printable(entry.get("table", "")),
                printable(entry.get("chain", "")),
                "" if entry.get("handle") is None else printable(entry["handle"]),
                _owner(entry),
                printable(entry.get("verdict", "")),
                "; ".join(f"{printable(key)} {printable(entry[key])}" for key in entry if key not in _PLACED),
            )
            for entry in foreign
        ]
        lines += [*table(_OTHERS, rows, screen.width), BLANK]
    if ours:
        lines += _of_the_guard(ours, screen)
    return lines


def _of_the_guard(ours: Entries, screen: Screen) -> list[Line]:
    rows = [
        (
            Cell("nobody has the UID", BAD) if entry.get("user") is None else printable(entry["user"]),
            printable("" if entry.get("vm") is None else entry["vm"]),
            door(entry.get("address"), entry.get("port")),
            _when(entry),
            printable(entry.get("packets", "")),
            printable(entry.get("uid")),
            printable(entry.get("gid")),
            printable(entry.get("bytes", "")),
        )
        for entry in sorted(ours, key=_place)
    ]
    return table(_OURS, rows, screen.width)


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    orderly = entry.get("user") is not None and ("times" not in entry or entry["times"] is not None)
    return (orderly, printable(entry.get("user")), printable(entry.get("vm")), printable(entry.get("address")))


def _when(entry: Mapping[str, Any]) -> Cell | str:
    """Say when a rule of the guard is open."""
    verdict = printable(entry.get("verdict"))
    if "times" not in entry:
        return "always" if verdict == "accept" else Cell(verdict, DOUBT)
    if entry["times"] is None:
        return Cell(f"chain {verdict} holds other rules than ours", BAD)
    return f"chain {verdict}: {_windows(entry['times'])}"


def _windows(ranges: Any) -> str:
    """Say when the first of some ranges begins, and how many there are."""
    if not isinstance(ranges, (list, tuple)):
        return printable(ranges)
    if not ranges:
        return "never"
    first = ranges[0]
    words = " to ".join(map(printable, first)) if isinstance(first, (list, tuple)) else printable(first)
    return words if len(ranges) == 1 else f"{words}, and {len(ranges) - 1:,} more"


def _owner(entry: Mapping[str, Any]) -> str:
    if entry.get("user") is not None:
        return printable(entry["user"])
    ids = [f"{name.upper()} {printable(entry[name])}" for name in ("uid", "gid") if entry.get(name) is not None]
    return ", ".join(ids)


def sudo(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``spice_sudoers.rules`` returns."""
    foreign, ours = _parted(entries)
    lines = paragraph(_headline(foreign, ours), screen.width)
    if foreign:
        others = [
            (Cell(entry.get("who", ""), DOUBT), printable(entry.get("what", "")), printable(entry.get("where", "")))
            for entry in foreign
        ]
        lines += [*table(_SUDO_OTHERS, others, screen.width), BLANK]
    if ours:
        rows = [
            (
                printable(entry["user"]),
                printable(entry.get("argument", "")),
                "none" if entry.get("nopasswd") is True else "the user's",
                "always" if entry.get("windows") is None else _windows(entry["windows"]),
                printable(entry.get("viewer", "")),
                printable(entry.get("group", "")),
            )
            for entry in sorted(ours, key=lambda each: (printable(each["user"]), printable(each.get("argument"))))
        ]
        lines += table(_SUDO_OURS, rows, screen.width)
    return lines


def _parted(entries: Entries) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    foreign = [entry for entry in entries if entry["foreign"]]
    return foreign, [entry for entry in entries if not entry["foreign"]]


def _headline(foreign: Entries, ours: Entries) -> str:
    return f"{counted(len(ours), 'rule', 'rules')} of ours, {len(foreign):,} of others"
