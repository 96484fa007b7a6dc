"""A row of the review: one user and one vm, as plain data that goes from minions to the master and into files. Pure.

* ``user``, ``vm``: their names. Without any the row is a note, which says in ``why`` what is not known of a desk.
  Without a user it is about a grant that means nobody.
* ``desks``: list of the minions.
* ``groups``: list of the groups through which the user has it.
* ``grants``: dict of grants and loans by name: ``when`` in words, what is said of it (``owner``, ``reason``,
  ``ticket``, ``contact``), its ``group``, and ``valid_until``, ISO 8601 in UTC; a loan has ``loan``.
* ``last_used``: when, ISO 8601 in UTC; ``None`` if the record knows of no use.
* ``sessions``, ``refusals``: how many there were.
* ``flags``: list of those of :data:`FLAGS` that hold.
* ``why``: more about the flags, in words.
* ``zone``: time zone of the policy.
* ``windows``: list of dicts with ``kind``, ``from`` and ``until``: what was open, lent or locked in the last days.
* ``used``: list of dicts with ``from`` and ``until``: sessions in these days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spicegrants.audit import week
from spicegrants.audit.fleet import line
from spicegrants.policy.model import ABOUT
from spicegrants.schedule import instants

Row = dict[str, Any]
NO_OWNER, NO_END, ENDED, NEVER_USED = "no owner", "no end", "ended", "never used"
DISABLED, ROOT, IDLE, SILENT = "user disabled", "as good as root", "gives nothing", "desk silent"
# What each means, in the order in which they are shown: what asks for a decision first.
FLAGS: Mapping[str, str] = {
    ROOT: "sudo lets the user do anything as root, so no grant holds them back",
    DISABLED: "the account is locked, has expired or has no shell, and the grant still stands",
    ENDED: "a grant's end is over, and it is still declared",
    IDLE: "a grant is declared, and nobody has anything by it",
    NEVER_USED: "the record knows of no session",
    NO_OWNER: "nobody is named who answers for a grant",
    NO_END: "a grant has no end",
    SILENT: "the desk did not answer, so what holds there is not known",
}
# Days that are drawn.
DAYS = 7
# What a row has as text, in the order of columns.
COLUMNS = (
    *("user", "vm", "desks", "groups", "grants", "when", "owner", "reason", "ticket", "valid until"),
    *("last used", "sessions", "refusals", "flags", "why"),
)
# Entries of a list that are taken from others, and desks: more is no review of one user and vm.
_MOST, _DESKS = 400, 100_000
_ORDER = {flag: place for place, flag in enumerate(FLAGS)}


def row(user: str, vm: str, desks: Iterable[str], **known: Any) -> Row:
    """Return a row with what is known, and nothing for the rest."""
    empty: Row = {
        "user": user,
        "vm": vm,
        "desks": [*desks],
        "groups": [],
        "grants": {},
        "last_used": None,
        "sessions": 0,
        "refusals": 0,
        "flags": [],
        "why": "",
        "zone": "UTC",
        "windows": [],
        "used": [],
    }
    return {**empty, **known}


def note(desk: str, why: str, *flags: str) -> Row:
    """Return what is not known of a desk."""
    return row("", "", [desk], why=why, flags=[*flags])


def is_note(each: Row) -> bool:
    """Tell whether a row is a note."""
    return not each["user"] and not each["vm"]


def key(each: Row) -> tuple[str, str, str]:
    """Return what tells a row from others; of grants that mean nobody the group does."""
    return each["user"], each["vm"], "" if each["user"] else ", ".join(each["groups"])


def order(each: Row) -> tuple[Any, ...]:
    """Return by what rows are sorted: accesses, what means nobody, notes."""
    return is_note(each), not each["user"], key(each), each["desks"]


def sorted_flags(flags: Iterable[str]) -> list[str]:
    """Return flags, each once, in their order; those of a newer version last."""
    return sorted(dict.fromkeys(flags), key=lambda flag: (_ORDER.get(flag, len(_ORDER)), flag))


def sound(value: Any) -> Row | None:
    """Return a row as another machine or an old file has it, with nothing in it but what a row has.

    Texts become one printable line of moderate length; what is malformed is left out. ``None`` for what is no row.
    """
    if not isinstance(value, Mapping):
        return None
    user, vm = value.get("user"), value.get("vm")
    if not isinstance(user, str) or not isinstance(vm, str):
        return None
    return row(
        line(user),
        line(vm),
        _texts(value.get("desks"), _DESKS),
        groups=_texts(value.get("groups")),
        grants=_grants(value.get("grants")),
        last_used=_moment(value.get("last_used")),
        sessions=_number(value.get("sessions")),
        refusals=_number(value.get("refusals")),
        flags=sorted_flags(_texts(value.get("flags"))),
        why=_text(value.get("why")),
        zone=_text(value.get("zone")) or "UTC",
        windows=[each for each in map(_window, _listed(value.get("windows"))) if each],
        used=[each for each in map(_stretch, _listed(value.get("used"))) if each],
    )


def _text(value: Any) -> str:
    return line(value) if isinstance(value, str) else ""


def _listed(value: Any, most: int = _MOST) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _texts(value: Any, most: int = _MOST) -> list[str]:
    return [line(each) for each in _listed(value, most) if isinstance(each, str)]


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 10**9 else 0


def _moment(value: Any) -> str | None:
    seconds = instants.parse_moment(value, "UTC") if isinstance(value, str) else None
    return None if seconds is None else instants.iso(seconds)


def _grants(value: Any) -> dict[str, dict[str, Any]]:
    """Return grants by name, each with what is known of it."""
    found: dict[str, dict[str, Any]] = {}
    for name, about in [*value.items()][:_MOST] if isinstance(value, Mapping) else ():
        if isinstance(name, str) and isinstance(about, Mapping):
            texts = {field: _text(about.get(field)) for field in ("when", *ABOUT, "group", "valid_until")}
            known: dict[str, Any] = {field: text for field, text in texts.items() if text}
            if about.get("loan") is True:
                known["loan"] = True
            found[line(name)] = known
    return found


def _stretch(value: Any) -> dict[str, str] | None:
    """Return a stretch of time; ``None`` for what is none."""
    if not isinstance(value, Mapping):
        return None
    start, end = (_moment(value.get(edge)) for edge in ("from", "until"))
    return {"from": start, "until": end} if start is not None and end is not None and start <= end else None


def _window(value: Any) -> dict[str, str] | None:
    found = _stretch(value)
    kind = value.get("kind") if found else None
    return {"kind": kind, **found} if found and isinstance(kind, str) and kind in week.KINDS else None


def flat(each: Row) -> dict[str, str]:
    """Return a row as texts, by the names of :data:`COLUMNS`."""

    known = {
        **{field: said(each, field) for field in ("when", "owner", "reason", "ticket")},
        **{field: ", ".join(each[field]) for field in ("desks", "groups", "grants", "flags")},
        **{field: str(each[field]) for field in ("user", "vm", "sessions", "refusals", "why")},
        "valid until": said(each, "valid_until"),
        "last used": each["last_used"] or "",
    }
    return {column: known[column] for column in COLUMNS}


def said(each: Row, field: str, spell: Callable[[str], str] = str) -> str:
    """Return what is said of the grants of a row: once where it is the same of all, else by name.

    spell
        Spells what is said of one.
    """
    found = {name: about.get(field) for name, about in each["grants"].items()}
    texts = {name: spell(str(text)) if text else "" for name, text in found.items()}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return "; ".join(f"{name}: {text}" for name, text in texts.items() if text)
