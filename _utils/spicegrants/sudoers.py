"""The sudo layer: one file in sudoers.d with exact-argument rules, and what other rules open the viewer.

Reading back goes through the JSON that ``cvtsudoers -f json`` makes of a file or of the whole tree (sudoers(5),
cvtsudoers(1)).
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from spicegrants.access import Access
from spicegrants.compile import Wanted
from spicegrants.errors import Finding, PolicyError
from spicegrants.files import Entry, File
from spicegrants.model import Policy
from spicegrants.plan import Change
from spicegrants.reader import did_you_mean

PATH = "/etc/sudoers.d/spice-grant"
MODE = 0o440
ALIAS = "SPICE_GRANT"
CONNECTIONS = "/etc/spice-grant/vms"
KEPT = (
    "LANG LANGUAGE LINGUAS LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES "
    "LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME XDG_SESSION_COOKIE "
    "DISPLAY XAUTHORITY WAYLAND_DISPLAY XDG_RUNTIME_DIR"
)
_DEFAULTS = (
    "env_reset",
    f'env_keep = "{KEPT}"',
    # The user's own password, whatever the site asks elsewhere (targetpw is openSUSE's default).
    "!targetpw",
    "!rootpw",
    "!runaspw",
    "!exempt_group",
    # A desktop icon has no terminal.
    "!requiretty",
    "set_home",
    "umask = 0077",
    "umask_override",
    'secure_path = "/usr/local/bin:/usr/bin:/bin"',
)
_HEADER = """\
# Written by saltext-spice-grant from the pillar of this minion; the next run undoes any edit.
"""
_SPECIAL = re.compile(r"([,:=\\?*\[\]!#\"])")


@dataclass(frozen=True, order=True)
class Rule:
    """A user may start a viewer with exactly one argument, as himself with the viewer's group.

    The rule names the group only, ``(:GROUP)``: sudo then runs the command as the caller himself and as nobody else,
    and refuses it without the group. With ``(USER:GROUP)`` it would allow the call without the group as well.
    """

    user: str
    group: str
    viewer: str
    argument: str
    nopasswd: bool = False

    @property
    def command(self) -> list[str]:
        """The viewer and its arguments."""
        return [self.viewer, "--", self.argument]

    @property
    def call(self) -> list[str]:
        """What is typed behind ``sudo``."""
        return ["-g", self.group, *self.command]


def connection_file(vm: str) -> str:
    """Return the path of a vm's connection file."""
    return f"{CONNECTIONS}/{vm}.vv"


def calls(policy: Policy, user: str, vm: str, nopasswd: bool = False) -> list[Rule]:
    """Return the rules that let a user open a vm: per viewer one with the URI, one with the connection file.

    Raises :class:`~spicegrants.errors.PolicyError` if the policy has no such vm.
    """
    if vm not in policy.vms:
        raise PolicyError([Finding("vm", f"no vm {vm!r}{did_you_mean(vm, policy.vms)}")])
    return [
        Rule(user, policy.viewer.group, path, argument, nopasswd)
        for path in policy.viewer.paths
        for argument in (policy.uri(policy.vms[vm]), connection_file(vm))
    ]


def rules_for(wanted: Wanted, access: Access) -> list[Rule]:
    """Return the rules of one access."""
    return calls(wanted.policy, access.user, access.vm, access.nopasswd)


def rules(wanted: Wanted) -> list[Rule]:
    """Return all rules that a policy stands for."""
    return [rule for access in wanted.accesses for rule in rules_for(wanted, access)]


@functools.lru_cache(maxsize=4096)
def escape(word: str) -> str:
    """Escape a word of a sudoers command so that it stands for itself only.

    sudo joins arguments into one string and matches it with fnmatch(3): a bare ``?`` would also let through a blank,
    and so two arguments.
    """
    return _SPECIAL.sub(r"\\\1", word)


def _quoted(command: Iterable[str]) -> str:
    return " ".join(escape(word) for word in command)


