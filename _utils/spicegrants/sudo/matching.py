"""Matching of hosts, users and calls against entries of a parsed sudoers tree.

sudo itself decides by the order of entries: the last match counts. Conditions that cannot be evaluated here (who is in
a netgroup, which characters a POSIX class has) are taken to match, so that the entry is reported.
"""

from __future__ import annotations

import fnmatch
import re
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

Members = Sequence[Mapping[str, Any]]
Tree = Mapping[str, Any]

ALL = "ALL"
# Who belongs to them is not in the tree.
_OF_MANY = {"usergroup", "netgroup", "nonunixgroup", "usergid", "nonunixgid", "networkaddr"}


def everything(commands: Members, tree: Tree) -> bool:
    """Tell whether a list of commands has ALL, even if it takes some out: they are still there under other names."""
    verdict = False
    for command in commands:
        if command.get("command") == ALL:
            verdict = not command.get("negated")
        elif "cmndalias" in command and not command.get("negated"):
            verdict = everything(*_alias(tree, "Command_Aliases", command["cmndalias"])) or verdict
    return verdict


def anything(commands: Members, tree: Tree) -> bool:
    """Tell whether a list of commands allows any command at all."""
    return any(
        anything(*_alias(tree, "Command_Aliases", command["cmndalias"])) if "cmndalias" in command else True
        for command in commands
        if not command.get("negated") and command.get("command") != "list"
    )


def starts(commands: Members, program: str, tree: Tree) -> bool:
    """Tell whether a list of commands allows a program with any arguments.

    A program that is refused with some arguments can still be started with others.
    """
    return everything(commands, tree) or _last(
        commands, tree, lambda pattern, whole: _path(pattern, program) and not (whole and _parts(pattern)[1])
    )


def names(commands: Members, tree: Tree, program: str) -> bool:
    """Tell whether a list of commands names a program, with whatever arguments, whatever else it takes out again."""
    return any(
        names(*_alias(tree, "Command_Aliases", command["cmndalias"]), program)
        if "cmndalias" in command
        else _path(command.get("command", ""), program)
        for command in commands
        if not command.get("negated")
    )


def calls(commands: Members, program: str, arguments: str, tree: Tree) -> bool:
    """Tell whether a list of commands allows a program with exactly these arguments, joined by blanks."""
    return everything(commands, tree) or _last(
        commands, tree, lambda pattern, whole: _path(pattern, program) and _arguments(pattern, arguments)
    )


def _last(commands: Members, tree: Tree, matches: Callable[[str, bool], bool], whole: bool = False) -> bool:
    """Return whether the last matching command allows.

    whole
        Whether the list is part of one that refuses, so that a command must match entirely.
    """
    verdict = False
    for command in commands:
        refused = bool(command.get("negated"))
        if "cmndalias" in command:
            applies = _last(*_alias(tree, "Command_Aliases", command["cmndalias"]), matches, whole or refused)
        else:
            applies = matches(command.get("command", ""), whole or refused)
        if applies:
            verdict = not refused
    return verdict


def _path(pattern: str, program: str) -> bool:
    path = _parts(pattern)[0]
    if path.startswith("^"):
        return _expression(path, program)
    if path.endswith("/"):
        return program.rpartition("/")[0] + "/" == path
    # A wildcard stands for no slash.
    parts, known = path.split("/"), program.split("/")
    return pattern == ALL or (len(parts) == len(known) and all(map(fnmatch.fnmatchcase, known, parts)))


def _arguments(pattern: str, arguments: str) -> bool:
    expected = _parts(pattern)[1]
    if expected is None or expected == '""':
        return expected is None or not arguments
    if expected.startswith("^"):
        return _expression(expected, arguments)
    return fnmatch.fnmatchcase(arguments, re.sub(r"\\(.)", r"\1", expected))


def _parts(pattern: str) -> tuple[str, str | None]:
    """Return path and arguments of a command; a regular expression ends with the dollar sign, and may have blanks."""
    end = pattern.find("$ ") + 1 if pattern.startswith("^") else pattern.find(" ")
    return (pattern[:end], pattern[end + 1 :]) if end > 0 else (pattern, None)


def _expression(pattern: str, text: str) -> bool:
    try:
        # POSIX classes mean something else to Python.
        return "[:" in pattern or bool(re.match(pattern, text))
    except re.error:
        return True


