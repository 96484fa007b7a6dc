"""Fleet reports: the answers of minions, judged and turned into rows for people.

Everything here comes from other machines: a malformed answer is reported, and never breaks the report on others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.audit import minion_status
from spicegrants.core.reader import did_you_mean, quote

SILENT, BEHIND, ODD = "not answering", "behind", "strange answer"
SUCCEEDED, FAILED = "succeeded", "failed"
_LONGEST = 400
_STATES = (minion_status.IN_SYNC, minion_status.DRIFTED, minion_status.FAILED, minion_status.NO_POLICY)


class Answer(NamedTuple):
    """The data that a minion returned, and the exit code that went with it."""

    data: Any
    retcode: int = 0


class Declared(NamedTuple):
    """Pillar's declaration for a minion: a fingerprint, ``None`` without ``spice``; or what is wrong with it."""

    policy: str | None
    errors: tuple[str, ...] = ()


Answers = Mapping[str, Answer]
Row = dict[str, Any]


def line(value: Any) -> str:
    """Return anything as one printable line of moderate length."""
    text = " ".join(str(value).split())
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _lines(values: Any) -> str:
    return "; ".join(line(value) for value in values) if isinstance(values, (list, tuple)) else line(values)


def status(expected: Iterable[str], answers: Answers, declared: Mapping[str, Declared]) -> list[Row]:
    """Return a row for each expected minion: its state, and why.

    declared
        Declarations by minion; a minion that is not in it is not compared.
    """
    return [_status(minion, answers.get(minion), declared.get(minion)) for minion in sorted(expected)]


def _status(minion: str, answer: Answer | None, declared: Declared | None) -> Row:
    row = {"minion": minion, "policy": "", "since": "", "state": SILENT, "why": ""}
    wrong = [f"pillar: {error}" for error in declared.errors] if declared else []
    if answer is None:
        return {**row, "why": _lines(wrong)}
    found = answer.data
    if not isinstance(found, dict) or found.get("state") not in _STATES:
        return {**row, "state": ODD, "why": _lines([*wrong, found])}
    state, why = found["state"], [*_listed(found.get("errors")), *_listed(found.get("drift"))]
    policy = found.get("policy")
    if wrong:
        state = minion_status.FAILED
    elif declared and state != minion_status.FAILED and declared.policy != policy:
        state = BEHIND
        why.insert(0, f"pillar declares {declared.policy or 'nothing'}")
    elif declared and state == minion_status.NO_POLICY and declared.policy is None:
        # Nothing is declared, and nothing is enforced.
        state = minion_status.IN_SYNC
    stands = {"policy": line(policy or ""), "since": line(found.get("since") or "")}
    return {**row, **stands, "state": state, "why": _lines([*wrong, *why])}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value else []


def accesses(expected: Iterable[str], answers: Answers, **chosen: str) -> list[Row]:
    """Return a row for each access of the ``chosen`` user or vm, and for each minion that could not name any.

    A minion that has no such user or vm has no row; one that could not say, or did not answer, has one with the reason.
    """
    rows = []
    for minion in sorted(expected):
        answer = answers.get(minion)
        if answer is None:
            rows.append(_access(minion, state=SILENT))
        elif not isinstance(answer.data, list) or not all(isinstance(each, dict) for each in answer.data):
            rows.append(_access(minion, state=f"{ODD}: {line(answer.data)}"))
        else:
            rows += [
                _access(minion, **{key: each[key] for key in _SHOWN if key in each})
                for each in answer.data
                if all(each.get(key) == value for key, value in chosen.items())
            ]
    return rows


def nearest(answers: Answers, **chosen: str) -> str:
    """Say that no minion that answered has an access of the ``chosen`` user or vm, with the nearest name."""
    ((what, name),) = chosen.items()
    rows = [each for answer in answers.values() if isinstance(answer.data, list) for each in answer.data]
    known = {each[what] for each in rows if isinstance(each, dict) and isinstance(each.get(what), str)}
    return f"no access of {what} {quote(name)} on the minions that answered{did_you_mean(name, known)}"


# What is shown of an access, whatever else a minion says of it.
_SHOWN = ("user", "vm", "state", "grants")
_METADATA = {"reason": "", "owner": "owner ", "ticket": "ticket ", "contact": "contact "}


def _access(minion: str, user: Any = "", vm: Any = "", state: Any = "", grants: Any = "") -> Row:
    return {
        "grants": _grants(grants),
        "minion": minion,
        "state": line(state),
        "user": line(user),
        "vm": line(vm),
    }


def _grants(grants: Any) -> str:
    if isinstance(grants, dict):
        return ", ".join(_grant(name, about) for name, about in grants.items())
    return line(grants)


def _grant(name: Any, about: Any) -> str:
    """Spell a grant's name, with its reason, owner, ticket and contact where it has them."""
    metadata = about if isinstance(about, dict) else {}
    words = [f"{prefix}{line(metadata[key])}" for key, prefix in _METADATA.items() if key in metadata]
    return f"{line(name)} ({', '.join(words)})" if words else line(name)


def unknown(rows: Iterable[Row]) -> bool:
    """Tell whether a minion in the rows of :func:`accesses` did not say who may open what."""
    return any(row["state"] == SILENT or row["state"].startswith(ODD) for row in rows)


