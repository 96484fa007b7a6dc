"""The drawing of a week: an SVG, or a page of HTML around it; one file, without scripts, that loads nothing.

Readable in black and white: kinds of bars differ by their filling, not by colour alone. Whatever goes in comes out as
text.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from spicegrants.audit.tables import text
from spicegrants.audit.week import LOAN, LOCK, SESSION, WINDOW, Bar, Day, Mark, Row, Week
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import DAY

# In the second line of each file, to know it again by.
MARK = "<!-- drawn by spice_grant.timeline -->"
TITLE = "Who may open which console"
_SPACE = 'xmlns="http://www.w3.org/2000/svg"'
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: tuple[str, ...] = ("January", "February", "March", "April", "May", "June", "July", "August", "September")
_MONTHS += ("October", "November", "December")
# All days together; a row; where in a row bars lie, how high they are, and how much less loans; marks; narrow bars.
_DAYS, _ROW, _BAR, _TALL, _INSET, _STRIP, _NARROWEST = 980.0, 34, 5, 19, 3, 29, 1.5
# Where in a row sessions lie, at the feet of its bars, and how high they are.
_FEET, _LOW = 21, 5
# What is above the rows, and below them for the word at the moment of the drawing.
_HEAD, _FOOT = 78, 20
# Rows under one head, so that a page holds them.
_BLOCK = 18
# A name may have so many columns; how wide one is, in the names' size and in the bars'.
_LONGEST, _LETTER, _SMALL = 26, 7.4, 6.3
_MARGIN, _TOP = 24, 104
# Columns that are narrower have no hours.
_WIDE, _MIDDLE = 90, 44
STYLE = (
    "text{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;fill:#1c2733}"
    ".title{font-size:21px;font-weight:600}.about,.head{fill:#4d5a66}.date{font-size:15px;font-weight:600}"
    ".hour{font-size:10.5px;fill:#6b7680}.middle{text-anchor:middle}.user{font-weight:600}"
    ".day{fill:#fff}.weekend{fill:#f0f2f4}.today{fill:#fdf4d7}"
    ".line{stroke:#c3c9ce;stroke-width:1;fill:none}.thin{stroke:#e6e9eb;stroke-width:1;fill:none}"
    ".part{stroke:#8a949c;stroke-width:1;fill:none}"
    ".window{fill:#2b6ca3;stroke:#17415f}.loan{fill:url(#loan);stroke:#8a4300}.lock{fill:url(#lock);stroke:#222}"
    ".inwindow,.inlock,.before{font-size:11.5px;font-weight:600;text-anchor:middle;pointer-events:none}"
    ".inwindow{fill:#fff}.before{text-anchor:end;paint-order:stroke;stroke:#fff;stroke-width:3px}.plate{fill:#fff;pointer-events:none}"
    ".closed,.opens{fill:none;stroke:#1c2733;stroke-width:1.6}.closed .reach{stroke-dasharray:3 3}"
    ".reach{stroke-width:1.2}.area{stroke:none;fill:#fff;fill-opacity:0}"
    ".halo{stroke:#fff;stroke-width:4.5}.now{stroke:#b3261e;stroke-width:2}"
    ".moment{fill:#b3261e;font-size:12px;font-weight:600;text-anchor:middle}"
    "@media print{rect,svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}}"
)
# Of pages with sessions.
SESSION_STYLE = ".session{fill:#fff;stroke:#111;stroke-width:1.2}"
_PATTERNS = (
    '<defs><pattern id="loan" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" fill="#fff"/><rect width="3.4" height="7" fill="#d97706"/></pattern>'
    '<pattern id="lock" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><path d="M0 0H6M0 0V6" stroke="#222" stroke-width="2.2"/></pattern></defs>'
)
_PAGE = (
    "body{margin:1.5rem;font:15px/1.45 system-ui,'DejaVu Sans',sans-serif;color:#1c2733;background:#fff}"
    "h1{font-size:1.5rem;margin:0}p{margin:.2rem 0 .8rem;color:#4d5a66}"
    "main{max-width:1500px}svg{display:block;width:100%;height:auto;margin:0 0 .6rem;break-inside:avoid}"
    "@page{size:landscape;margin:10mm}@media print{body{margin:0}p{margin:.1rem 0 .4rem}}"
)


class _Sizes(NamedTuple):
    """Where things are: the width of the users' and of the vms' names, and of a day."""

    users: float
    vms: float
    day: float

    @property
    def left(self) -> float:
        return self.users + self.vms

    @property
    def width(self) -> float:
        # A day's number, and what is said at the edges, may stand out a little.
        return self.left + _DAYS + 2


def svg(week: Week) -> str:
    """Return an SVG."""
    sizes, blocks = _sizes(week), _blocks(week)
    places, below = [], float(_TOP)
    for block in blocks:
        places.append(below)
        below += _height(block)
    width, height = sizes.width + 2 * _MARGIN, below + _MARGIN
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        MARK,
        f'<svg {_SPACE} width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
        f"<title>{_text(f'{TITLE}: {_about(week)}')}</title>",
        f"<style>{STYLE}</style>{_PATTERNS}",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
        f'<g transform="translate({_MARGIN} {_MARGIN})">',
        _said(0, 20, TITLE, "title"),
        _said(0, 43, _about(week), "about"),
        *_legend(64),
        "</g>",
    ]
    for block, place in zip(blocks, places):
        parts += [f'<g transform="translate({_MARGIN} {place:g})">', *_block(week, sizes, block), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawings(week: Week, signs: Sequence[tuple[str, str]] | None = None) -> list[str]:
    """Return lines of several SVGs for a page that has our style: a legend, and as many rows each as a sheet holds.

    signs
        What the legend has, each a drawing and its words. Defaults to all that may be in a timeline.
    """
    sizes = _sizes(week)
    lines = [f'<svg {_SPACE} viewBox="0 0 {sizes.width:g} 24">{_PATTERNS}{"".join(_legend(14, signs))}</svg>']
    for block in _blocks(week):
        view = f'viewBox="0 0 {sizes.width:g} {_height(block):g}"'
        lines += [f"<svg {_SPACE} {view}>", *_block(week, sizes, block), "</svg>"]
    return lines


def with_sessions(week: Week) -> list[str]:
    """Return the same of a week that has been, with the sessions in it."""
    kinds = ((WINDOW, "open by a grant"), (LOAN, "lent"), (LOCK, "locked"))
    signs = [(_sample(kind, 14), words) for kind, words in kinds]
    session = f'<rect class="{SESSION}" x="1" y="11.5" width="34" height="{_LOW}"/>'
    return drawings(week, [*signs, (session, "session"), (_now_sign(14), "now")])


def page(week: Week) -> str:
    """Return a page of HTML, which prints as one goes on from sheet to sheet."""
    parts = [
        "<!DOCTYPE html>",
        MARK,
        '<html lang="en"><head><meta charset="utf-8" />',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />""",
        '<meta name="viewport" content="width=device-width, initial-scale=1" />',
        f"<title>{_text(f'{TITLE}: {_about(week)}')}</title>",
        f"<style>{STYLE}{_PAGE}</style></head>",
        f"<body><main><h1>{TITLE}</h1>",
        f"<p>{_text(_about(week))}</p>",
        *drawings(week),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _about(week: Week) -> str:
    first, last = (_dated(day) for day in (week.days[0], week.days[-1]))
    days = first if first == last else f"{first} to {last}"
    return f"{week.machine}: {days}, as enforced on {instants.words(week.now, week.zone)}"


