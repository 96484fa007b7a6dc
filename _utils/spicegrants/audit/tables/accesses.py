"""Tables of accesses, loans, locks and denials: who may open what, and who was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit.tables.layout import BAD, DOUBT, GOOD, PLAIN, Asked, Cell, Column, Line, Screen, paragraph, table
from spicegrants.audit.tables.text import printable

Entries = Sequence[Mapping[str, Any]]

_ACCESSES = (
    Column("user"),
    Column("vm"),
    Column("state", prose=True),
    Column("grants", prose=True),
    Column("groups", 1),
    Column("console", 2),
    Column("password", 3),
)
_LOANS = (
    Column("user"),
    Column("vm"),
    Column("state"),
    Column("until"),
    Column("reason", prose=True),
    Column("from", 2),
    Column("held as", 1),
)
_LOCKS = (Column("locked"), Column("since"), Column("reason", prose=True), Column("held as", 1))
_DENIALS = (
    Column("at"),
    Column("user"),
    Column("vm"),
    Column("times"),
    Column("why", prose=True),
    Column("rule", 1),
    Column("gid", 2),
    Column("to", 3),
)


def accesses(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``list`` and ``who`` return: what is locked first, then loans, then all else."""
    rows = []
    for entry in sorted(entries, key=_place):
        state = printable(entry["state"])
        style = BAD if _locked(entry) else GOOD if entry.get("open") is True else PLAIN
        rows.append(
            (
                printable(entry["user"]),
                printable(entry["vm"]),
                Cell(state, style),
                behind(entry["grants"]),
                printable(entry["groups"]) if entry.get("groups") else "",
                door(entry.get("addresses"), entry.get("port")),
                "none" if entry.get("nopasswd") is True else "the user's",
            )
        )
    number_open = sum(entry.get("open") is True for entry in entries)
    locked = sum(map(_locked, entries))
    said = f"{counted(len(entries), 'access', 'accesses')}: {number_open} open" + (
        f", {locked} locked" if locked else ""
    )
    return [*paragraph(said, screen.width), *table(_ACCESSES, rows, screen.width)]


def _locked(entry: Mapping[str, Any]) -> bool:
    return printable(entry["state"]).startswith("locked")


def _place(entry: Mapping[str, Any]) -> tuple[bool, bool, str, str]:
    grants = entry["grants"]
    lent = isinstance(grants, Mapping) and any(
        isinstance(each, Mapping) and each.get("loan") for each in grants.values()
    )
    return (not _locked(entry), not lent, printable(entry["user"]), printable(entry["vm"]))


def behind(grants: Any) -> str:
    """Say what is behind an access: grants and loans, with what is said about each."""
    if not isinstance(grants, Mapping):
        return printable(grants)
    return "; ".join(_grant(name, about) for name, about in grants.items())


def _grant(name: Any, about: Any) -> str:
    if not isinstance(about, Mapping):
        return printable(name)
    known = {"when": "", "reason": "", "owner": "owner ", "ticket": "ticket "}
    words = [
        f"{prefix}{printable(about[key])}" for key, prefix in known.items() if about.get(key) not in (None, "always")
    ]
    return f"{printable(name)} ({', '.join(words)})" if words else printable(name)


def door(addresses: Any, port: Any) -> str:
    """Say where a console is."""
    if not addresses:
        return ""
    return f"{printable(addresses)} port {printable(port)}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def loans(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out loans, those that a lock denies first."""
    rows = [
        (
            printable(entry["user"]),
            printable(entry["vm"]),
            Cell("locked", BAD) if entry.get("locked") is True else Cell(f"{printable(entry['left'])} left", DOUBT),
            printable(entry["until"]),
            printable(entry.get("reason", "")),
            printable(entry.get("from", "")),
            _holder(entry),
        )
        for entry in sorted(entries, key=lambda each: (each.get("locked") is not True, *map(printable, each.values())))
    ]
    return [*paragraph(counted(len(entries), "loan", "loans"), screen.width), *table(_LOANS, rows, screen.width)]


def locks(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out locks, the lock of everything first."""
    rows = [
        (Cell(entry["about"], BAD), printable(entry["since"]), printable(entry.get("reason", "")), _holder(entry))
        for entry in sorted(entries, key=lambda each: (each["about"] != "everything", printable(each["about"])))
    ]
    return [*paragraph(counted(len(entries), "lock", "locks"), screen.width), *table(_LOCKS, rows, screen.width)]


def _holder(entry: Mapping[str, Any]) -> str:
    return "KVM host" if entry.get("host") is True else ""


def denials(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out denials, the newest last, so that it is what one sees; minions of another version may list it first."""
    notes = [entry for entry in entries if entry["at"] is None]
    found = sorted((entry for entry in entries if entry["at"] is not None), key=lambda entry: printable(entry["at"]))
    rows = [
        (
            printable(entry["at"]),
            _owner(entry),
            printable(entry.get("vm") or door(entry["address"], entry["port"])),
            printable(entry.get("count", "")),
            printable(entry["why"]),
            printable(entry.get("rule") or ""),
            printable(entry.get("gid") if entry.get("gid") is not None else ""),
            door(entry["address"], entry["port"]),
        )
        for entry in found
    ]
    lines = paragraph(f"{counted(len(found), 'denial', 'denials')}, the newest last", screen.width)
    for entry in notes:
        number = f"{printable(entry['count'])} " if entry.get("count") else ""
        lines += paragraph(f"Note: {number}{printable(entry['why'])}", screen.width, DOUBT)
    return lines + (table(_DENIALS, rows, screen.width) if rows else [])


def _owner(entry: Mapping[str, Any]) -> str:
    if entry.get("user") is not None:
        return printable(entry["user"])
    uid = entry.get("uid")
    return "no owner" if uid is None else f"UID {printable(uid)}"
