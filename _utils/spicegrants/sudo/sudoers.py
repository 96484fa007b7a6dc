"""The sudoers file of the sudo layer: one file in sudoers.d with exact-argument rules.

Files are read back through the JSON that ``cvtsudoers -f json`` makes of a file or of the whole tree (sudoers(5),
cvtsudoers(1)).
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File
from spicegrants.core.paths import OPENER, SUDOERS, connection_file
from spicegrants.policy import wording
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.schedule.intervals import ALWAYS, DAY, FIRST, LAST, NEVER, Windows, clip, union
from spicegrants.sudo import sudo_rs
from spicegrants.sudo.commands import SudoRule, calls
from spicegrants.sudo.matching import groups_of

MODE = 0o440
ALIAS = "SPICE_GRANT"
ENV_KEEP = (
    "LANG LANGUAGE LINGUAS LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES "
    "LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME XDG_SESSION_COOKIE "
    "DISPLAY XAUTHORITY WAYLAND_DISPLAY XDG_RUNTIME_DIR"
)
_DEFAULTS = (
    "env_reset",
    f'env_keep = "{ENV_KEEP}"',
    # As sudo has it built in: a site may have added to it, and what passes the check is kept.
    'env_check = "COLORTERM LANG LANGUAGE LC_* LINGUAS TERM TZ"',
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
    # With a site's runchroot=* the program of the rule would be one that the user put under a root of their own.
    "!runchroot",
    "!runcwd",
    # Guides to hardening ask for what keeps a program from starting others, and the opener starts a sandbox.
    "!noexec",
    "!stay_setuid",
    "!preserve_groups",
    "command_timeout = 0",
)
# Which older ones take for a fault.
_INTERCEPTING = ("!intercept", "!log_subcmds")
_HEADER = """\
# Written by saltext-spice-grant from the pillar of this minion; the next run undoes any edit.
"""
_SPECIAL = re.compile(r"([,:=\\?*\[\]!#\"])")
_BARE = re.compile(
    r'^(\s*)("(?:runcwd|runchroot|role|type|privs|limitprivs|apparmor_profile)": "(?:[^"\\]|\\.)*")(,?)$', re.MULTILINE
)
# Each is a line of the file: 1,000 consoles open at work hours have 44,000 for the 30 days ahead, and sudo, which reads
# all of them at each call, takes 0.1 s longer.
MOST_TIMES = 10000
_STAMP = "%Y%m%d%H%M%SZ"
_UTC = datetime.timezone.utc
# What a rule of ours may say besides who, what and as whom.
_OPTIONS = {"authenticate", "setenv", "notbefore", "notafter"}


def rules_for(desired: DesiredState, access: Access) -> list[SudoRule]:
    """Return the rules of one access; none if it is open at no time within the horizon."""
    windows = _windows(desired, access)
    return calls(desired, access.user, access.vm, access.nopasswd, windows) if windows else []


def keeps_times(desired: DesiredState) -> bool:
    """Tell whether rules hold at their times only; otherwise the opener alone refuses at other times.

    It does so with sudo-rs, which knows no times, and where each call of sudo would have to read too many of them.
    """
    return desired.once(_keeps_times)


def _keeps_times(desired: DesiredState) -> bool:
    if desired.inventory.sudo_rs or not desired.confined:
        return not desired.inventory.sudo_rs
    lines = {(access.vm, access.nopasswd, desired.times(access).opened) for access in desired.accesses}
    return sum(len(windows) for _, _, windows in lines) <= MOST_TIMES


def times_left_out(desired: DesiredState) -> list[str]:
    """Say that the file has no times although there are some, and why; a sentence without numbers that change."""
    if keeps_times(desired) or not desired.timed:
        return []
    why = "sudo-rs knows none" if desired.inventory.sudo_rs else f"there are more than {MOST_TIMES:,} windows"
    return [f"times are not in sudo's rules, so of sudo and opener only the opener keeps them: {why}"]


def _windows(desired: DesiredState, access: Access) -> Windows:
    """Return when the rules of an access hold: always, if it is ever open and the opener alone keeps its times."""
    opened = desired.times(access).opened
    return opened if keeps_times(desired) else ALWAYS if opened else opened


def rules(desired: DesiredState) -> list[SudoRule]:
    """Return all rules of the desired state."""
    return [rule for access in desired.accesses for rule in rules_for(desired, access)]


def joined(found: Iterable[SudoRule]) -> list[SudoRule]:
    """Return the rules, with those that differ in their times only joined into one, and without any that never hold."""
    together: dict[SudoRule, list[Windows]] = {}
    for rule in found:
        if rule.windows:
            together.setdefault(rule.timeless, []).append(rule.windows)
    return [replace(rule, windows=union(*many)) for rule, many in together.items()]


@functools.lru_cache(maxsize=4096)
def escape(word: str) -> str:
    """Escape a word of a sudoers command so that it matches only itself.

    sudo joins arguments into one string and matches it with fnmatch(3): a bare ``?`` would also let through a blank,
    and so two arguments.
    """
    return _SPECIAL.sub(r"\\\1", word)


def _commands(desired: DesiredState, vm: str) -> list[str]:
    """Return the commands that open a vm, in sudoers' spelling."""
    return [" ".join(map(escape, rule.command)) for rule in calls(desired, "", vm)]


