"""The review as a page that an auditor reads, prints and signs: one file of HTML, without scripts, that loads nothing.

Flags are words with a frame, so they need no colour. Whatever goes in comes out as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from spicegrants.audit import review_week, week_drawing
from spicegrants.audit.review import ADDED, UNKNOWN, Change
from spicegrants.audit.review_document import Review
from spicegrants.audit.review_row import DISABLED, ENDED, FLAGS, IDLE, ROOT, SILENT, Row, flat, said
from spicegrants.audit.tables import text
from spicegrants.schedule import instants

# In the second line of each file, to know it again by.
MARK = "<!-- made by spice_grant.review -->"
_TITLE = "Review of who may open which console"
# What asks for a decision has a sign as well.
_GRAVE = (ROOT, DISABLED, ENDED, IDLE, SILENT)
_SIGNERS = ("Reviewed by", "Approved by")
_HEADS = (
    *("user", "vm", "through", "when", "owner", "reason, ticket", "valid until", "last used"),
    *("sessions", "refusals", "desks", "flags", "decision"),
)
_NUMBERS = ("sessions", "refusals")
_STYLE = (
    ":root{color-scheme:light dark;--ink:#1c2733;--pale:#4d5a66;--ground:#fff;--line:#c3c9ce;--head:#eef1f4;"
    "--grave:#8c1d18;--plain:#3b4751}"
    "*{box-sizing:border-box}"
    "body{margin:1.5rem;font:14px/1.4 system-ui,'DejaVu Sans',sans-serif;color:var(--ink);background:var(--ground)}"
    "main{max-width:1600px;margin:auto}h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:1.6rem 0 .5rem}"
    "p{margin:.2rem 0 .8rem;color:var(--pale)}"
    "table{border-collapse:collapse;width:100%;font-size:12.5px}"
    "th,td{border:1px solid var(--line);padding:.25rem .4rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th{background:var(--head);white-space:nowrap;overflow-wrap:normal}td{min-width:7.5em}"
    "td.number{text-align:right;min-width:0}td.name{font-weight:600;min-width:4em;overflow-wrap:break-word}"
    ".figures{display:flex;flex-wrap:wrap;gap:0 2rem;align-items:flex-start}"
    ".summary{width:auto;font-size:14px}.summary td.number{font-weight:600;min-width:4rem}"
    ".flag{display:inline-block;border:1px solid var(--plain);color:var(--plain);border-radius:3px;padding:0 .3rem;"
    "margin:0 .2rem .2rem 0;white-space:nowrap}"
    ".grave{border:2px solid var(--grave);color:var(--grave);font-weight:700}"
    ".why{color:var(--pale)}.choice{white-space:nowrap}"
    ".sign td{height:3.2rem;width:30%}.sign th{width:10%}"
    "svg{display:block;width:100%;height:auto;margin:0 0 .6rem;break-inside:avoid}"
    "@media screen and (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--pale:#aeb8c1;--ground:#14191f;--line:#46515b;"
    "--head:#222a32;--grave:#ff9d94;--plain:#c4ccd3}"
    "text{fill:#e4e8ec}.about,.head,.hour{fill:#aeb8c1}.day{fill:#14191f}.weekend{fill:#1d242b}.today{fill:#322d18}"
    ".line,.part{stroke:#5b6670}.thin{stroke:#2b343c}.before{fill:#e4e8ec;stroke:#14191f}.halo{stroke:#14191f}"
    ".plate{fill:#14191f}.now{stroke:#ff7b70}.moment{fill:#ff9d94}.window{fill:#3d85c6}}"
    "@page{size:landscape;margin:10mm}"
    "@media print{body{margin:0;font-size:11px}table{font-size:9.5px}thead{display:table-header-group}"
    "tr,.sign{break-inside:avoid}h2,h2+p,p+svg{break-after:avoid}.flag,th{print-color-adjust:exact;"
    "-webkit-print-color-adjust:exact}}"
)


def page(review: Review) -> str:
    """Return the page."""
    now, since = instants.words(review.now, review.zone), _local(review.since, review.zone)
    style = week_drawing.STYLE + week_drawing.SESSION_STYLE + _STYLE
    # Nothing but this very style: no text that slips in could bring one of its own.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    parts = [
        "<!DOCTYPE html>",
        MARK,
        '<html lang="en"><head><meta charset="utf-8" />',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}" />',
        '<meta name="viewport" content="width=device-width, initial-scale=1" />',
        f"<title>{_TITLE}: {_words(now)}</title>",
        f"<style>{style}</style></head>",
        f"<body><main><h1>{_TITLE}</h1>",
        f"<p>As it was on {_words(now)}; sessions and refusals are those since {_words(since)}. "
        f"Times without a zone are those of {_words(review.zone)}.</p>",
        *_summary(review),
        *_notes(review),
        *_changes(review),
        *_drawing(review),
        *_rows(review),
        *_meanings(),
        *_signatures(),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _words(value: object) -> str:
    """Return anything as text of HTML, with all that is not printed as itself spelled."""
    return html.escape(text.escaped(str(value)))


def _summary(review: Review) -> list[str]:
    """Return the numbers on top."""
    accesses = review.accesses
    silent = len({desk for each in review.notes if SILENT in each["flags"] for desk in each["desks"]})
    numbers = [
        (review.desks, "minions were asked"),
        (silent, "of them did not say, or not all"),
        (len({each["user"] for each in accesses} - {""}), "users"),
        (len({each["vm"] for each in accesses}), "consoles"),
        (len(accesses), "rows to decide on"),
        (sum(each["sessions"] for each in accesses), "sessions"),
        (sum(each["refusals"] for each in accesses), "refusals"),
    ]
    counted = {flag: sum(flag in each["flags"] for each in accesses) for flag in FLAGS if flag != SILENT}
    flags = [(number, _flag(flag)) for flag, number in counted.items() if number]
    return ['<h2>In figures</h2><div class="figures">', *_figures(numbers), *_figures(flags), "</div>"]


def _figures(numbers: Sequence[tuple[int, str]]) -> list[str]:
    """Return numbers, each with what it counts, in HTML."""
    lines = [f'<tr><td class="number">{number:,}</td><td>{words}</td></tr>' for number, words in numbers]
    return ['<table class="summary"><tbody>', *lines, "</tbody></table>"] if lines else []


def _flag(flag: str) -> str:
    grave = flag in _GRAVE
    sign = "\N{WARNING SIGN}\N{VARIATION SELECTOR-15} " if grave else ""
    return f'<span class="flag{" grave" if grave else ""}">{sign}{_words(flag)}</span>'


def _table(heads: Sequence[str], rows: Iterable[str]) -> list[str]:
    titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return [f"<table><thead><tr>{titles}</tr></thead><tbody>", *rows, "</tbody></table>"]


def _cell(value: object, kind: str = "") -> str:
    return f'<td class="{kind}">{_words(value)}</td>' if kind else f"<td>{_words(value)}</td>"


def _notes(review: Review) -> list[str]:
    """Return what is not known."""
    if not review.notes:
        return []
    rows = []
    for each in review.notes:
        desk = _cell(", ".join(each["desks"]) or "the earlier review", "name")
        rows.append(f"<tr>{desk}<td>{''.join(map(_flag, each['flags']))}</td>{_cell(each['why'])}</tr>")
    return ["<h2>What is not known</h2>", *_table(("desk", "flag", "why"), rows)]


def _changes(review: Review) -> list[str]:
    """Return what is different from an earlier review."""
    if review.earlier is None:
        return []
    head = f"<h2>What is different since {_words(_local(review.earlier, review.zone))}</h2>"
    if not review.changes:
        return [head, "<p>Nothing but use.</p>"]
    return [head, *_table(("what", "user", "vm", "was", "is"), map(_changed, review.changes))]


def _changed(change: Change) -> str:
    grants = ", ".join(change.row["grants"])
    fields = change.fields or {"grants": ("", grants) if change.what == ADDED else (grants, "")}
    was, now = (
        "<br />".join(f"{_words(name)}: {_words(each[side] or 'none')}" for name, each in fields.items())
        for side in (0, 1)
    )
    if change.what == UNKNOWN:
        now = "a desk did not say"
    cells = "".join(_cell(text, "name") for text in (change.what, _whom(change.row), change.row["vm"]))
    return f"<tr>{cells}<td>{was}</td><td>{now}</td></tr>"


def _whom(each: Row) -> str:
    return each["user"] or f"nobody of {', '.join(each['groups'])}"


def _drawing(review: Review) -> list[str]:
    """Return the last days, unless nobody has anything."""
    drawn = review_week.drawn(review, "desks")
    if not drawn.rows:
        return []
    words = (
        "Who might open what, by what is declared now, and the sessions that there were; "
        "where a session lies outside of a bar, something else was declared then."
    )
    return ["<h2>The last seven days</h2>", f"<p>{words}</p>", *week_drawing.with_sessions(drawn)]


def _rows(review: Review) -> list[str]:
    head = "<h2>Who may open what</h2>"
    if not review.accesses:
        return [head, "<p>Nobody may open anything.</p>"]
    return [head, *_table(_HEADS, (_row(review, each) for each in review.accesses))]


def _row(review: Review, each: Row) -> str:
    def brief(moment: str) -> str:
        spelled = _local(moment, each["zone"])
        return spelled.removesuffix(f" {review.zone}")

    known = flat(each)
    groups = f"group {known['groups']}: " if known["groups"] else ""
    reason = ", ".join(filter(None, (known["reason"], known["ticket"])))
    cells = {
        **known,
        "user": _whom(each),
        "through": f"{groups}{known['grants']}",
        "reason, ticket": reason,
        "valid until": said(each, "valid_until", brief),
        "last used": brief(known["last used"]),
        "desks": _desks(review, each),
    }
    shown = [_cell(cells[name], _kind(name)) for name in _HEADS[:-2]]
    flags = "".join(map(_flag, each["flags"]))
    why = f'<div class="why">{_words(each["why"])}</div>' if each["why"] else ""
    choice = "\N{BALLOT BOX} keep<br />\N{BALLOT BOX} revoke"
    return f'<tr>{"".join(shown)}<td>{flags}{why}</td><td class="choice">{choice}</td></tr>'


def _kind(name: str) -> str:
    return "number" if name in _NUMBERS else "name" if name in ("user", "vm") else ""


def _local(moment: str, zone: str) -> str:
    """Return a moment in a zone; a text that is none, or several, as it is."""
    seconds = instants.parse_moment(moment, "UTC")
    return moment if seconds is None else instants.words(seconds, zone)


def _desks(review: Review, each: Row) -> str:
    everywhere = len(each["desks"]) == review.desks > 1
    return f"all {review.desks:,}" if everywhere else ", ".join(each["desks"])


def _meanings() -> list[str]:
    rows = [f"<tr><td>{_flag(flag)}</td>{_cell(meaning)}</tr>" for flag, meaning in FLAGS.items()]
    return ["<h2>What the flags mean</h2>", *_table(("flag", "what it means"), rows)]


def _signatures() -> list[str]:
    rows = [f'<tr><th scope="row">{who}</th><td></td><td></td><td></td></tr>' for who in _SIGNERS]
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "name", "date", "signature"))
    return [f'<h2>Signed</h2><table class="sign"><thead><tr>{heads}</tr></thead><tbody>', *rows, "</tbody></table>"]
