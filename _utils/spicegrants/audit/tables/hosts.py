"""Tables of a KVM host: its consoles, the sessions that tickets opened, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spicegrants.audit.tables import standing
from spicegrants.audit.tables.accesses import counted
from spicegrants.audit.tables.layout import (
    BAD,
    DOUBT,
    GOOD,
    PLAIN,
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

Entries = Sequence[Mapping[str, Any]]

_CONSOLES = (
    Column("domain"),
    Column("vm"),
    Column("runs"),
    Column("TLS port"),
    Column("port", 1),
    Column("password ends"),
    Column("uuid", 2),
)
# What of a console lets somebody in who was given no ticket.
_OPEN = ("never", "none")


def consoles(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out consoles: first those that a vm declares."""
    rows = [
        (
            printable(entry["domain"]),
            Cell("not declared", DOUBT) if entry.get("vm") is None else printable(entry["vm"]),
            "yes" if entry["running"] is True else "no",
            printable(entry.get("tls_port")),
            "" if entry.get("port") is None else Cell(entry["port"], BAD),
            Cell(entry["password"], BAD if printable(entry["password"]) in _OPEN else PLAIN),
            printable(entry["uuid"]),
        )
        for entry in sorted(entries, key=lambda each: (each.get("vm") is None, printable(each["domain"])))
    ]
    declared = sum(entry.get("vm") is not None for entry in entries)
    said = f"{counted(len(entries), 'console', 'consoles')}, {declared:,} declared"
    return [*paragraph(said, screen.width), *table(_CONSOLES, rows, screen.width)]


_SESSIONS = (Column("vm"), Column("user"), Column("desk"), Column("since"), Column("state"))


def sessions(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out sessions: those that are just being opened last."""
    rows: list[Row] = [
        (
            *(printable(entry[key]) for key in ("vm", "user", "desk", "since")),
            Cell("opening", DOUBT) if entry["opening"] is True else Cell("open", GOOD),
        )
        for entry in sorted(
            entries, key=lambda each: (each["opening"] is True, printable(each["vm"]), printable(each["user"]))
        )
    ]
    said = counted(len(entries), "session", "sessions")
    return [*paragraph(said, screen.width), *table(_SESSIONS, rows, screen.width)]


_HOST = ("service", "ports", "consoles", "desks", "sessions")
_PARTS = (Column("part"), Column("name"), Column("state", prose=True))


def status(answer: Mapping[str, Any], asked: Asked, screen: Screen) -> list[Line]:
    """Lay out how a KVM host stands: as a minion, then its service, ports, consoles and sessions."""
    rows: list[Row] = []
    for part, good in (("service", "runs"), ("ports", "shut")):
        word = printable(answer.get(part))
        rows.append((part, "", Cell(word, GOOD if word == good else BAD)))
    found = answer["consoles"]
    for name, state in found.items() if isinstance(found, Mapping) else ():
        rows.append(("console", printable(name), Cell(state, _style(printable(state)))))
    rows.append(("desks", "", Cell(answer.get("desks"))))
    rows += [("session", "", Cell(each, GOOD)) for each in standing.listed(answer["sessions"])]
    as_minion = {key: value for key, value in answer.items() if key not in _HOST}
    return [*standing.status(as_minion, asked, screen), *table(_PARTS, rows, screen.width)]


def _style(state: str) -> str:
    if state.startswith(("shut", "locked")):
        return BAD
    return GOOD if state == "opens with a ticket" else PLAIN
