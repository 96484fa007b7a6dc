"""The review as a table for spreadsheets, and the decisions in one that comes back. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple

from spicegrants.audit.review_row import COLUMNS, Row, flat
from spicegrants.audit.tables.text import escaped
from spicegrants.core.errors import Finding
from spicegrants.core.reader import quote

DECISION, COMMENT = "decision", "comment"
HEAD = (*COLUMNS, DECISION, COMMENT)
KEEP, REVOKE = "keep", "revoke"
# How spreadsheets begin what they calculate; in some languages they take wide letters for these. An apostrophe of
# ours stands before an apostrophe too, so that each can be told from those of a text.
_WIDE = ("\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}")
_CALCULATED = ("=", "+", "-", "@", "\t", "\r", *_WIDE, "\N{FULLWIDTH COMMERCIAL AT}", "'")
# What spreadsheets of different languages put between cells.
_DELIMITERS = ",;\t"
_NEEDED = ("user", "vm", "groups", "grants", "desks", DECISION)


class Decision(NamedTuple):
    """A row that somebody wants to be revoked.

    line
        Where it stands in the file.

    user
        Empty where a grant of a group means nobody.
    """

    line: int
    user: str
    vm: str
    grants: tuple[str, ...]
    groups: tuple[str, ...]
    desks: tuple[str, ...]
    comment: str = ""


class Decisions(NamedTuple):
    """What is decided in a file: rows to be revoked, how many are kept or left open, and what is wrong."""

    revoked: list[Decision]
    kept: int
    undecided: int
    findings: list[Finding]


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet calculates."""
    return f"'{cell}" if cell.startswith(_CALCULATED) else cell


def meant(cell: str) -> str:
    """Return what :func:`harmless` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_CALCULATED) else cell


def written(rows: Iterable[Row]) -> str:
    """Return rows as CSV, RFC 4180, with a mark of UTF-8 at its beginning, which spreadsheets look for."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(HEAD)
    for each in rows:
        known = flat(each)
        writer.writerow([*(harmless(escaped(known[column])) for column in COLUMNS), "", ""])
    return f"\N{ZERO WIDTH NO-BREAK SPACE}{stream.getvalue()}"


def read(content: bytes) -> Decisions:
    """Return the decisions in a CSV that came back; whatever it holds, what is wrong is a finding with its line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # As some spreadsheets store it: names and decisions are the same in it.
        text = content.decode("cp1252", "replace")
    for delimiter in _DELIMITERS:
        lines, findings = _lines(text, delimiter)
        head = [cell.strip() for cell in lines[0][1]] if lines else []
        if all(head.count(name) == 1 for name in _NEEDED):
            return _decisions(head, lines[1:], findings)
    # Nothing of another file is said to whoever may only have reviews read.
    message = f"is no head of a review: it needs each of the columns {', '.join(_NEEDED)} once"
    return Decisions([], 0, 0, [Finding("line 1", message)])


def _lines(text: str, delimiter: str) -> tuple[list[tuple[int, list[str]]], list[Finding]]:
    """Return cells with the number of the line in which they end, and what hinders the rest from being read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found = []
    try:
        for cells in reader:
            found.append((reader.line_num, cells))
    except csv.Error as error:
        return found, [Finding(f"line {reader.line_num}", f"cannot be read, nor what follows: {error}")]
    return found, []


def _decisions(head: list[str], lines: Iterable[tuple[int, list[str]]], findings: list[Finding]) -> Decisions:
    revoked: list[Decision] = []
    counted = {KEEP: 0, "": 0}
    known: dict[tuple[str, ...], tuple[int, str]] = {}
    for number, cells in lines:
        row = {**dict.fromkeys(head, ""), **{name: meant(cell.strip()) for name, cell in zip(head, cells)}}
        word = row[DECISION].casefold()
        complaint = _complaint(row, word, number, known)
        if complaint:
            findings.append(Finding(f"line {number}", complaint))
        elif word == REVOKE:
            revoked.append(_decision(row, number))
        elif any(row.values()):
            counted[word] += 1
    return Decisions(revoked, counted[KEEP], counted[""], findings)


def _complaint(row: dict[str, str], word: str, number: int, known: dict[tuple[str, ...], tuple[int, str]]) -> str:
    """Return what is wrong with a decision; empty if nothing is.

    known
        Decisions by what they are about, with their lines. It is changed.
    """
    if word not in (KEEP, REVOKE, ""):
        return f"decision {quote(row[DECISION])} is none of keep, revoke and nothing"
    if word == REVOKE and not (row["vm"] and _several(row, "grants")):
        return "names no vm and grant: there is nothing in it to be revoked"
    if word and row["vm"]:
        about = row["user"], row["vm"], "" if row["user"] else row["groups"]
        line, before = known.setdefault(about, (number, word))
        if before != word:
            return f"says {word}, and line {line} {before}"
    return ""


def _several(row: dict[str, str], column: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in row[column].split(","))))


def _decision(row: dict[str, str], line: int) -> Decision:
    grants, groups, desks = (_several(row, column) for column in ("grants", "groups", "desks"))
    return Decision(line, row["user"], row["vm"], grants, groups, desks, row.get(COMMENT, ""))
