"""What ``timeline`` returns as bars: one line a console, the days above, now marked.

All is drawn by the wall clock of the zone in which the moments are spelled: a day has as many columns as any other.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spicegrants.audit.tables import text
from spicegrants.audit.tables.accesses import behind, counted
from spicegrants.audit.tables.layout import DOUBT, GAP, GOOD, HEAD, Asked, Column, Line, Piece, Screen, paragraph, table
from spicegrants.audit.tables.text import printable
from spicegrants.schedule import instants

Entries = Sequence[Mapping[str, Any]]

_MOMENT = re.compile(r"[A-Z][a-z]{2} (2\d{3}-\d{2}-\d{2}) (\d{2}:\d{2})(?::(\d{2}))? (\S+)", re.ASCII)
_DAY = 1440
# Minutes that a column may stand for.
_SCALES = (30, 60, 120, 180, 240, 360, 480, 720, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY)
# Left half of a column, right half, both; what only a loan opens; nothing; now.
_BLOCKS = {(True, False): "▌", (False, True): "▐", (True, True): "█"}
_PLAIN_BLOCKS = dict.fromkeys(_BLOCKS, "#")
_LOAN, _CLOSED, _NOW = ("▒", "="), ("·", "."), ("▼", "v")
# Days that a timeline may have.
_LONGEST = 366
# Columns of the names at the left, at most that part of the width.
_NAMES = 3


_COLUMNS = (Column("user"), Column("vm"), Column("from"), Column("until"), Column("grants", 1, prose=True))


class Stretch(NamedTuple):
    """A stretch of time in minutes of the wall clock since the first day began, and whether only loans open it."""

    start: int
    end: int
    lent: bool


class Scale(NamedTuple):
    """The first day, how many columns there are, and how many minutes one stands for."""

    first: datetime.date
    columns: int
    minutes: int


def timeline(entries: Entries, asked: Asked, screen: Screen) -> list[Line]:
    """Draw what ``timeline`` returns; where its moments cannot be read, or the width is too small, as a table."""
    read = [(_moment(entry["from"]), _moment(entry["until"])) for entry in entries]
    zones = {moment[1] for pair in read for moment in pair if moment}
    if not all(start and end for start, end in read) or len(zones) != 1:
        return _as_table(entries, screen)
    (zone,) = zones
    now = instants.local(screen.now, zone).replace(tzinfo=None) if screen.now is not None else None
    first = min(start[0] for start, _ in read if start).date()
    last = max(end[0] for _, end in read if end)
    if now and "at" not in asked.arguments and 0 < (first - now.date()).days <= _LONGEST:
        first = now.date()
    whole = math.ceil((last - _midnight(first)).total_seconds() / 60 / _DAY) or 1
    consoles: dict[tuple[str, str], list[Stretch]] = {}
    for entry, (start, end) in zip(entries, read):
        if start and end:
            # A minute that is open for a second is shown as one.
            until = _minutes(end[0] + datetime.timedelta(seconds=59), first)
            stretch = Stretch(_minutes(start[0], first), until, _lent(entry["grants"]))
            consoles.setdefault((printable(entry["user"]), printable(entry["vm"])), []).append(stretch)
    names = {pair: _short(" ".join(pair), screen.width // _NAMES) for pair in consoles}
    room = max(map(text.columns, names.values()))
    scale = _scale(first, whole, screen.width - room - len(GAP))
    if scale is None:
        return _as_table(entries, screen)
    mark = _minutes(now, first) // scale.minutes if now else -1
    lines = _heads(scale, room, mark, screen)
    for pair in sorted(consoles):
        bar = _bar(consoles[pair], scale, screen)
        lines.append((Piece(text.padded(names[pair], room) + GAP), *bar))
    return [*lines, *paragraph(_legend(scale, zone, now if 0 <= mark < scale.columns else None, screen), screen.width)]


def drawn(answer: Mapping[str, Any], asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``timeline`` returns where it has drawn a picture: into which files, and what is in it."""
    files = " and ".join(map(printable, answer["written"])) if isinstance(answer["written"], list) else ""
    start, until = printable(answer["from"]), printable(answer["until"])
    consoles = f"{printable(answer['consoles'])} console{'' if answer['consoles'] == 1 else 's'}"
    return paragraph(f"Written: {files or 'nothing'}, with {consoles}, from {start} until {until}.", screen.width)


