"""The page that the demo leaves: one HTML file with all that was done, without scripts, and nothing that it loads.

Whatever goes in is text, and comes out as text: outputs of programs may hold anything.
"""

import base64
import html
from typing import NamedTuple

OPEN, CLOSED, DIFFERENT = "open", "closed", "something else"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 0 .3rem } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem } h3 { margin: 0 }
p { margin: .4rem 0 } .facts { color: #555; font-size: .9rem }
.verdict { font-size: 1.15rem; font-weight: bold; padding: .7rem 1rem; border-radius: 6px; margin: 1.2rem 0 }
.verdict.holds { background: #e3f1de; color: #1b5e20 } p.fails { background: #fbe0dd; color: #8c1d18 }
img { max-width: 100%; height: auto } .wide { width: 100% }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 }
th, td { border: 1px solid #ccc; padding: .45rem .7rem; text-align: left; vertical-align: top }
thead th, tbody th { background: #f7f7f7; font-weight: 600 }
td small { display: block; color: #555 } td.open { background: #e3f1de } td.closed { background: #fafafa }
td.wrong { background: #fbe0dd; font-weight: bold } td.unprotected { background: #fbf0d5 }
.matrix { table-layout: fixed } .matrix tr > :first-child { width: 18% }
footer { margin: 2.5rem 0; color: #555; font-size: .9rem }
ol { list-style: none; padding: 0 } li { border-left: 4px solid #7cb37f; padding: .1rem 0 .1rem 1rem; margin: 1.2rem 0 }
li.fails { border-color: #b3261e; } li h3 { font-size: 1.05rem } .at { float: right; color: #777; font-size: .85rem }
code, pre { font: .85rem/1.45 ui-monospace, monospace; background: #f4f4f4; border-radius: 4px }
code { padding: .1rem .3rem } pre { padding: .7rem 1rem; overflow-x: auto } summary { cursor: pointer; color: #345 }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem } figure { margin: 0; max-width: 29rem }
figure img { border: 1px solid #ccc } figcaption { font-size: .92rem; color: #444 }
@media print { body { margin: 0; max-width: none } details { display: none } li, figure, table { break-inside: avoid } }
"""


class Step(NamedTuple):
    """What was done: what it shows, the command if there was one, how it ended, what was said, when, and if well."""

    title: str
    shows: str
    command: str
    outcome: str
    said: str
    seconds: float
    holds: bool


class Cell(NamedTuple):
    """One user and one console: what is expected, what was found, and by which way what, in pairs."""

    user: str
    vm: str
    expected: str
    found: str
    ways: tuple[tuple[str, str], ...]

    @property
    def holds(self):
        """Whether what was found is what is expected."""
        return self.found == self.expected


class Picture(NamedTuple):
    """A PNG of a screen, and what it shows."""

    caption: str
    png: bytes


class Page(NamedTuple):
    """All that the page holds.

    ``facts`` are pairs; ``drawing`` and ``week`` are SVG; ``declared`` is the text of the pillar.
    """

    holds: bool
    facts: tuple[tuple[str, str], ...]
    drawing: str
    steps: tuple[Step, ...]
    declared: str
    before: tuple[Cell, ...]
    proof: tuple[Cell, ...]
    differences: tuple[str, ...]
    week: str
    pictures: tuple[Picture, ...]


def cells(matrix, granted):
    """Return the cells of a matrix of ``spice_grant.verify``; ``granted`` are the pairs of user and vm to be open."""
    for user, row in sorted(matrix.items()):
        for vm, cell in sorted(row.items()):
            ways = cell.get("viewer group"), cell.get("own program"), cell.get("sudo")
            found = {("open", "denied", "allowed"): OPEN, ("denied", "denied", "refused"): CLOSED}.get(ways, DIFFERENT)
            labels = ("viewer through sudo", "own program", "sudo")
            told = tuple((label, way or "not tried") for label, way in zip(labels, ways))
            yield Cell(user, vm, OPEN if (user, vm) in granted else CLOSED, found, told)


def render(page):
    """Return the page."""
    kept = sum(cell.holds for cell in page.proof)
    found = f"{kept} of {len(page.proof)} pairs of user and console are as pillar declares them."
    verdict = f"{'The proof holds' if page.holds else 'THE PROOF DOES NOT HOLD'}: {found}"
    parts = [
        "<h1>Who may open which console</h1>",
        f'<p class="facts">{" · ".join(f"{_text(name)}: {_text(value)}" for name, value in page.facts)}</p>',
        f'<p class="verdict {"holds" if page.holds else "fails"}">{verdict}</p>',
        _image("image/svg+xml", page.drawing.encode(), "A call on its way through the layers", ' class="wide"'),
        "<h2>Before</h2>",
        "<p>Without protection each user reaches each console, with any program of their own.</p>",
        _matrix(page.before, _unprotected),
        "<h2>What is declared</h2>",
        f"<pre>{_text(page.declared)}</pre>",
        "<h2>After</h2>",
        "<p>Each user has tried each console: with the viewer that sudo starts, and with a program of their own.</p>",
        _matrix(page.proof, _cell),
        *(f'<p class="fails">{_text(difference)}</p>' for difference in page.differences),
        "<h2>What is on the screens</h2>",
        f'<div class="pictures">{"".join(map(_figure, page.pictures))}</div>',
        "<h2>The week</h2>",
        _image("image/svg+xml", page.week.encode(), "Who may open which console on which day", ' class="wide"'),
        "<h2>Step by step</h2>",
        f"<ol>{''.join(_step(number, step) for number, step in enumerate(page.steps, 1))}</ol>",
        "<footer>Made by <code>make demo</code> of saltext-spice-grant. Workstation and server were namespaces with "
        "private file systems; kernel, sudo, Salt, QEMU and the viewer were the real ones.</footer>",
    ]
    return _document("Who may open which console", parts)


def _document(title, parts):
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = [
        '<meta charset="utf-8" />',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}" />',
        '<meta name="viewport" content="width=device-width, initial-scale=1" />',
        f"<title>{_text(title)}</title>",
        f"<style>{_STYLE}</style>",
    ]
    lines = ["<!DOCTYPE html>", '<html lang="en"><head>', *head, "</head><body>", *parts, "</body></html>"]
    return "\n".join(lines) + "\n"


def _text(text):
    """Escape a text; what cannot be printed is replaced."""
    return html.escape("".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text))


def _image(kind, data, words, more=""):
    return f'<img{more} alt="{_text(words)}" src="data:{kind};base64,{base64.b64encode(data).decode()}" />'


def _figure(picture):
    caption = f"<figcaption>{_text(picture.caption)}</figcaption>"
    return f"<figure>{_image('image/png', picture.png, picture.caption)}{caption}</figure>"


def _matrix(found, shown):
    """A table with a row for each user and a column for each console; ``shown`` makes a cell of it."""
    users, vms = (list(dict.fromkeys(getattr(cell, name) for cell in found)) for name in ("user", "vm"))
    at = {(cell.user, cell.vm): cell for cell in found}
    head = "".join(f'<th scope="col">{_text(vm)}</th>' for vm in vms)
    rows = [
        f'<tr><th scope="row">{_text(user)}</th>{"".join(shown(at[user, vm]) for vm in vms)}</tr>' for user in users
    ]
    top = f'<thead><tr><th scope="col">user</th>{head}</tr></thead>'
    return f'<table class="matrix">{top}<tbody>{"".join(rows)}</tbody></table>'


def _unprotected(cell):
    return f'<td class="unprotected">{_text(cell.found)}</td>'


def _cell(cell):
    kind, mark = (cell.found, "✓") if cell.holds else ("wrong", "✗")
    words = _text(f"{mark} expected {cell.expected}, found {cell.found}")
    ways = "".join(f"<small>{_text(f'{label}: {way}')}</small>" for label, way in cell.ways)
    return f'<td class="{kind}">{words}{ways}</td>'


def _step(number, step):
    command = f"<p><code>{_text(step.command)}</code></p>" if step.command else ""
    kind, outcome = ("holds", step.outcome) if step.holds else ("fails", f"✗ Not true: {step.outcome}")
    said = f"<details><summary>what it says</summary><pre>{_text(step.said)}</pre></details>" if step.said else ""
    return (
        f'<li class="{kind}"><span class="at">{step.seconds:.1f} s</span><h3>{number}. {_text(step.title)}</h3>'
        f"<p>{_text(step.shows)}</p>{command}<p><strong>{_text(outcome)}</strong></p>{said}</li>"
    )