def _name(account: str) -> str:
    return escape(account).replace("@", r"\@")


def _alias(vm: str) -> str:
    """Return the name of the alias for a vm's commands; each vm has its own: ``a-b`` is A__B, and B is _42."""
    name = re.sub("[^a-z0-9-]", lambda other: f"_{ord(other[0]):02X}", vm)
    return f"{ALIAS}_{name.upper().replace('-', '__')}"


@functools.lru_cache(maxsize=4096)
def _stamps(windows: Windows) -> tuple[str, ...]:
    """Spell windows for sudoers, whose times include both ends."""
    stamps = []
    for start, end in windows:
        words = [f"NOTBEFORE={_stamp(start)}"] if start > FIRST else []
        words += [f"NOTAFTER={_stamp(end - 1)}"] if end < LAST else []
        stamps.append(" ".join(words))
    return tuple(stamps)


def _stamp(moment: int) -> str:
    # Of a thousand windows each has its own, on few days.
    day, second = divmod(moment, DAY)
    return f"{_date(day)}{second // 3600:02}{second // 60 % 60:02}{second % 60:02}Z"


@functools.lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return datetime.datetime.fromtimestamp(day * DAY, _UTC).strftime("%Y%m%d")


def head(desired: DesiredState) -> str:
    """Return the text before the rules of the sudoers file: aliases, and settings for them that sudo must heed."""
    lines = [_HEADER]
    opened = [(access.vm, _windows(desired, access)) for access in desired.accesses]
    by_vm = {vm: _commands(desired, vm) for vm in dict.fromkeys(vm for vm, windows in opened if windows)}
    if by_vm:
        unique = ", \\\n    ".join(dict.fromkeys(command for commands in by_vm.values() for command in commands))
        lines.append(f"Cmnd_Alias {ALIAS} = {unique}\n")
        lines.append(f"Defaults!{ALIAS} {', '.join(_defaults(desired))}\n")
    for vm in dict.fromkeys(vm for vm, windows in opened if windows not in (ALWAYS, NEVER)):
        lines.append(f"Cmnd_Alias {_alias(vm)} = {', '.join(by_vm[vm])}\n")
    return "\n".join(lines)


def _defaults(desired: DesiredState) -> Iterator[str]:
    """Yield the settings for our commands that this machine's sudo knows."""
    for option in (*_DEFAULTS, *(_INTERCEPTING if desired.inventory.sudo_intercepts else ())):
        if not desired.inventory.sudo_rs or _setting(option) in sudo_rs.SETTINGS:
            yield option


def _setting(option: str) -> str:
    return re.findall("[a-z_]+", option)[0]


# The names of what they set, on older releases of sudo and on all others.
DEFAULTS = frozenset(map(_setting, _DEFAULTS)), frozenset(map(_setting, (*_DEFAULTS, *_INTERCEPTING)))