def render(wanted: Wanted) -> str:
    """Return the text of the sudoers file."""
    lines = [_HEADER]
    commands = []
    body = []
    for access in wanted.accesses:
        chosen = rules_for(wanted, access)
        spelled = [_quoted(rule.command) for rule in chosen]
        commands += spelled
        user = escape(access.user).replace("@", r"\@")
        group = escape(wanted.policy.viewer.group).replace("@", r"\@")
        tag = "NOPASSWD" if access.nopasswd else "PASSWD"
        body.append(f"# {' '.join(access.grants)}\n{user} ALL=(:{group}) {tag}: NOSETENV: {', '.join(spelled)}\n")
    if commands:
        unique = ", \\\n    ".join(dict.fromkeys(commands))
        lines.append(f"Cmnd_Alias {ALIAS} = {unique}\n")
        lines.append(f"Defaults!{ALIAS} {', '.join(_DEFAULTS)}\n")
    return "\n".join((*lines, *body))


def mutants(rule: Rule, other_port: int) -> list[tuple[str, list[str]]]:
    """Return calls close to an allowed one that must all be refused, each with what is different.

    Each call is what follows ``sudo``: options and command. Calls as root with the group are not among them: ``sudo -l
    -U`` answers those for the user who asks, which is root.
    """
    group = ["-g", rule.group]
    viewer, argument = rule.viewer, rule.argument
    port = re.search(r"tls-port=([0-9]+)$", argument)
    calls = [
        ("argument added", [*group, viewer, "--", argument, "--debug"]),
        ("option first", [*group, viewer, "--debug", "--", argument]),
        ("without --", [*group, viewer, argument]),
        ("without argument", [*group, viewer]),
        ("empty argument", [*group, viewer, "--", ""]),
        ("as root", ["-u", "root", viewer, "--", argument]),
        ("as another user", ["-u", "nobody", *group, viewer, "--", argument]),
        ("without the group", ["-u", rule.user, viewer, "--", argument]),
        ("another program", [*group, "/bin/sh", "--", argument]),
        ("end cut off", [*group, viewer, "--", argument[:-1]]),
        ("end added", [*group, viewer, "--", argument + "0"]),
    ]
    if port:
        calls += [
            ("? replaced", [*group, viewer, "--", argument.replace("?", "X")]),
            ("argument split", [*group, viewer, "--", *argument.split("?")]),
            ("another port", [*group, viewer, "--", argument.replace(port[1], str(other_port))]),
            ("plain port", [*group, viewer, "--", argument.replace("tls-port", "port")]),
        ]
    else:
        calls += [
            ("another file", [*group, viewer, "--", "/root/x.vv"]),
            ("path around", [*group, viewer, "--", argument.replace("/vms/", "/vms/../vms/")]),
        ]
    return calls