def includes(members: Members, tree: Tree, names: Collection[str], groups: bool = False, sure: bool = False) -> bool:
    """Tell whether a list of users or groups to run as includes one of some names.

    names
        All spellings of one user or group: its name, and ``#`` with its number.

    groups
        Whether it is a list of groups. In a list of users, a group stands for its members.

    sure
        Whether to count certain matches only. For refused members only these count.
    """
    verdict = False
    for member in members:
        refused = bool(member.get("negated"))
        kind, value = _kind_and_value(member)
        if kind == "runasalias":
            applies = includes(*_alias(tree, "Runas_Aliases", value), names, groups, sure or refused)
        elif kind in _OF_MANY and not (groups and kind == "usergroup"):
            applies = not (sure or refused)
        else:
            applies = value == ALL or (f"#{value}" if kind == "userid" else value) in names
        if applies:
            verdict = not refused
    return verdict


def here(hosts: Members, tree: Tree, host: str, sure: bool = False) -> bool:
    """Tell whether a list of hosts includes this one.

    host
        This machine's name. Only the part before the first dot is compared: the name service decides about the rest.
    """
    verdict = False
    for member in hosts:
        refused = bool(member.get("negated"))
        kind, value = _kind_and_value(member)
        if kind == "hostalias":
            applies = here(*_alias(tree, "Host_Aliases", value), host, sure or refused)
        elif kind in _OF_MANY:
            applies = not (sure or refused)
        else:
            first, pattern = (name.partition(".")[0].lower() for name in (host, value))
            applies = value == ALL or fnmatch.fnmatchcase(first, pattern)
        if applies:
            verdict = not refused
    return verdict


def members(users: Members, tree: Tree) -> Iterator[Mapping[str, Any]]:
    """Return users and groups of a list, with aliases resolved."""
    for member in users:
        alias, inner = _alias(tree, "User_Aliases", member.get("useralias", ""))
        if alias and not member.get("negated"):
            yield from members(alias, inner)
        else:
            yield member


def spell_entry(commands: Mapping[str, Any], tree: Tree, user: str) -> tuple[list[str], list[str], list[str]]:
    """Spell an entry as sudo lists it for a user, aliases resolved: users and groups to run as, and commands."""
    groups = [word.replace("%", "") for word in _expanded(commands.get("runasgroups", []), "Runas_Aliases", tree)]
    users = _expanded(commands.get("runasusers", []), "Runas_Aliases", tree) or ([user] if groups else ["root"])
    return [word or user for word in users], groups, _expanded(commands["Commands"], "Command_Aliases", tree)


def _expanded(members: Members, kind: str, tree: Tree) -> list[str]:
    found = []
    for member in members:
        alias, within = _alias(tree, kind, member.get("cmndalias", member.get("runasalias", "")))
        inner = _expanded(alias, kind, within) if alias else words([member])
        if alias and member.get("negated"):
            inner = [word[1:] if word.startswith("!") else f"!{word}" for word in inner]
        found += inner
    return found


def _alias(tree: Tree, kind: str, name: str) -> tuple[Members, Tree]:
    """Return an alias's members, and the tree in which to look them up: there the alias is empty, as in sudo.

    Aliases may lead back to themselves; visudo only warns of that.
    """
    aliases = tree.get(kind, {})
    return aliases.get(name, []), {**tree, kind: ChainMap({name: []}, aliases)}


def _kind_and_value(member: Mapping[str, Any]) -> tuple[str, str]:
    return next((kind, str(value)) for kind, value in member.items() if kind != "negated")


def words(members: Iterable[Mapping[str, Any]]) -> list[str]:
    """Spell users, groups or commands of a parsed tree as sudoers does."""
    prefix = {"usergroup": "%", "userid": "#", "nonunixgroup": "%:", "netgroup": "+", "usergid": "%#"}
    result = []
    for member in members:
        kind, value = next((key, value) for key, value in member.items() if key != "negated" and key[:3] != "sha")
        result.append(f"{'!' if member.get('negated') else ''}{prefix.get(kind, '')}{value}")
    return result


def groups_of(commands: Mapping[str, Any]) -> list[str]:
    """Return the groups that an entry of a parsed tree lets commands run with."""
    return [word.replace("%", "") for word in words(commands.get("runasgroups", []))]
