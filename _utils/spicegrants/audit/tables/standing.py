"""How one machine stands: status, what the viewer layer holds, and why somebody may open a console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spicegrants.audit import minion_status
from spicegrants.audit.tables.layout import (
    BAD,
    DOUBT,
    GOOD,
    PAIR,
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

Answer = Mapping[str, Any]

_STATES = {
    minion_status.IN_SYNC: GOOD,
    minion_status.DRIFTED: DOUBT,
    minion_status.FAILED: BAD,
    minion_status.NO_POLICY: DOUBT,
}


def status(answer: Answer, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``status`` returns: the state, what is wrong, and the rest."""
    state = printable(answer["state"])
    last = answer.get("last_run")
    rows: list[Row] = [("state", Cell(state, _STATES.get(state, DOUBT)))]
    for key, name, style in (("errors", "error", BAD), ("drift", "drift", DOUBT), ("locks", "locked", BAD)):
        rows += [(name, Cell(sentence, style)) for sentence in listed(answer.get(key))]
    rows.append(("policy", printable(answer.get("policy"))))
    rows.append(("since", "not known" if answer.get("since") is None else printable(answer["since"])))
    rows.append(("last run", printable(last.get("at")) if isinstance(last, Mapping) else "not known since the boot"))
    rows += [("note", printable(sentence)) for sentence in listed(answer.get("notes"))]
    known = ("state", "errors", "drift", "locks", "policy", "since", "last_run", "notes")
    rows += [(printable(key), printable(answer[key])) for key in answer if key not in known]
    return table(PAIR, rows, screen.width)


def listed(value: Any) -> list[Any]:
    """Return a list as it is, and of anything else one with it alone; none of nothing."""
    return list(value) if isinstance(value, (list, tuple)) else [value] if value else []


# What nobody should have, or be, in the answer of spice_viewer.status.
_ODD = ("members", "primary", "twins", "administrators", "processes", "setgid", "copies", "incomplete")
_SEEN = ("group", "gid", "programs", "password", "others", "unsearched", *_ODD)


def viewer(answer: Answer, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``spice_viewer.status`` returns: what else has the group, then the viewers."""
    rows: list[Row] = []
    if answer["gid"] is None:
        rows.append(("group", Cell(f"{printable(answer['group'])}: there is no such group", BAD)))
    for key in _ODD:
        rows += [(key, Cell(each, BAD)) for each in _entries(answer.get(key))]
    if answer.get("password"):
        rows.append(("password", Cell("the group has one", BAD)))
    number = len(rows)
    said = f"{number} to look at" if number else "only sudo lends the group"
    if answer["gid"] is not None:
        rows.append(("group", f"{printable(answer['group'])}, GID {printable(answer['gid'])}"))
    rows += [("viewer", each) for each in _entries(answer["programs"])]
    rows += [("other", each) for each in _entries(answer.get("others"))]
    rows += [("unsearched", each) for each in _entries(answer.get("unsearched"))]
    rows += [(printable(key), printable(answer[key])) for key in answer if key not in _SEEN]
    return [*paragraph(said, screen.width, BAD if number else GOOD), *table(PAIR, rows, screen.width)]


def _entries(value: Any) -> list[str]:
    """Spell each entry of a list or mapping: its path or name, and what is said of it."""
    if isinstance(value, Mapping):
        return [f"{printable(key)}: {_words(each)}" for key, each in value.items()]
    return [_words(each) for each in listed(value)]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(key)} {printable(each)}" for key, each in value.items())
    return printable(value)


_ANSWERS = {"may open": GOOD, "may not open": PLAIN, "blocked": BAD, "in doubt": DOUBT}
# What a layer's own answer means.
_LAYERS = {"in doubt": DOUBT, "blocked": BAD, "granted": GOOD, "open": GOOD, "allowed": GOOD, "only through sudo": GOOD}


def _why(answer: Answer) -> Any:
    """Return what decides: the policy, or the KVM host where that alone refuses."""
    policy, host = (found if isinstance(found := answer.get(key), Mapping) else {} for key in ("policy", "host"))
    refused = host.get("answer") == "refused" and policy.get("answer") == "granted"
    return host.get("why") if refused else policy.get("why")


_EXPLAINED = (Column("layer"), Column("answer"), Column("why", prose=True))


def explain(answer: Answer, asked: Asked, screen: Screen) -> list[Line]:
    """Lay out what ``explain`` returns: a sentence, then the layers."""
    verdict = printable(answer["answer"])
    who, vm = asked.word("user") or "the user", asked.word("vm") or "the console"
    said = {
        "may open": f"{who} may open {vm}",
        "may not open": f"{who} may not open {vm}",
        "blocked": f"{who} may open {vm}, but a chain that is not ours blocks it",
        "in doubt": f"whether {who} may open {vm} is in doubt: the layers disagree, or cannot tell",
    }.get(verdict, f"{who}, {vm}: {verdict}")
    why = _why(answer)
    sentence = f"{said}: {printable(why or answer.get('state'))}."
    rows: list[Row] = []
    for layer, found in answer.items():
        if isinstance(found, Mapping):
            word = printable(found.get("answer", ""))
            rows.append((printable(layer), Cell(word, _LAYERS.get(word, PLAIN)), printable(found.get("why", ""))))
            more = (key for key in found if key not in ("answer", "why"))
            rows += [(f"  {printable(key)}", "", printable(found[key])) for key in more]
    lines = paragraph(sentence, screen.width, _ANSWERS.get(verdict, DOUBT))
    return [*lines, *table(_EXPLAINED, rows, screen.width)]