def _specs(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for spec in tree.get("User_Specs", []):
        for commands in spec["Cmnd_Specs"]:
            yield spec, commands


def _rules(spec: dict[str, Any], commands: dict[str, Any]) -> Iterator[Rule]:
    """Return what one entry of a parsed tree says, as far as it can be said as our rules; anything else as a rule
    that no policy has."""
    options = {key: value for option in commands.get("Options", []) for key, value in option.items()}
    groups = _groups(commands)
    plain = len(groups) == 1 and "runasusers" not in commands and options.get("setenv") is False
    for user in spec["User_List"]:
        for command in commands["Commands"]:
            viewer, _, argument = _unescaped(command.get("command", "")).partition(" -- ")
            if plain and set(user) == {"username"} and set(command) == {"command"}:
                yield Rule(user["username"], groups[0], viewer, argument, options.get("authenticate") is False)
            else:
                yield Rule("", "", viewer, argument)


@functools.lru_cache(maxsize=4096)
def _unescaped(command: str) -> str:
    return re.sub(r"\\(.)", r"\1", command)


def parse(tree: dict[str, Any]) -> list[Rule]:
    """Return the rules of our own form that a parsed file holds."""
    return [rule for spec, commands in _specs(tree) for rule in _rules(spec, commands) if rule.user]


@dataclass(frozen=True)
class SudoPlan:
    """Changes in words, and the text to install; ``None`` if the file is right as it is."""

    changes: tuple[Change, ...]
    text: str | None


def plan(wanted: Wanted, live: Entry | None, parsed: Callable[[], dict[str, Any] | None]) -> SudoPlan:
    """Compare what is wanted with the installed file.

    live
        What is at :data:`PATH`.

    parsed
        Returns what cvtsudoers makes of that file, ``None`` if it does not parse. Only asked if the file is not
        already right, byte for byte.
    """
    text = render(wanted)
    want_file = File(text.encode(), MODE)
    if live == want_file:
        return SudoPlan((), None)
    tree = parsed() if live is not None else {}
    changes = []
    if tree is None:
        changes.append(Change("sudo", f"replaces {PATH}, which does not parse"))
    elif isinstance(live, File) and replace(live, content=want_file.content) != want_file:
        changes.append(Change("sudo", f"restores owner and mode of {PATH}: root:root {MODE:04o}"))
    want = {rule: access for access in wanted.accesses for rule in rules_for(wanted, access)}
    for user, argument, verb, grants in sorted(_differences(wanted, want, set(parse(tree or {})))):
        changes.append(Change("sudo", f"{verb} {user} start the viewer on {argument}", grants))
    if not changes:
        changes.append(Change("sudo", f"creates {PATH}" if live is None else f"restores {PATH}, which was edited"))
    return SudoPlan(tuple(changes), text)


def _differences(
    wanted: Wanted, want: dict[Rule, Access], have: set[Rule]
) -> set[tuple[str, str, str, tuple[str, ...]]]:
    found = set()
    for rule, access in want.items():
        if rule not in have:
            asked = "without a password" if rule.nopasswd else "with his password"
            found.add((rule.user, f"{rule.argument} {asked}", "lets", access.grants))
    wished = {(rule.user, rule.argument) for rule in want}
    vms = {connection_file(vm): vm for vm in wanted.policy.vms}
    vms.update({wanted.policy.uri(vm): vm.name for vm in wanted.policy.vms.values()})
    for rule in have - set(want):
        if (rule.user, rule.argument) not in wished:
            grants = wanted.grants_of(rule.user, vms.get(rule.argument))
            found.add((rule.user, rule.argument, "no longer lets", grants))
    return found


@dataclass(frozen=True)
class Foreign:
    """A rule outside our file that lets somebody start a viewer, or weakens our own."""

    who: str
    what: str


def foreign(tree: dict[str, Any], granted: Iterable[Rule], viewers: Iterable[str]) -> list[Foreign]:
    """Return the rules of the whole tree that let somebody start a viewer otherwise than granted.

    Rules that say just what a granted rule says are left out, wherever they stand, and those of root: root needs none.
    """
    known, viewers = set(granted), tuple(viewers)
    found = []
    for spec, commands in _specs(tree):
        opened = [path for path in viewers if _opens(commands["Commands"], path, tree)]
        if not opened or set(_rules(spec, commands)) <= known:
            continue
        who = _who(spec["User_List"], tree)
        if who not in ("root", "#0"):
            groups = ", ".join(_groups(commands))
            runas = ", ".join(_words(commands.get("runasusers", []))) or ("himself" if groups else "root")
            as_whom = f"{runas} with group {groups}" if groups else runas
            spelled = ", ".join(_words(commands["Commands"]))
            found.append(Foreign(who, f"may run {spelled} as {as_whom}, which includes {', '.join(opened)}"))
    for default in tree.get("Defaults", []):
        for option in default.get("Options", []):
            if option.get("targetpw") is True:
                scope = f" for {', '.join(_words(default['Binding']))}" if default.get("Binding") else ""
                found.append(Foreign("Defaults", f"targetpw{scope}: sudo asks for the password of the target user"))
    return found


def _words(members: Iterable[dict[str, Any]]) -> list[str]:
    prefix = {"usergroup": "%", "userid": "#", "nonunixgroup": "%:", "netgroup": "+", "usergid": "%#"}
    words = []
    for member in members:
        kind, value = next((key, value) for key, value in member.items() if key != "negated" and key[:3] != "sha")
        words.append(f"{'!' if member.get('negated') else ''}{prefix.get(kind, '')}{value}")
    return words


def _groups(commands: dict[str, Any]) -> list[str]:
    return [word.replace("%", "") for word in _words(commands.get("runasgroups", []))]


def _who(members: list[dict[str, Any]], tree: dict[str, Any]) -> str:
    expanded = []
    for member in members:
        alias = tree.get("User_Aliases", {}).get(member.get("useralias"))
        expanded += alias if alias and not member.get("negated") else [member]
    return ", ".join(_words(expanded))


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
