"""Answers by their shape: which of them is laid out how, and what is said where one is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spicegrants.audit.tables import accesses, bars, fleets, hosts, proof, record, reviews, rules, standing, text
from spicegrants.audit.tables.layout import BAD, Asked, Line, Screen, paragraph
from spicegrants.schedule import instants

# What a row of a review has.
REVIEWED = {"user", "vm", "grants", "last_used", "flags"}
# By the keys that tell what a list has; of several that fit the first.
LISTS = (
    ({"user", "vm", "from", "until", "why", "open"}, record.sessions),
    ({"user", "vm", "grants", "last_used", "flags"}, reviews.review),
    (REVIEWED, reviews.review),
    ({"user", "vm", "from", "until", "grants"}, bars.timeline),
    ({"user", "vm", "state", "grants"}, accesses.accesses),
    ({"user", "vm", "until", "left"}, accesses.loans),
    ({"about", "since"}, accesses.locks),
    ({"at", "address", "port", "why"}, accesses.denials),
    ({"domain", "uuid", "running", "password"}, hosts.consoles),
    ({"vm", "user", "desk", "since", "opening"}, hosts.sessions),
)
# And what a mapping is.
MAPPINGS = (
    ({"written", "consoles", "from", "until"}, bars.drawn),
    ({"ok", "differences", "matrix"}, proof.verify),
    ({"answer", "state", "policy", "firewall"}, standing.explain),
    ({"state", "service", "consoles", "sessions"}, hosts.status),
    ({"state", "policy", "drift", "errors"}, standing.status),
    ({"group", "gid", "members", "programs"}, standing.viewer),
)
# What the runner's rows have.
OF_FLEET = (
    ({"minion", "user", "vm", "from", "until", "why", "open", "state"}, record.of_fleet),
    ({"minion", "user", "vm", "until", "left", "reason", "host", "state"}, fleets.loans),
    ({"minion", "about", "since", "reason", "host", "state"}, fleets.locks),
)
# The order of arguments without a name, by function.
_PLACES = {
    "list": ("at",),
    "who": ("vm", "at"),
    "timeline": ("user", "days", "at", "svg", "html"),
    "explain": ("user", "vm", "at"),
    "denials": ("since", "user", "vm"),
    "sessions": ("since", "user", "vm", "open"),
    "review": ("since",),
}
_MODULES = {"spice_grant", "spice_firewall", "spice_host", "spice_sudoers", "spice_viewer"}
_ALL = "spice_grant.list shows all"


def asked(function: Any, arguments: Any) -> Asked:
    """Read what was typed: a function's full name, and its arguments as Salt keeps them."""
    module, _, name = function.partition(".") if isinstance(function, str) else ("", "", "")
    if module not in _MODULES:
        return Asked()
    found: dict[str, Any] = {}
    places = list(_PLACES.get(name, ())) if module == "spice_grant" else []
    for each in arguments if isinstance(arguments, (list, tuple)) else ():
        key, sign, value = each.partition("=") if isinstance(each, str) else ("", "", "")
        if isinstance(each, Mapping):
            found.update({key: value for key, value in each.items() if key != "__kwarg__"})
        elif sign and key.isidentifier():
            found[key] = value
        elif places:
            found[places.pop(0)] = each
    return Asked(name, found, module)


def lay_out(answer: Any, question: Asked, screen: Screen) -> list[Line] | None:
    """Lay out what one minion answered; ``None`` if it is no answer that is known here."""
    if answer == []:
        return paragraph(_empty(question), screen.width)
    if isinstance(answer, list) and answer and all(isinstance(each, Mapping) for each in answer):
        keys = set(answer[0]).intersection(*answer[1:])
        for needed, laid_out in LISTS:
            if needed <= keys:
                return laid_out(answer, question, screen)
        if "foreign" in keys:
            return _rules(answer, question, screen)
    if isinstance(answer, Mapping):
        for needed, described in MAPPINGS:
            if needed <= set(answer):
                return described(answer, question, screen)
    return None


def _rules(answer: list[Any], question: Asked, screen: Screen) -> list[Line] | None:
    """Tell the guard's rules from sudo's by what each of them has."""
    ours = [entry for entry in answer if not entry["foreign"]]
    others = [entry for entry in answer if entry["foreign"]]
    if all("verdict" in entry for entry in ours) and all("chain" in entry for entry in others):
        return rules.firewall(answer, question, screen)
    if all({"user", "viewer"} <= set(entry) for entry in ours) and all("what" in entry for entry in others):
        return rules.sudo(answer, question, screen)
    return None


