"""Rules of other sudoers files that open the viewer, or weaken our own."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.calls import Rule
from spicegrants.sudoers import groups_of, joined, rules_in, specs, words
from spicegrants.times import NEVER, Windows


class Foreign(NamedTuple):
    """A rule outside our file that lets somebody start a viewer, or weakens our own."""

    who: str
    what: str


def foreign(tree: dict[str, Any], granted: Iterable[Rule], viewers: Iterable[str]) -> list[Foreign]:
    """Return the rules of the whole tree that let somebody start a viewer otherwise than granted.

    Rules that say just what a granted rule says are left out, wherever they stand, and those of root: root needs none.
    """
    # Hardly a site has rules for which this must be known.
    known = functools.cache(lambda: {rule.timeless: rule.windows for rule in joined(granted)})
    viewers = tuple(viewers)
    found = []
    for spec, commands in specs(tree):
        opened = [path for path in viewers if _opens(commands["Commands"], path, tree)]
        if not opened or _granted(tuple(rules_in(spec, commands, tree)), known):
            continue
        who = _who(spec["User_List"], tree)
        if who not in ("root", "#0"):
            groups = ", ".join(groups_of(commands))
            runas = ", ".join(words(commands.get("runasusers", []))) or ("himself" if groups else "root")
            as_whom = f"{runas} with group {groups}" if groups else runas
            spelled = ", ".join(words(commands["Commands"]))
            found.append(Foreign(who, f"may run {spelled} as {as_whom}, which includes {', '.join(opened)}"))
    for default in tree.get("Defaults", []):
        for option in default.get("Options", []):
            if option.get("targetpw") is True:
                scope = f" for {', '.join(words(default['Binding']))}" if default.get("Binding") else ""
                found.append(Foreign("Defaults", f"targetpw{scope}: sudo asks for the password of the target user"))
    return found


def _granted(found: Collection[Rule], known: Callable[[], Mapping[Rule, Windows]]) -> bool:
    """Tell whether rules let nobody do anything, nor at any time, that known ones do not."""
    return all(rule.user for rule in found) and all(
        any(low <= start and end <= high for low, high in known().get(rule.timeless, NEVER))
        for rule in found
        for start, end in rule.windows
    )


def _who(members: list[dict[str, Any]], tree: dict[str, Any]) -> str:
    expanded = []
    for member in members:
        alias = tree.get("User_Aliases", {}).get(member.get("useralias"))
        expanded += alias if alias and not member.get("negated") else [member]
    return ", ".join(words(expanded))


def _opens(commands: list[dict[str, Any]], viewer: str, tree: dict[str, Any], whole: bool = False) -> bool:
    """Tell whether a list of commands lets a program be started; the last that matches decides, as in sudo.

    whole
        Whether only commands count that mean the program with any arguments: what is refused with some of them can
        still be started with others.
    """
    verdict = False
    for command in commands:
        refused = command.get("negated", False)
        if "cmndalias" in command:
            alias = tree.get("Command_Aliases", {}).get(command["cmndalias"], [])
            matches = _opens(alias, viewer, tree, whole or refused)
        else:
            pattern = command.get("command", "")
            matches = _covers(pattern, viewer) and not ((whole or refused) and " " in pattern)
        if matches:
            verdict = not refused
    return verdict


def _covers(pattern: str, viewer: str) -> bool:
    path = pattern.split(" ", 1)[0]
    if pattern == "ALL":
        return True
    if path.startswith("^"):
        try:
            # POSIX classes mean something else to Python. What cannot be told is reported.
            return "[:" in path or bool(re.match(path, viewer))
        except re.error:
            return True
    if path.endswith("/"):
        return viewer.rpartition("/")[0] + "/" == path
    return fnmatch.fnmatchcase(viewer, path)
