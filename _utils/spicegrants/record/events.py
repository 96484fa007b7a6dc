"""Events of the record: how one is spelled as a line of the file and as an entry of the journal. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from spicegrants.schedule import instants

VERSION = 1
# Kinds of events, each with the id by which journalctl(1) finds it: MESSAGE_ID of systemd.journal-fields(7).
LAUNCH, OPENED, ENDED, REFUSED = "launch", "opened", "ended", "refused"
LOAN, LOCK, POLICY, REPAIR = "loan", "lock", "policy", "repair"
KINDS: Mapping[str, str] = {
    LAUNCH: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d01",
    OPENED: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d02",
    ENDED: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d03",
    REFUSED: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d04",
    LOAN: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d05",
    LOCK: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d06",
    POLICY: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d07",
    REPAIR: "5f2f0c4c0d5e4a5b9d6a6fd1a41b7d08",
}
# syslog(3).
_WARNING, _NOTICE = 4, 5
# Letters of a text, and entries of a list, that are kept.
_LONGEST, _MOST = 400, 40
# The first line of the first file comes after this.
NOTHING = "0" * 16
# What each line begins with: so its moment is read without parsing it.
_HEAD = '{"at": "'
_MOMENT = slice(len(_HEAD), len(_HEAD) + len("2026-11-24T17:03:20Z"))


def event(kind: str, moment: int, zone: str | None, **fields: Any) -> dict[str, Any]:
    """Return an event; fields that are ``None`` are left out, and texts are made one printable line of moderate length.

    kind
        One of :data:`KINDS`.

    moment
        When it happened, in seconds since 1970.

    zone
        Time zone of the policy, in which the moment is spelled beside UTC.
    """
    known = {name: _clean(value) for name, value in fields.items() if value is not None}
    return {"at": instants.iso(moment), "local": instants.local(moment, zone).isoformat(), "event": kind, **known}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return line_of(value)
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value[:_MOST]]
    return value


def line_of(text: str) -> str:
    """Return a text as one printable line of moderate length, whatever somebody put into it."""
    words = " ".join(text[: 4 * _LONGEST].split())
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def line(what: Mapping[str, Any], after: str) -> bytes:
    """Return an event as a line of the file.

    after
        Digest of the line before it: what somebody changes or takes out is then missed.
    """
    moment, rest = what["at"], {key: value for key, value in what.items() if key != "at"}
    return (json.dumps({"at": moment, **rest, "v": VERSION, "after": after}) + "\n").encode("ascii")


def digest(line: bytes) -> str:
    """Return the digest of a line, by which the next one names it."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()[:16]


class Read(NamedTuple):
    """Events of some lines, and what is wrong with these: sentences without a full stop."""

    events: list[dict[str, Any]]
    complaints: list[str]


def read(lines: Iterable[bytes], since: int = 0, place: str = "the record") -> Read:
    """Parse lines of a file, the oldest first; what cannot be read is counted, and hinders nothing else.

    since
        Moment in seconds since 1970; what is older is left out. Defaults to everything.

    place
        What to call the file in complaints.
    """
    found: list[dict[str, Any]] = []
    damaged = missed = newer = 0
    start, before = instants.iso(since).encode(), None
    for text in lines:
        after, before = before, digest(text)
        # Half a line, as power leaves one, is damaged, and no more than that.
        whole = text.endswith(b'"}\n')
        missed += whole and after is not None and not _follows(text, after)
        if whole and text.startswith(_HEAD.encode()) and text[_MOMENT] < start:
            continue
        entry = _parsed(text)
        if entry is None:
            damaged += 1
            continue
        newer += entry.pop("v") > VERSION
        entry.pop("after", None)
        found.append(entry)
    complaints = []
    if damaged:
        complaints.append(f"{place}: {damaged} line(s) are damaged")
    if missed:
        complaints.append(f"{place}: before {missed} line(s) something was changed or taken out")
    if newer:
        complaints.append(
            f"{place}: {newer} line(s) are of a newer version: there may be more in them than is said here"
        )
    return Read(found, complaints)


def _follows(text: bytes, after: str) -> bool:
    # The last field: it is compared without parsing the line.
    return text.rstrip(b"\n").endswith(f'"after": "{after}"}}'.encode())


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return the event of a line; ``None`` if it is none."""
    try:
        found = json.loads(text)
        instants.seconds(found["at"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    kinds = {"at": str, "event": str, "v": int}
    return found if all(type(found.get(name)) is kind for name, kind in kinds.items()) else None


def words(what: Mapping[str, Any]) -> str:
    """Return a sentence for the journal, without a full stop."""
    kind, user, vm = what["event"], what.get("user") or f"UID {what.get('uid', '?')}", what.get("vm", "?")
    why = f": {what['why']}" if what.get("why") else ""
    if kind == LAUNCH:
        return f"{user} opens {vm}"
    if kind == OPENED:
        return f"{user} is in {vm}"
    if kind == ENDED:
        return f"{user} is out of {vm}{why}"
    if kind == REFUSED:
        return f"{vm} was refused to {user} by {what.get('by', '?')}{why}"
    return f"{what.get('what', kind)}{why}"


def journal_fields(what: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of an event in the journal, systemd.journal-fields(7): ours begin with SPICE."""
    yield "MESSAGE", words(what)
    yield "MESSAGE_ID", KINDS[what["event"]]
    yield "PRIORITY", str(_WARNING if what["event"] == REFUSED else _NOTICE)
    yield "SYSLOG_IDENTIFIER", "spice-grant"
    for name, value in what.items():
        for each in value if isinstance(value, list) else [value]:
            yield f"SPICE_{name.upper()}", each if isinstance(each, str) else json.dumps(each)


def datagram(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return fields in the form in which journald takes them: https://systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    return b"".join(f"{name}={value}\n".encode("utf-8", "backslashreplace") for name, value in fields)
