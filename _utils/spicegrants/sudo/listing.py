"""Entries in the output of ``sudo -ll -U USER`` in the locale C, read into a tree like that of cvtsudoers.

sudo has already resolved who the user is, on which host, through which groups and aliases, and from which source. The
entries are candidates: what follows from them is left to a question to sudo, and its exit code.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from spicegrants.sudo import matching

_FIELD = re.compile(r"    ([A-Za-z]+): (.*)")
_NOTHING = re.compile(r"User \S.* is not allowed to run sudo on ", re.MULTILINE)
_STARTS = re.compile(r"^User \S.* may run the following commands on .*:\n", re.MULTILINE)
_DIGESTS = re.compile(r"(?<![^!])(?:sha[0-9]+:\S+,? )+")
_FILES = "Sudoers entry:"


class Entry(NamedTuple):
    """One entry that applies to a user.

    text
        The entry as sudo printed it.

    spec
        The same as a tree.
    """

    text: str
    spec: dict[str, Any]

    @property
    def origin(self) -> str | None:
        """The source of the entry, unless it is a file: ``LDAP Role: helpdesk``, which sudo also reports for SSSD."""
        first = self.text.partition("\n")[0]
        return None if first.startswith(_FILES) else first

    @property
    def file(self) -> str:
        """The file that holds the entry, if sudo reports it."""
        return self.text.partition("\n")[0].partition(f"{_FILES} ")[2]

    @property
    def spelling(self) -> tuple[list[str], list[str], list[str]]:
        """The listed users and groups to run as, and the commands."""
        return matching.spell_entry(self.spec["Cmnd_Specs"][0], {}, self.spec["User_List"][0]["username"])


def parse_listing(printed: str, user: str) -> list[Entry] | None:
    """Return the entries that sudo lists for a user; ``None`` if the output cannot be understood."""
    if _NOTHING.search(printed):
        return []
    start = _STARTS.search(printed)
    blocks = printed[start.end() :].strip("\n").split("\n\n") if start else []
    entries = [Entry(block, _spec(block, user)) for block in blocks if block]
    return entries if entries and all(entry.spelling[2] for entry in entries) else None


def _spec(block: str, user: str) -> dict[str, Any]:
    fields: dict[str, str] = {}
    commands = []
    for line in block.splitlines():
        field = _FIELD.fullmatch(line)
        if field:
            fields[field[1]] = field[2]
        elif line.startswith("\t"):
            commands.append(_member("command", _DIGESTS.sub("", line[1:])))
    runas = {
        "runasusers": [_user(word) for word in _words(fields.get("RunAsUsers"))],
        "runasgroups": [_member("usergroup", word) for word in _words(fields.get("RunAsGroups"))],
    }
    if runas["runasgroups"] and runas["runasusers"] == [{"username": user}]:
        # What names a group only: sudo spells out who that is.
        del runas["runasusers"]
    options = [_option(word) for word in _words(fields.get("Options"))]
    options += [{key.lower(): fields[key]} for key in ("NotBefore", "NotAfter") if key in fields]
    spec = {**{key: value for key, value in runas.items() if value}, "Options": options, "Commands": commands}
    return {"User_List": [{"username": user}], "Host_List": [{"hostname": "ALL"}], "Cmnd_Specs": [spec]}


def _words(listed: str | None) -> list[str]:
    return listed.split(", ") if listed else []


def _member(kind: str, word: str) -> dict[str, Any]:
    return {kind: word[1:], "negated": True} if word.startswith("!") else {kind: word}


def _user(word: str) -> dict[str, Any]:
    bare = word.lstrip("!")
    for prefix, kind in (("%:", "nonunixgroup"), ("%#", "usergid"), ("%", "usergroup"), ("+", "netgroup")):
        if bare.startswith(prefix):
            return _member(kind, word.replace(prefix, "", 1))
    return _member("userid", word.replace("#", "", 1)) if bare.startswith("#") else _member("username", word)


def _option(word: str) -> dict[str, Any]:
    name, sign, value = word.partition("=")
    return {name: value} if sign else {name.lstrip("!"): not name.startswith("!")}
