"""Draw docs/overview.svg, the picture of the README, from the description below: ``make picture``."""

import pathlib
from typing import NamedTuple
from xml.sax.saxutils import escape

PICTURE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "overview.svg"


class Box(NamedTuple):
    """What stands in the picture: its place in columns and rows (x, y, width, height), a title, lines, a colour."""

    place: tuple[float, float, float, float]
    title: str
    lines: tuple[str, ...]
    colour: str


class Arrow(NamedTuple):
    """A way from column to column at the height of a row, what it stands for, and whether it ends before a layer."""

    start: float
    end: float
    row: float
    text: str
    stopped: bool


TITLE = "From a desk to a console: sudo, viewer, firewall and routing each stop what is not granted"
SIZE = (7.2, 3.7)
PERSON, LAYER, OPTION, TIME, HOST, FRAME = "#dbe7f5", "#e3f1de", "#f2f7ef", "#fbf0d5", "#ece3f3", "#f7f7f7"
BOXES = (
    Box((0.1, 0.1, 5.8, 3.5), "Workstation: what pillar declares, enforced by state.apply spice", (), FRAME),
    Box((0.2, 0.5, 1, 2.3), "desk", ("a user", "without root"), PERSON),
    Box((1.5, 0.5, 1, 1.4), "sudo", ("only the call", "that is granted"), LAYER),
    Box((2.6, 0.5, 1, 1.4), "viewer", ("only sudo starts it,", "in a sandbox"), LAYER),
    Box((3.7, 0.5, 1, 2.3), "firewall", ("user, address, port,", "viewer's group"), LAYER),
    Box((4.8, 0.5, 1, 2.3), "routing", ("user, address, port;", "off by default"), OPTION),
    Box(
        (1.5, 3.0, 4.3, 0.5),
        "expiry",
        ("firewall and sudo keep the times of grants and loans; open sessions end with them",),
        TIME,
    ),
    Box((6.15, 0.5, 0.95, 2.3), "server", ("a KVM host:", "SPICE consoles", "on TLS ports"), HOST),
)
ARROWS = (
    Arrow(1.2, 6.15, 1.5, "rviewer debianx", False),
    Arrow(1.2, 3.7, 2.4, "any other program, any other console", True),
)
WAY = 0.5  # the row at which the boxes begin that a call passes
OPEN, SHUT = "#2e7d32", "#b3261e"
SCALE, LINE = 125, 17


def text(x, y, words, style=""):
    """A line of text, with its middle at x."""
    return f'<text x="{x:g}" y="{y:g}"{style}>{escape(words)}</text>'


def draw_box(box):
    """A box with its title and its lines at its top."""
    x, y, width, height = (size * SCALE for size in box.place)
    rect = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{box.colour}"/>'
    middle = x + width / 2
    shown = [text(middle, y + 24 + LINE * number, line) for number, line in enumerate(box.lines, 1)]
    return [rect, text(middle, y + 22, box.title, ' class="title"'), *shown]


def draw_arrow(arrow):
    """An arrow with its text above its beginning, and a cross where something stops it."""
    colour = SHUT if arrow.stopped else OPEN
    start, end, y = arrow.start * SCALE, arrow.end * SCALE, arrow.row * SCALE
    line = f'<path d="M{start:g} {y:g}H{end - 8:g}" stroke="{colour}" stroke-width="3" fill="none"/>'
    head = f"M{end - 12:g} {y - 6:g}l10 6l-10 6z"
    if arrow.stopped:
        head = f"M{end - 14:g} {y - 7:g}l14 14m0 -14l-14 14"
    end_of_it = f'<path d="{head}" stroke="{colour}" stroke-width="{3 if arrow.stopped else 0}" fill="{colour}"/>'
    words = text(start + 8, y - 7, arrow.text, f' class="way" fill="{colour}"')
    return [line, end_of_it, words]


def render():
    """Return the picture."""
    width, height = (side * SCALE for side in SIZE)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" font-size="12" '
        'font-family="sans-serif" text-anchor="middle" fill="#222">',
        f"<title>{escape(TITLE)}</title>",
        "<style>rect{stroke:#666}.title{font-size:14px;font-weight:bold}.way{text-anchor:start}</style>",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff" style="stroke:none"/>',
    ]
    parts = [*(part for box in BOXES for part in draw_box(box)), *(part for way in ARROWS for part in draw_arrow(way))]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def as_text():
    """Return the way from desk to server for a terminal, and where it ends for what is not granted."""
    passed = sorted((box for box in BOXES if box.place[1] == WAY), key=lambda box: box.place)
    names = [f"| {box.title} |" for box in passed]
    edge = ["+" + "-" * (len(name) - 2) + "+" for name in names]
    gap = "   "
    ends, at = {}, 0
    for box, name in zip(passed, names):
        x, _, width, _ = box.place
        ends[round(x, 2)], ends[round(x + width, 2)] = at, at + len(name)
        at += len(name) + len(gap)
    lines = [gap.join(edge), gap.join(names), gap.join(edge)]
    for arrow in ARROWS:
        start, end = ends[arrow.start], ends[arrow.end]
        shaft, head = ("-", "X") if arrow.stopped else ("=", ">")
        lines += [" " * start + arrow.text, " " * start + shaft * (end - start - 1) + head]
    return "\n".join(lines)


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8")