def render(desired: DesiredState) -> str:
    """Return the text of the sudoers file.

    Users who may open the same console at the same times share one rule, which then has one line for each window.
    """
    return desired.once(_render)


def _render(desired: DesiredState) -> str:
    shared: dict[tuple[str | None, str, bool, Windows], list[Access]] = {}
    for access in desired.accesses:
        windows = _windows(desired, access)
        alone = access.user if windows == ALWAYS else None
        if windows:
            shared.setdefault((alone, access.vm, access.nopasswd, windows), []).append(access)
    return "\n".join((head(desired), *(_rule_text(desired, *key[1:], members) for key, members in shared.items())))


def _rule_text(desired: DesiredState, vm: str, nopasswd: bool, windows: Windows, members: Iterable[Access]) -> str:
    users = ", ".join(_name(access.user) for access in members)
    whom = "ALL=(root)" if desired.confined else f"ALL=(:{_name(desired.policy.viewer.group)})"
    how = f"{'NOPASSWD' if nopasswd else 'PASSWD'}: NOSETENV:"
    if windows == ALWAYS:
        return f"{users} {whom} {how} {', '.join(_commands(desired, vm))}\n"
    # Not as one list of commands: see rules_in.
    entries = [f"{whom} {stamp} {how} {_alias(vm)}" for stamp in _stamps(windows)]
    if desired.inventory.sudo_opens_early:
        entries = _refuse_early(entries, windows, whom, _alias(vm))
    return f"{users} \\\n    " + " : \\\n    ".join(entries) + "\n"


def _refuse_early(allowing: list[str], windows: Windows, whom: str, alias: str) -> list[str]:
    """Return entries for windows that are heeded even by a sudo that ignores a start beside an end.

    The last entry that matches counts. So the last window comes first. Behind each window with an end follows an entry
    that refuses until the window begins, and has only an end.
    """
    found = []
    for entry, (start, end) in zip(reversed(allowing), reversed(windows)):
        found.append(entry)
        if end < LAST:
            found.append(f"{whom} NOTAFTER={_stamp(start - 1)} !{alias}")
    return found


