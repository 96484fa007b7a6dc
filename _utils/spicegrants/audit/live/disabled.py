"""Accounts that nobody can use any more, by the files of this machine: expired, locked, or without a shell."""

from __future__ import annotations

import pwd
from collections.abc import Iterable

from spicegrants.host import disk
from spicegrants.schedule.intervals import DAY

SHADOW = "/etc/shadow"
# Of shells that let nobody in, whatever directory they are in.
_NO_SHELLS = ("false", "nologin")


def accounts(names: Iterable[str], now: int) -> dict[str, str]:
    """Return those of some users whose account cannot be used, and why.

    A directory's users have no entry in ``/etc/shadow``: whether it has locked them is not known here.

    now
        In seconds since 1970.

    Raises :class:`~spicegrants.core.errors.SystemFault` if ``/etc/shadow`` cannot be read.
    """
    lines = (disk.read_site(SHADOW) or b"").decode(errors="surrogateescape").splitlines()
    entries = {fields[0]: fields for fields in (line.split(":") for line in reversed(lines)) if len(fields) > 7}
    found = {name: _why(entries.get(name), _shell(name), now // DAY) for name in names}
    return {name: why for name, why in found.items() if why}


def _shell(name: str) -> str:
    """Return a user's shell; empty if there is no such user."""
    try:
        return pwd.getpwnam(name).pw_shell
    except KeyError:
        return ""


def _why(entry: list[str] | None, shell: str, today: int) -> str:
    """Return why an account cannot be used; empty if it can.

    entry
        Its fields in shadow(5); ``None`` for none.

    today
        In days since 1970.
    """
    if entry is not None and entry[7].isdecimal() and int(entry[7]) <= today:
        return "its account has expired"
    if entry is not None and entry[1].startswith("!"):
        return "its password is locked"
    if shell.rpartition("/")[2] in _NO_SHELLS:
        return f"its shell is {shell}"
    return ""
