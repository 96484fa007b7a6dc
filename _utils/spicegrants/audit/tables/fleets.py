"""Tables of many minions: what the runner returns, those that deviate first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit import fleet, minion_status
from spicegrants.audit.tables.accesses import counted
from spicegrants.audit.tables.layout import BAD, DOUBT, GOOD, PLAIN, Cell, Column, Line, Row, Screen, paragraph, table
from spicegrants.audit.tables.text import printable

Rows = Sequence[Mapping[str, Any]]

# From what is worst to what is good.
_ORDER = (
    minion_status.FAILED,
    fleet.ODD,
    fleet.SILENT,
    minion_status.DRIFTED,
    fleet.BEHIND,
    "would change",
    minion_status.NO_POLICY,
    minion_status.IN_SYNC,
    fleet.SUCCEEDED,
)
_STYLES = {minion_status.FAILED: BAD, fleet.ODD: BAD, minion_status.IN_SYNC: GOOD, fleet.SUCCEEDED: GOOD}


_STANDING = (
    Column("changes", prose=True),
    Column("why", prose=True),
    Column("policy", 2),
    Column("since", 1),
)


def standing(rows: Rows, key: str, screen: Screen) -> list[Line]:
    """Lay out rows that have a state or result: of ``status``, ``plan`` and ``follow``."""
    found = sorted(rows, key=lambda row: (_rank(row[key]), printable(row["minion"])))
    words = [printable(row[key]) for row in found]
    numbers = ", ".join(f"{words.count(word):,} {word}" for word in dict.fromkeys(words))
    said_of_some = [column for column in _STANDING if any(row.get(column.title) for row in found)]
    titles = [Column(key), Column("minion"), *said_of_some]
    table_rows: list[Row] = [[_cell(row, column.title, key) for column in titles] for row in found]
    said = f"{counted(len(found), 'minion', 'minions')}: {numbers}"
    return [*paragraph(said, screen.width), *table(titles, table_rows, screen.width)]


def _cell(row: Mapping[str, Any], name: str, key: str) -> Cell:
    word = row.get(name, "")
    return Cell(word, _STYLES.get(printable(word), DOUBT) if name == key else PLAIN)


def _rank(word: Any) -> int:
    return next((place for place, known in enumerate(_ORDER) if word == known), -1)


_ACCESSES = (
    Column("minion"),
    Column("user"),
    Column("vm"),
    Column("state", prose=True),
    Column("grants", prose=True),
)


def accesses(rows: Rows, screen: Screen) -> list[Line]:
    """Lay out what ``who`` and ``what`` return: first the minions that did not say."""
    found = sorted(
        rows, key=lambda row: [row["user"] != "", *(printable(row[key]) for key in ("minion", "user", "vm"))]
    )
    silent = [row for row in found if row["user"] == ""]
    number = len(found) - len(silent)
    minions = len({printable(row["minion"]) for row in found if row["user"] != ""})
    said = f"{counted(number, 'access', 'accesses')} on {counted(minions, 'minion', 'minions')}"
    if silent:
        said += f"; {counted(len(silent), 'minion', 'minions')} did not say"
    cells = [
        (
            printable(row["minion"]),
            printable(row["user"]),
            printable(row["vm"]),
            Cell(row["state"], _access_style(row)),
            printable(row["grants"]),
        )
        for row in found
    ]
    return [*paragraph(said, screen.width), *table(_ACCESSES, cells, screen.width)]


def _access_style(row: Mapping[str, Any]) -> str:
    state = printable(row["state"])
    if row["user"] == "" or state.startswith("locked"):
        return BAD
    return GOOD if state.startswith("open") else PLAIN


_LOANS = (
    Column("minion"),
    Column("user"),
    Column("vm"),
    Column("left"),
    Column("until"),
    Column("reason", prose=True),
    Column("held as", 1),
)
_LOCKS = (Column("minion"), Column("locked"), Column("since"), Column("reason", prose=True), Column("held as", 1))


def loans(rows: Rows, screen: Screen) -> list[Line]:
    """Lay out the loans of minions: first the minions that did not say."""
    return _held(rows, screen, _LOANS, ("user", "vm", "left", "until", "reason"), ("loan", "loans"))


def locks(rows: Rows, screen: Screen) -> list[Line]:
    """Lay out the locks of minions, likewise."""
    return _held(rows, screen, _LOCKS, ("about", "since", "reason"), ("lock", "locks"))


def _held(
    rows: Rows, screen: Screen, columns: Sequence[Column], keys: Sequence[str], noun: tuple[str, str]
) -> list[Line]:
    silent = [row for row in rows if row["state"] != ""]
    said = counted(len(rows) - len(silent), *noun)
    if silent:
        said += f"; {counted(len(silent), 'minion', 'minions')} did not say"
    found = sorted(rows, key=lambda row: [row["state"] == "", *(printable(row[key]) for key in ("minion", *keys))])
    cells: list[Row] = [
        (
            printable(row["minion"]),
            Cell(row[keys[0]], PLAIN) if row["state"] == "" else Cell(row["state"], BAD),
            *(printable(row[key]) for key in keys[1:]),
            "KVM host" if row["host"] is True else "",
        )
        for row in found
    ]
    return [*paragraph(said, screen.width), *table(columns, cells, screen.width)]


def confirmations(answer: Mapping[str, Any], screen: Screen) -> list[Line]:
    """Lay out what ``lock`` and the like return: who failed, who did not answer, who confirmed."""
    failed, silent, confirmed = answer["failed"], answer["not confirmed"], answer["confirmed"]
    hosts = [printable(name) for name in answer.get("hosts", ())]
    rows: list[Row] = [
        (Cell("failed", BAD), printable(name), printable(why), "") for name, why in sorted(failed.items())
    ]
    rows += [
        (Cell("not confirmed", DOUBT), printable(name), "does not hold there, as far as is known", "")
        for name in silent
    ]
    rows += [
        (Cell("confirmed", GOOD), printable(name), "", "KVM host" if printable(name) in hosts else "")
        for name in confirmed
    ]
    numbers = f"{len(confirmed):,} of {counted(len(rows), 'minion', 'minions')} confirmed"
    titles = [Column(), Column("minion"), Column("why", prose=True), Column("held as", 1)]
    if not failed and not silent:
        titles, rows = [*titles[:2], titles[3]], [[*row[:2], row[3]] for row in rows]
    return [*paragraph(numbers, screen.width, BAD if failed or silent else GOOD), *table(titles, rows, screen.width)]