def specs(tree: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the entries of a parsed tree: each with its users, and their commands."""
    for spec in tree.get("User_Specs", []):
        for commands in spec["Cmnd_Specs"]:
            yield spec, commands


def rules_in(spec: dict[str, Any], commands: dict[str, Any], tree: dict[str, Any]) -> Iterator[SudoRule]:
    """Yield the rules of one entry of a parsed tree, as far as they can be expressed as ours.

    Anything else becomes a rule that no policy has.
    """
    options = {key: value for option in commands.get("Options", []) for key, value in option.items()}
    group = _group_of_form(commands)
    windows = _window(options)
    plain = options.get("setenv") is False and set(options) <= _OPTIONS
    # Commands of one list may have times of their own, of which cvtsudoers prints the first only.
    plain = plain and (windows == ALWAYS or len(commands["Commands"]) == 1)
    aliases = tree.get("Command_Aliases", {})
    for user in spec["User_List"]:
        for command in _expanded(commands["Commands"], aliases):
            viewer, _, argument = _unescaped(command.get("command", "")).partition(" " if group == "" else " -- ")
            ours = (group or viewer == OPENER) and set(user) == {"username"} and set(command) == {"command"}
            if plain and ours and group is not None and windows is not None:
                free = options.get("authenticate") is False
                yield SudoRule(user["username"], group, viewer, argument, free, windows)
            else:
                yield SudoRule("", "", viewer, argument)


def mend(printed: str) -> str:
    """Return cvtsudoers' JSON output in valid form: before 1.9.16 it omits braces around some members of lists.

    A line that begins with a name cannot be part of a string: JSON strings contain no line ends.
    """
    return _BARE.sub(r"\1{ \2 }\3", printed)


def is_tree(tree: Mapping[str, Any]) -> bool:
    """Tell whether JSON has the form of cvtsudoers' output for sudoers, as far as its readers need that."""
    specs, defaults = tree.get("User_Specs", []), tree.get("Defaults", [])
    aliases = [tree.get(f"{kind}_Aliases", {}) for kind in ("User", "Runas", "Host", "Command")]
    return (
        _all(dict, specs, defaults)
        and all(isinstance(alias, dict) and _all(dict, *alias.values()) for alias in aliases)
        and all(_all(dict, spec.get("User_List"), spec.get("Host_List"), spec.get("Cmnd_Specs")) for spec in specs)
        and all(
            _all(dict, entry.get("Commands"), entry.get("Options", []), entry.get("runasusers") or [])
            and _all(dict, entry.get("runasgroups") or [])
            for spec in specs
            for entry in spec["Cmnd_Specs"]
        )
        and all(_all(dict, entry.get("Options", []), entry.get("Binding", [])) for entry in defaults)
    )


def _all(kind: type, *lists: Any) -> bool:
    return all(isinstance(each, list) and all(isinstance(member, kind) for member in each) for each in lists)


def normalize(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a parsed tree, which is modified, in one spelling: cvtsudoers 1.9.16 has ``""`` for the calling user.

    That is the user of a rule like ``(:group)``, for which older releases name none.
    """
    for spec in tree.get("User_Specs", ()):
        for commands in spec["Cmnd_Specs"]:
            if commands.get("runasgroups") and commands.get("runasusers") == [{"username": ""}]:
                del commands["runasusers"]
    return tree


def _group_of_form(commands: dict[str, Any]) -> str | None:
    """Return the group that a direct-form rule names, ``""`` for the confined form, ``None`` for neither."""
    groups, users = groups_of(commands), commands.get("runasusers")
    if users is None and len(groups) == 1:
        return groups[0]
    return "" if users == [{"username": "root"}] and not groups else None


def _expanded(commands: Iterable[dict[str, Any]], aliases: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for command in commands:
        yield from aliases.get(command["cmndalias"], [command]) if set(command) == {"cmndalias"} else [command]


def _window(options: Mapping[str, Any]) -> Windows | None:
    """Return when an entry of a parsed tree holds; ``None`` if it cannot be determined."""
    try:
        start = _moment(options["notbefore"]) if "notbefore" in options else FIRST
        end = _moment(options["notafter"]) + 1 if "notafter" in options else LAST
    except (TypeError, ValueError):
        return None
    return clip([(start, end)], FIRST, LAST)


@functools.lru_cache(maxsize=4096)
def _moment(stamp: str) -> int:
    return int(datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=_UTC).timestamp())


@functools.lru_cache(maxsize=4096)
def _unescaped(command: str) -> str:
    return re.sub(r"\\(.)", r"\1", command)


def own_rules(tree: dict[str, Any]) -> list[SudoRule]:
    """Return the rules of our own form in a parsed file."""
    found = (rule for spec, commands in specs(tree) for rule in rules_in(spec, commands, tree))
    return joined(rule for rule in found if rule.user)


def opens_early(version: str) -> bool:
    """Tell whether a release of sudo ignores the NOTBEFORE of a rule that has a NOTAFTER as well.

    When asked (``sudo -l``) it heeds it, when called it does not: https://github.com/sudo-project/sudo/pull/513.
    """
    return (1, 9, 15) <= _release(version) <= (1, 9, 17)


def intercepts(version: str) -> bool:
    """Tell whether a release of sudo can look at what its commands start: since 1.9.8."""
    return _release(version) >= (1, 9, 8)


def _release(version: str) -> tuple[int, ...]:
    """Return the release of sudo as numbers; empty for another program."""
    found = re.match(r"Sudo version ([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    return tuple(map(int, found.groups())) if found else ()


@dataclass(frozen=True)
class SudoPlan:
    """Changes in words, and the text to install; ``None`` if the file is right as it is."""

    changes: tuple[Change, ...]
    text: str | None


def plan_sudoers(desired: DesiredState, live: Entry | None, parsed: Callable[[], dict[str, Any] | None]) -> SudoPlan:
    """Compare the desired state with the installed file.

    live
        The entry at :data:`SUDOERS`.

    parsed
        Returns the file as cvtsudoers parses it, ``None`` if it does not parse. It is called only if the file is not
        already right, byte for byte.
    """
    text = render(desired)
    want_file = _file(text)
    if live == want_file:
        return SudoPlan((), None)
    tree = parsed() if live is not None else {}
    changes = []
    if tree is None:
        changes.append(Change("sudo", f"replaces {SUDOERS}, which does not parse"))
    elif isinstance(live, File) and replace(live, content=want_file.content) != want_file:
        changes.append(Change("sudo", f"restores owner and mode of {SUDOERS}: root:root {MODE:04o}"))
    for _, _, what, grants in sorted(_differences(desired, own_rules(tree or {}))):
        changes.append(Change("sudo", what, grants))
    if not changes:
        changes.append(
            Change("sudo", f"creates {SUDOERS}" if live is None else f"restores {SUDOERS}, which was edited")
        )
    return SudoPlan(tuple(changes), text)


def plan_closing(
    desired: DesiredState, before: DesiredState, live: Entry, parsed: Callable[[], dict[str, Any] | None]
) -> SudoPlan:
    """Compare the installed file with the most that may be allowed; a text of ``None`` means no file at all.

    before
        The desired state so far. Only a file that does not hold exactly that has to be parsed.

    live, parsed
        As for :func:`plan_sudoers`.
    """
    if says(desired, live):
        return SudoPlan((), None)
    have = rules(before)
    if not says(before, live):
        tree = parsed() if isinstance(live, File) else None
        if tree is None:
            return SudoPlan((Change("sudo", f"removes {SUDOERS}, which does not parse"),), None)
        have = own_rules(tree)
    calls_before = {rule.timeless for rule in have}
    # To ask for a password from now on gives nothing.
    calls_before |= {replace(rule, nopasswd=False) for rule in calls_before}
    staying = [
        access for access in desired.accesses if {rule.timeless for rule in rules_for(desired, access)} <= calls_before
    ]
    if len(staying) < len(desired.accesses):
        desired = replace(desired, accesses=tuple(staying))
        if says(desired, live):
            return SudoPlan((), None)
    changes = [Change("sudo", what, grants) for _, _, what, grants in sorted(_differences(desired, have))]
    return SudoPlan(tuple(changes) or (Change("sudo", f"restores {SUDOERS}, which was edited"),), render(desired))


def says(desired: DesiredState, live: Entry) -> bool:
    """Tell whether the installed file holds just the desired state, byte for byte."""
    return live == _file(render(desired))


def _file(text: str) -> File:
    return File(text.encode(), MODE)


def _differences(desired: DesiredState, parsed: Iterable[SudoRule]) -> set[tuple[str, str, str, tuple[str, ...]]]:
    """Return user, argument, sentence and grants of each difference."""
    found = set()
    want = {rule: access for access in desired.accesses for rule in rules_for(desired, access)}
    have = set(parsed)
    live_calls = {rule.timeless for rule in have}
    for rule in want.keys() - have:
        action = _action(rule)
        when = "always" if rule.windows == ALWAYS else wording.terms(desired.policy, want[rule].terms)
        if rule.timeless in live_calls:
            what = f"sets when {rule.user} may {action}: {when}"
        else:
            how = "without a password" if rule.nopasswd else "with their password"
            what = f"lets {rule.user} {action} {how}" + (f", {when}" if rule.windows != ALWAYS else "")
        found.add((rule.user, rule.argument, what, want[rule].grants))
    desired_calls = {(rule.user, rule.argument) for rule in want}
    vms = {vm: vm for vm in desired.policy.vms}
    vms.update({connection_file(vm): vm for vm in desired.policy.vms})
    vms.update({desired.policy.uri(vm): vm.name for vm in desired.policy.vms.values()})
    for rule in have - want.keys():
        if (rule.user, rule.argument) not in desired_calls:
            what = f"no longer lets {rule.user} {_action(rule)}"
            found.add((rule.user, rule.argument, what, desired.grants_of(rule.user, vms.get(rule.argument))))
    return found


def _action(rule: SudoRule) -> str:
    return f"open {rule.argument} confined" if rule.confined else f"start the viewer on {rule.argument}"