def _empty(question: Asked) -> str:
    """Say that an answer is empty, and why, as far as that can be known from the question."""
    user, vm, at = (question.word(name) for name in ("user", "vm", "at"))
    about = " and ".join(f"{name} {word}" for name, word in (("user", user), ("vm", vm)) if word)
    since = question.word("since") or ("7d" if question.function == "sessions" else "24h")
    when = f" at {at}" if at else ""
    said = {
        "list": "No grant and no loan of this machine is in force: nobody may open anything.",
        "who": f"No grant of this machine lets anybody open {vm}; {_ALL}.",
        "timeline": f"No grant of this machine opens anything to {user or 'anybody'} in these days{when}; {_ALL}.",
        "consoles": "No domain of this host has a SPICE console.",
        "sessions": _no_sessions(question, about, since),
        "loans": "No loans: spice_grant.lend makes one.",
        "locks": "No locks: spice_grant.lock makes one.",
        "review": "No grant of this machine gives anybody anything, and none is declared.",
        "denials": f"Nothing {f'about {about} ' if about else ''}was refused and logged {_since(since)}.",
        "rules": "No such rules: no grant is in force, as spice_grant.list says.",
    }
    return said.get(question.function, f"Nothing: {_ALL}.")


def _no_sessions(question: Asked, about: str, since: str) -> str:
    """Say so of a KVM host, where nothing can be chosen, or of a desk's record."""
    if question.module == "spice_host":
        return "Nobody has a console of this host open by a ticket."
    return f"No session {f'of {about} ' if about else ''}is in the record {_since(since)}."


def _since(word: str) -> str:
    return f"since {word}" if instants.duration(word) is None else f"within {word}"


def of_fleet(answer: Any, screen: Screen) -> list[Line] | None:
    """Lay out what the runner returned; ``None`` if it is not that."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("retcode"), int):
        return None
    found = answer.get("minions")
    if isinstance(found, list) and set(answer) == {"retcode", "minions"}:
        if not found:
            return paragraph(f"No minion has such an access, loan or lock. On a minion, {_ALL}.", screen.width)
        if not all(isinstance(row, Mapping) and "minion" in row for row in found):
            return None
        if all({"user", "vm", "state", "grants"} <= set(row) for row in found):
            return fleets.accesses(found, screen)
        for needed, laid_out in OF_FLEET:
            if all(needed <= set(row) for row in found):
                return laid_out(found, screen)
        for key in ("state", "result"):
            if all(key in row for row in found):
                return fleets.standing(found, key, screen)
    reviewed = _review(answer, screen)
    if reviewed is not None:
        return reviewed
    kinds = {"confirmed": list, "failed": dict, "not confirmed": list, "hosts": list}
    if {*answer, "hosts"} == {"retcode", *kinds} and all(
        isinstance(answer[key], kinds[key]) for key in {*answer} - {"retcode"}
    ):
        return fleets.confirmations(answer, screen)
    if set(answer) == {"retcode", "errors"} and isinstance(answer["errors"], list):
        return [line for sentence in answer["errors"] for line in paragraph(sentence, screen.width, BAD)]
    return None


def _review(answer: Mapping[str, Any], screen: Screen) -> list[Line] | None:
    """Lay out a review of many minions, or say where it was written; ``None`` if it is neither."""
    if set(answer) == {"retcode", "written", "rows", "silent"}:
        return reviews.written(answer, screen)
    rows, changes = answer.get("review"), answer.get("changes", [])
    sound = all(isinstance(each, list) for each in (rows, changes)) and {*answer} <= {"retcode", "review", "changes"}
    if not sound or not all(isinstance(row, Mapping) and set(row) >= REVIEWED for row in answer["review"]):
        return None
    if not rows:
        return paragraph("No minion has a grant that gives anybody anything, and none is declared.", screen.width)
    return reviews.of_fleet(answer, screen) if all(map(reviews.is_change, changes)) else None


def as_text(answer: Any) -> str | None:
    """Return a pillar that the runner proposes, as it is to be put into a file; ``None`` for anything else."""
    pillar = answer.get("pillar") if isinstance(answer, Mapping) and set(answer) == {"retcode", "pillar"} else None
    return text.harmless(pillar) if isinstance(pillar, str) else None