def _dated(day: Day) -> str:
    return f"{_WEEKDAYS[_weekday(day)]} {day.date}"


def _weekday(day: Day) -> int:
    # 1970-01-01 was a Thursday.
    return (instants.seconds(day.date) // DAY + 3) % 7


def _sizes(week: Week) -> _Sizes:
    users, vms = (
        14 + _LETTER * max(map(text.columns, (title, *(_name(getattr(row, title)) for row in week.rows))))
        for title in ("user", "vm")
    )
    return _Sizes(round(users), round(vms), _DAYS / len(week.days))


def _blocks(week: Week) -> list[Sequence[Row]]:
    return [week.rows[first : first + _BLOCK] for first in range(0, len(week.rows) or 1, _BLOCK)]


def _height(block: Sequence[Row]) -> float:
    return _HEAD + _ROW * (len(block) or 1) + _FOOT


def _legend(y: float, signs: Sequence[tuple[str, str]] | None = None) -> list[str]:
    """Draw what each kind of bar and mark means, from left to right."""
    exception = "exception of a schedule"
    usual = (
        (_sample(WINDOW, y), "open by a grant"),
        (_sample(LOAN, y), "lent"),
        (_sample(LOCK, y), "locked"),
        (_marked(False, 0, 36, y), f"{exception}: closed"),
        (_marked(True, 0, 36, y), f"{exception}: also open"),
        (_now_sign(y), "now"),
    )
    parts, x = [], 0.0
    for sign, words in usual if signs is None else signs:
        parts.append(f'<g transform="translate({x:g} 0)">{sign}{_said(44, y + 4.5, words)}</g>')
        x += 44 + len(words) * 6.8 + 24
    return parts


def _now_sign(y: float) -> str:
    return f'<path class="now" d="M30 {y - 9:g}v18"/>'


def _sample(kind: str, y: float) -> str:
    inset = _INSET if kind == LOAN else 0
    return f'<rect class="{kind}" x="1" y="{y - 9.5 + inset:g}" width="34" height="{_TALL - 2 * inset}"/>'


def _block(week: Week, sizes: _Sizes, rows: Sequence[Row]) -> Iterator[str]:
    """Draw a head, and rows below it."""
    height = _ROW * (len(rows) or 1)
    yield from _heads(week, sizes, height)
    user = None
    for number, row in enumerate(rows):
        top = _HEAD + number * _ROW
        line = "part" if number and row.user != user else "thin" if number else "part"
        left = 0.0 if row.user != user else sizes.users
        yield f'<path class="{line}" d="M{left:g} {top}H{sizes.left + _DAYS:g}"/>'
        if row.user != user:
            yield _named(0, top, row.user, "user")
        yield _named(sizes.users, top, row.vm, "vm")
        user = row.user
        yield from (_draw_mark(week, sizes, mark, top) for mark in row.marks)
        yield from (_draw_bar(week, sizes, bar, top) for bar in (*row.bars, *row.sessions))
    if not rows:
        yield _said(sizes.left + _DAYS / 2, _HEAD + 22, "No grant of this machine opens anything.", "middle")
    yield f'<path class="part" d="M0 {_HEAD + height}H{sizes.left + _DAYS:g}"/>'
    yield from _now(week, sizes, height)
    for number, row in enumerate(rows):
        yield from _label(week, sizes, row, _HEAD + number * _ROW)


def _heads(week: Week, sizes: _Sizes, height: float) -> Iterator[str]:
    """Draw the days: their names above, and their columns behind all rows."""
    yield _said(0, _HEAD - 28, "user", "head")
    yield _said(sizes.users, _HEAD - 28, "vm", "head")
    yield from _months(week, sizes)
    for number, day in enumerate(week.days):
        left, middle = sizes.left + number * sizes.day, sizes.left + (number + 0.5) * sizes.day
        weekday = _weekday(day)
        kind = "today" if day.start <= week.now < day.end else "weekend" if weekday > 4 else "day"
        yield f'<rect class="{kind}" x="{left:g}" y="20" width="{sizes.day:g}" height="{_HEAD - 20 + height:g}"/>'
        hours = (day.end - day.start) / 3600
        odd = "" if hours == 24 else f" ({hours:g} h)"
        wide = sizes.day >= _WIDE
        yield _said(middle, 36, f"{_WEEKDAYS[weekday]}{odd if wide else ''}", "head middle")
        yield _said(middle, 54, str(int(day.date[8:])), "date middle")
        shown = day.hours if wide else day.hours[1:2] if sizes.day >= _MIDDLE else ()
        for hour, moment in zip((6, 12, 18) if wide else (12,), shown):
            x = _x(week, sizes, moment)
            yield f'<path class="thin" d="M{x:g} {_HEAD}v{height:g}"/>'
            yield _said(x, _HEAD - 7, str(hour), "hour middle")
        if odd and sizes.day < _MIDDLE:
            yield _said(middle, _HEAD - 7, f"{hours:g}h", "hour middle")
        yield f'<path class="line" d="M{left:g} 20V{_HEAD + height:g}"/>'
    right = sizes.left + _DAYS
    yield f'<path class="line" d="M{right:g} 20V{_HEAD + height:g}"/>'


def _months(week: Week, sizes: _Sizes) -> Iterator[str]:
    """Name the months above their first days, shortly where a month has little room."""
    firsts = [number for number, day in enumerate(week.days) if not number or day.date.endswith("-01")]
    for first, last in zip(firsts, [*firsts[1:], len(week.days)]):
        year, month = week.days[first].date[:7].split("-")
        name = _MONTHS[int(month) - 1]
        room = (last - first) * sizes.day
        words = next((each for each in (f"{name} {year}", name, name[:3]) if len(each) * 7.6 < room), "")
        yield _said(sizes.left + first * sizes.day + 2, 13, words, "head")


def _x(week: Week, sizes: _Sizes, moment: int) -> float:
    """Return where a moment is: each day is as wide as any other, however many hours it has."""
    for number, day in enumerate(week.days):
        if moment < day.end:
            part = max(0.0, (moment - day.start) / (day.end - day.start))
            return round(sizes.left + (number + part) * sizes.day, 2)
    return sizes.left + _DAYS


def _named(x: float, top: float, name: str, kind: str) -> str:
    """Write a name beside a row; a long one is cut, and stands in a title."""
    shown = _name(name)
    title = f"<title>{_text(name)}</title>" if shown != text.printable(name) else ""
    return f'<text class="{kind}" x="{x:g}" y="{top + _BAR + 14:g}">{title}{_text(shown)}</text>'


def _name(name: str) -> str:
    shown = text.printable(name)
    return shown if text.columns(shown) <= _LONGEST else f"{text.wrapped(shown, _LONGEST - 1)[0]}…"


def _draw_bar(week: Week, sizes: _Sizes, bar: Bar, top: float) -> str:
    start, end = _ends(week, sizes, bar)
    inset = _INSET if bar.kind == LOAN else 0
    place, height = (_FEET, _LOW) if bar.kind == SESSION else (_BAR + inset, _TALL - 2 * inset)
    return (
        f'<rect class="{bar.kind}" x="{start:g}" y="{top + place:g}" width="{end - start:g}" '
        f'height="{height}">{_title(bar.words)}</rect>'
    )


def _ends(week: Week, sizes: _Sizes, bar: Bar) -> tuple[float, float]:
    """Return where a bar begins and ends; what lasts for some minutes only is seen all the same."""
    start, end = _x(week, sizes, bar.start), _x(week, sizes, bar.end)
    return start, round(max(end, start + _NARROWEST), 2)


def _label(week: Week, sizes: _Sizes, row: Row, top: float) -> Iterator[str]:
    """Say in each bar of a row what it is, or before it where there is room on its day."""
    places = [_ends(week, sizes, bar) for bar in row.bars]
    y = top + _BAR + 13.5
    for bar, (start, end) in zip(row.bars, places):
        words = "locked" if bar.kind == LOCK else _hours(week, bar)
        room, middle = text.columns(words) * _SMALL + 8, (start + end) / 2
        if bar.kind != LOAN and room <= end - start:
            if bar.kind == LOCK:
                place = f'x="{middle - room / 2:g}" y="{top + _BAR + 2}" width="{room:g}" height="{_TALL - 4}"'
                yield f'<rect class="plate" {place}/>'
            yield _said(middle, y, words, f"in{bar.kind}")
        elif bar.kind != LOCK and sizes.day >= _WIDE and room <= (start - sizes.left) % sizes.day:
            free = not any(low < start and start - room < high for low, high in places)
            yield from [_said(start - 4, y, words, "before")] * free


def _hours(week: Week, bar: Bar) -> str:
    """Say when a window is, as briefly as it can stand in it."""
    start, end = (instants.local(moment, week.zone) for moment in (bar.start, bar.end))
    if bar.end - bar.start <= DAY:
        return f"{_clock(start)}\N{EN DASH}{'24' if (end.hour, end.minute) == (0, 0) else _clock(end)}"
    words = [f"from {_WEEKDAYS[start.weekday()]} {_clock(start)}"] if bar.start > week.start else []
    words += [f"until {_WEEKDAYS[end.weekday()]} {_clock(end)}"] if bar.end < week.end else []
    return " ".join(words) or "open on all these days"


def _clock(local) -> str:
    return f"{local.hour}:{local.minute:02}" if local.minute else str(local.hour)


def _draw_mark(week: Week, sizes: _Sizes, mark: Mark, top: float) -> str:
    start, end = _x(week, sizes, mark.start), _x(week, sizes, mark.end)
    return _marked(mark.opens, start + 2, end - 2, top + _STRIP, _title(mark.words))


def _marked(opens: bool, start: float, end: float, y: float, title: str = "") -> str:
    """Draw an exception: a line with a cross where it closes, with a plus where it opens."""
    middle = (start + end) / 2
    sign = f"M{middle - 4:g} {y:g}h8m-4 -4v8" if opens else f"M{middle - 3.5:g} {y - 3.5:g}l7 7m0 -7l-7 7"
    return (
        f'<g class="{"opens" if opens else "closed"}">{title}'
        f'<rect class="area" x="{start:g}" y="{y - 5:g}" width="{max(end - start, 0):g}" height="10"/>'
        f'<path class="reach" d="M{start:g} {y:g}H{middle - 7:g}M{middle + 7:g} {y:g}H{end:g}"/><path d="{sign}"/></g>'
    )


def _now(week: Week, sizes: _Sizes, height: float) -> Iterator[str]:
    if not week.start <= week.now < week.end:
        return
    x, top, below = _x(week, sizes, week.now), _HEAD - 4, _HEAD + height + 4
    words = f"now, {instants.local(week.now, week.zone):%H:%M}"
    half = len(words) * 3.6
    middle = min(max(x, sizes.left + half), sizes.left + _DAYS - half)
    line = f'd="M{x:g} {top:g}V{below:g}"'
    yield f'<path class="halo" {line}/><path class="now" {line}/>'
    yield _said(middle, below + 12, words, "moment")


def _said(x: float, y: float, words: str, kind: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'<text{shown} x="{x:g}" y="{y:g}">{_text(words)}</text>'


def _title(words: Iterable[str]) -> str:
    return f"<title>{_text(chr(10).join(map(text.printable, words)), lines=True)}</title>"


def _text(words: str, *, lines: bool = False) -> str:
    """Escape a text for XML and HTML; what is not printed as itself is spelled, but for breaks between lines."""
    return html.escape("\n".join(map(text.escaped, words.split("\n"))) if lines else text.escaped(words))