def _moment(value: Any) -> tuple[datetime.datetime, str] | None:
    """Read a moment as ``Mon 2026-11-23 18:00 Europe/Berlin``: by the wall clock, and its zone."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return None
    day, time, seconds, zone = match.groups()
    try:
        return datetime.datetime.fromisoformat(f"{day}T{time}:{seconds or '00'}"), zone
    except ValueError:
        return None


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time())


def _minutes(moment: datetime.datetime, first: datetime.date) -> int:
    return (moment - _midnight(first)) // datetime.timedelta(minutes=1)


def _lent(grants: Any) -> bool:
    several = list(grants.values()) if isinstance(grants, Mapping) else []
    return bool(several) and all(isinstance(each, Mapping) and each.get("loan") is True for each in several)


def _short(name: str, width: int) -> str:
    return name if text.columns(name) <= width else f"{text.wrapped(name, width - 1)[0]}~"


def _scale(first: datetime.date, days: int, room: int) -> Scale | None:
    for minutes in _SCALES:
        columns = -(-days * _DAY // minutes)
        if columns <= room:
            return Scale(first, columns, minutes)
    return None


def _heads(scale: Scale, room: int, mark: int, screen: Screen) -> list[Line]:
    """Return the line with the days, and the one with a stroke at each of them and with now."""
    days, strokes = [" "] * scale.columns, ["-"] * scale.columns
    free = 0
    wide = scale.minutes * 8 <= _DAY
    for number in range(scale.columns * scale.minutes // _DAY + 1):
        place = number * _DAY // scale.minutes
        if number * _DAY % scale.minutes or place >= scale.columns:
            continue
        day = scale.first + datetime.timedelta(days=number)
        label = f"{_weekday(day)} {day.day}" if wide else f"{day:%m-%d}"
        strokes[place] = "+" if scale.minutes < _DAY else "-"
        if place >= free and place + len(label) <= scale.columns:
            days[place : place + len(label)] = label
            strokes[place] = "+"
            free = place + len(label) + 1
    if 0 <= mark < scale.columns:
        strokes[mark] = _NOW[not screen.unicode]
    before = Piece(" " * (room + len(GAP)))
    return [(before, Piece("".join(days).rstrip(), HEAD)), (before, Piece("".join(strokes), HEAD))]


def _weekday(day: datetime.date) -> str:
    return ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day.weekday()]


def _bar(stretches: Sequence[Stretch], scale: Scale, screen: Screen) -> list[Piece]:
    """Draw one console; what is open for a part of half a column has that half."""
    half = scale.minutes / 2
    granted: set[int] = set()
    lent: set[int] = set()
    for stretch in stretches:
        begin, end = int(stretch.start // half), math.ceil(stretch.end / half)
        (lent if stretch.lent else granted).update(range(max(begin, 0), min(max(end, begin + 1), 2 * scale.columns)))
    blocks = _BLOCKS if screen.unicode else _PLAIN_BLOCKS
    pieces: list[Piece] = []
    for column in range(scale.columns):
        halves = (2 * column in granted, 2 * column + 1 in granted)
        if any(halves):
            piece = Piece(blocks[halves], GOOD)
        elif {2 * column, 2 * column + 1} & lent:
            piece = Piece(_LOAN[not screen.unicode], DOUBT)
        else:
            piece = Piece(_CLOSED[not screen.unicode])
        if pieces and pieces[-1].style == piece.style:
            piece = Piece(pieces.pop().text + piece.text, piece.style)
        pieces.append(piece)
    return pieces


def _legend(scale: Scale, zone: str, now: datetime.datetime | None, screen: Screen) -> str:
    plain = not screen.unicode
    block = (_BLOCKS, _PLAIN_BLOCKS)[plain][True, True]
    signs = [f"{block} open", f"{_LOAN[plain]} by a loan", f"{_CLOSED[plain]} closed"]
    if now:
        signs.append(f"{_NOW[plain]} now, {_weekday(now.date())} {now:%H:%M}")
    span = _span(scale.minutes)
    return f"{GAP.join(signs)}{GAP}a column is {span}, {printable(zone)}"


def _span(minutes: int) -> str:
    if minutes >= _DAY:
        return counted(minutes // _DAY, "day", "days")
    return f"{minutes} minutes" if minutes < 60 else counted(minutes // 60, "hour", "hours")


def _as_table(entries: Entries, screen: Screen) -> list[Line]:
    rows = [
        [*(printable(entry[key]) for key in ("user", "vm", "from", "until")), behind(entry["grants"])]
        for entry in entries
    ]
    return table(_COLUMNS, rows, screen.width)
