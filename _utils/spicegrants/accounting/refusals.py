"""Refusals by sudo and by the guard, as they stand in the journal. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.core import validation
from spicegrants.core.paths import CONNECTIONS, OPENER
from spicegrants.firewall.denials import Denial, parse_denials

_SUDO = "/usr/bin/sudo"
_COMMAND = " ; COMMAND="
# Fields that may come first where sudo has nothing to refuse.
_FIELD = re.compile(r"[A-Z]+=")
_OF_VM = re.compile(rf"{re.escape(CONNECTIONS)}/([^/]+)\.vv")


class SudoRefusal(NamedTuple):
    """A call of the viewer or the opener that sudo refused; ``vm`` is ``None`` where the call names none."""

    moment: int
    user: str
    vm: str | None
    why: str


class Entry(NamedTuple):
    """An entry of the journal: its place there, moment, what sent it, and its text."""

    cursor: str
    moment: int
    program: str
    kernel: bool
    text: str


def entry(line: bytes) -> Entry | None:
    """Return an entry as ``journalctl --output=json`` prints it; ``None`` for anything else."""
    try:
        found = json.loads(line)
        text = found.get("MESSAGE")
        # Text that is no UTF-8 comes as its bytes.
        text = text if isinstance(text, str) else bytes(text or ()).decode("ascii", "backslashreplace")
        moment = int(found["__REALTIME_TIMESTAMP"]) // 1_000_000
        kernel = found.get("_TRANSPORT") == "kernel"
        return Entry(str(found["__CURSOR"]), moment, str(found.get("_EXE", "")), kernel, text)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def by_guard(found: Entry) -> Denial | None:
    """Return a packet that the guard refused; ``None`` if the entry tells of none."""
    denials = parse_denials([(found.moment, found.text)])[0] if found.kernel else []
    return denials[0] if denials else None


def by_sudo(found: Entry, viewers: Iterable[str]) -> SudoRefusal | None:
    """Return a call of ours that sudo refused; ``None`` if the entry tells of none.

    viewers
        Paths of the viewers.

    sudo writes ``USER : REASON ; TTY=... ; PWD=... ; USER=root ; COMMAND=...``, without a reason where it allows the
    call. Whoever names a directory like the rest of such a line deceives nobody but about themselves.
    """
    if found.kernel or found.program != _SUDO:
        return None
    user, colon, rest = found.text.strip().partition(" : ")
    reason = rest.partition(" ; ")[0]
    if not colon or _FIELD.match(reason) or validation.account_name(user):
        return None
    ours = (OPENER, *viewers)
    for call in rest.split(_COMMAND)[1:]:
        words = call.split()
        if words and words[0] in ours:
            return SudoRefusal(found.moment, user, _vm(words), reason)
    return None


def _vm(words: list[str]) -> str | None:
    """Return the vm that a call names: the opener by name, a viewer by its connection file."""
    if words[0] == OPENER:
        name = words[1] if len(words) == 2 else ""
    else:
        match = _OF_VM.fullmatch(words[-1])
        name = match[1] if match else ""
    return name if name and not validation.object_name(name) else None


def folded(known: dict[tuple, tuple[int, int]], key: tuple, now: int, within: int = 60) -> int:
    """Count a refusal among those of its kind; return how many the event stands for that is due now, 0 for none.

    known
        By kind, since when and how many are counted that are not written yet. It is changed.

    within
        Seconds in which one event of a kind is enough. Defaults to 60.
    """
    start, count = known.get(key, (now - within, 0))
    if start <= now < start + within:
        known[key] = start, count + 1
        return 0
    known[key] = now, 0
    return count + 1


def fields(refusal: SudoRefusal, uid: int | None) -> Mapping[str, Any]:
    """Return what the record says of a refusal by sudo."""
    return {"user": refusal.user, "uid": uid, "vm": refusal.vm, "by": "sudo", "why": refusal.why}