def runs(expected: Iterable[str], answers: Answers, sentences: Any) -> list[Row]:
    """Return a row for each minion that was to apply the state: ``result``, ``changes`` (in words), and ``why``.

    sentences
        Turns the changes of a report into sentences.
    """
    rows = []
    for minion in sorted(expected):
        answer = answers.get(minion)
        row = {"changes": "", "minion": minion, "result": SILENT, "why": ""}
        if answer is not None:
            row.update(_ran(answer, sentences))
        rows.append(row)
    return rows


def _ran(answer: Answer, sentences: Any) -> Row:
    """Judge the return of ``state.apply``: states by their key, or a list of what kept it from running."""
    found = answer.data
    states = list(found.values()) if isinstance(found, dict) else []
    if not states or not all(isinstance(state, dict) and "result" in state for state in states):
        return {"result": FAILED, "why": _lines(found)}
    changes: list[Any] = []
    for state in states:
        change = state.get("changes")
        try:
            # What other states of the same run change is shown as it is.
            changes += (sentences(change) or [change]) if change else []
        except (AttributeError, TypeError):
            changes.append(change)
    why = [state.get("comment", "") for state in states if state["result"] is not True and state["result"] is not None]
    if why or answer.retcode:
        return {"result": FAILED, "changes": _lines(changes), "why": _lines(why or [f"exit code {answer.retcode}"])}
    return {
        "result": "would change" if any(state["result"] is None for state in states) else SUCCEEDED,
        "changes": _lines(changes),
        "why": "",
    }


def confirmations(expected: Iterable[str], answers: Answers) -> dict[str, Any]:
    """Sort minions by whether they confirmed that they carried something out, in all layers.

    Returns ``confirmed`` (names), ``failed`` (by name: why), ``not confirmed`` (names: they did not answer), and
    ``hosts``: those of the confirmed that hold it as KVM hosts.
    """
    found: dict[str, Any] = {"confirmed": [], "failed": {}, "not confirmed": [], "hosts": []}
    for minion in sorted(expected):
        answer = answers.get(minion)
        if answer is None:
            found["not confirmed"].append(minion)
            continue
        data = answer.data
        sound = isinstance(data, dict) and isinstance(data.get("changes"), dict) and data.get("errors") == []
        if sound and answer.retcode == 0:
            found["confirmed"].append(minion)
            found["hosts"] += [minion] * (data.get("host") is True)
        else:
            found["failed"][minion] = _lines(data.get("errors") or data if isinstance(data, dict) else data)
    return found


def hosts_named(answers: Answers) -> set[str]:
    """Return the KVM hosts that minions name which did something: they have to do it as well."""
    named = (answer.data.get("asks") for answer in answers.values() if isinstance(answer.data, dict))
    return {name for name in named if isinstance(name, str)}


def entries(expected: Iterable[str], answers: Answers, shown: Iterable[str]) -> list[Row]:
    """Return a row for each loan or lock of minions, and one for each minion that did not say.

    shown
        What is shown of one. ``host`` says whether the minion holds it as a KVM host, ``state`` why it did not say.
    """
    keys = [*shown]
    rows = []
    for minion in sorted(expected):
        answer = answers.get(minion)
        empty = {"minion": minion, **dict.fromkeys(keys, ""), "host": False, "state": ""}
        if answer is None:
            rows.append({**empty, "state": SILENT})
        elif not isinstance(answer.data, list) or not all(isinstance(each, dict) for each in answer.data):
            rows.append({**empty, "state": f"{ODD}: {line(answer.data)}"})
        else:
            rows += [
                {**empty, **{key: line(each.get(key, "")) for key in keys}, "host": each.get("host") is True}
                for each in answer.data
            ]
    return rows


_OF_SESSION = ("user", "vm", "from", "until", "why")
_NUMBERS = ("seconds", "sent", "received")


def sessions(expected: Iterable[str], answers: Answers) -> list[Row]:
    """Return a row for each session of minions, in their order, and one for each minion that did not say."""
    rows, silent = [], []
    for minion in sorted(expected):
        answer = answers.get(minion)
        empty = {"minion": minion, **dict.fromkeys((*_OF_SESSION, *_NUMBERS), ""), "open": False, "state": ""}
        if answer is None:
            silent.append({**empty, "state": SILENT})
        elif not isinstance(answer.data, list) or not all(isinstance(each, dict) for each in answer.data):
            silent.append({**empty, "state": f"{ODD}: {line(answer.data)}"})
        else:
            rows += [{**empty, **_session(each)} for each in answer.data]
    return silent + sorted(rows, key=lambda row: (row["from"], row["minion"]))


def _session(entry: dict[str, Any]) -> Row:
    words = {key: line("" if entry.get(key) is None else entry[key]) for key in _OF_SESSION}
    numbers = {key: entry[key] if type(entry.get(key)) is int else "" for key in _NUMBERS}
    if not words["user"] and type(entry.get("uid")) is int:
        words["user"] = f"UID {entry['uid']}"
    return {**words, **numbers, "open": entry.get("open") is True}


def groups(minions: Iterable[str], batch: Any) -> list[list[str]]:
    """Split minions into groups: of so many, of a percentage (``"10%"``), or all at once with ``None``.

    Raises ValueError if ``batch`` is none of these.
    """
    names = sorted(minions)
    if batch is None:
        return [names] if names else []
    text = str(batch)
    number = text[:-1] if text.endswith("%") else text
    if isinstance(batch, bool) or not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise ValueError("batch: a number of minions, or a percentage as 10%")
    size = max(1, len(names) * int(number) // 100) if text.endswith("%") else int(number)
    return [names[start : start + size] for start in range(0, len(names), size)]
