"""Rules of other sudoers files that open the viewer or undo enforcement, and defaults that weaken our own rules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from spicegrants.core.paths import OPENER
from spicegrants.policy.model import Viewer
from spicegrants.schedule.intervals import NEVER, Windows
from spicegrants.sudo import bypasses, matching
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.matching import groups_of, words
from spicegrants.sudo.sudoers import ALIAS, DEFAULTS, joined, rules_in, specs

ADMIN, HARM, NOTE = "admin", "harm", "note"
_ROOT = ("root", "#0")
_AS_ROOT = ": as good as root"
# What of sudo's environment our own defaults leave as the site has it.
_WEAKENING = {*DEFAULTS[-1], "env_delete", "env_file", "restricted_env_file"}


class Foreign(NamedTuple):
    """A rule or setting outside our file that lets users do more than they should.

    who
        Users and groups, as sudoers spells them.

    what
        What they may do, in words.

    entry
        The entry of the parsed tree.

    kind
        :data:`ADMIN` if it makes somebody as good as root, :data:`HARM` if it opens or undoes something else,
        :data:`NOTE` if it is only worth knowing.
    """

    who: str
    what: str
    entry: Mapping[str, Any]
    kind: str

    def __str__(self) -> str:
        return f"{self.who} {self.what}"


class Site(NamedTuple):
    """The programs and group to protect, the machine they are on, and the users who are exempt.

    viewer
        Programs and group of the policy.

    gid
        GID of that group; ``None`` while it does not exist.

    host
        Name of this machine.

    admins
        Users and groups, as sudoers spells them, who may do all of this.
    """

    viewer: Viewer = Viewer()
    gid: int | None = None
    host: str = ""
    admins: Collection[str] = ()

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that open consoles."""
        return self.viewer.paths if self.viewer.confine is False else (*self.viewer.paths, OPENER)

    @property
    def groups(self) -> tuple[str, ...]:
        """All spellings of the viewer's group."""
        return (self.viewer.group,) if self.gid is None else (self.viewer.group, f"#{self.gid}")


def foreign(tree: dict[str, Any], granted: Iterable[SudoRule], site: Site) -> list[Foreign]:
    """Return the entries of the whole tree that let somebody start a viewer without a grant, or undo enforcement.

    Left out are rules that allow exactly what a granted rule allows, wherever they stand; those of root, who needs
    none; those for other hosts; and those of the site's admins.
    """
    # Hardly a site has rules for which this must be known.
    rules = functools.cache(lambda: joined(granted))
    known = functools.cache(lambda: {rule.timeless: rule.windows for rule in rules()})
    users = functools.cache(lambda: {rule.user for rule in rules()})
    found = []
    for spec, commands in specs(tree):
        if _granted(tuple(rules_in(spec, commands, tree)), known):
            continue
        who = _who(spec["User_List"], tree, site.admins)
        if who and matching.here(spec.get("Host_List", [{"hostname": "ALL"}]), tree, site.host):
            what = _what(spec, commands, tree, site, users)
            kind = ADMIN if what and what.endswith(_AS_ROOT) else HARM
            found += [Foreign(", ".join(who), what, spec, kind)] if what else []
    return [*found, *_defaults(tree, site)]


def _granted(found: Collection[SudoRule], known: Callable[[], Mapping[SudoRule, Windows]]) -> bool:
    """Tell whether rules allow nobody anything, at no time, that known rules do not allow."""
    return all(rule.user for rule in found) and all(
        any(low <= start and end <= high for low, high in known().get(rule.timeless, NEVER))
        for rule in found
        for start, end in rule.windows
    )


def _who(members: list[dict[str, Any]], tree: dict[str, Any], admins: Collection[str]) -> list[str]:
    """Return the spelled users of a rule without the admins; empty if none is left."""
    names = words(matching.members(members, tree))
    if not any(word not in (*_ROOT, *admins) and not word.startswith("!") for word in names):
        return []
    return [word for word in names if word not in admins]


def _what(
    spec: dict[str, Any],
    commands: dict[str, Any],
    tree: dict[str, Any],
    site: Site,
    granted: Callable[[], Collection[str]],
) -> str | None:
    """Return in words what a rule lets somebody do; ``None`` if it concerns nothing that is protected here."""
    listed, groups = commands["Commands"], groups_of(commands)
    runas = commands.get("runasusers") or ([] if groups else _by_default(tree))
    targets = ", ".join(words(runas)) or "themselves"
    sentence = f"may run {', '.join(words(listed))} as {targets}{' with group ' + ', '.join(groups) if groups else ''}"
    if matching.includes(runas, tree, _ROOT):
        if matching.everything(listed, tree):
            return f"{sentence}{_AS_ROOT}"
        found = [path for path in site.programs if matching.starts(listed, path, tree)]
        undone = _undone(listed, tree, site.viewer)
        if bypasses.SHELL in undone:
            return f"{sentence}, which includes {bypasses.SHELL}{_AS_ROOT}"
        found += undone
        found += _becoming(spec, listed, tree, granted)
    else:
        found = []
    if matching.includes(commands.get("runasgroups", []), tree, site.groups, groups=True):
        startable = [path for path in site.viewer.paths if matching.starts(listed, path, tree)]
        if not startable and matching.anything(listed, tree):
            startable = [f"a program with group {site.viewer.group}"]
        found += [what for what in startable if what not in found]
    found += _acting(spec, runas, listed, tree, granted)
    return f"{sentence}, which includes {', '.join(found)}" if found else None


def _by_default(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the users to run as for a rule that names none: root, unless ``runas_default`` says otherwise."""
    chosen, sure = "root", True
    for entry in tree.get("Defaults", []):
        for option in entry.get("Options", []):
            if "runas_default" in option and not entry.get("Binding"):
                chosen = str(option["runas_default"])
            elif "runas_default" in option:
                sure = False
    return [{"username": chosen}] if sure else [{"username": "root"}, {"username": chosen}]


def _becoming(
    spec: dict[str, Any], listed: list[dict[str, Any]], tree: dict[str, Any], granted: Callable[[], Collection[str]]
) -> list[str]:
    """Return, in words, the users with grants whom somebody can act as by having root run some calls."""
    if not any(_reaches(listed, call, tree) for call in bypasses.as_another("")):
        return []
    himself, found = words(spec["User_List"]), []
    for user in sorted(granted()):
        if himself != [user]:
            found += [call.does for call in bypasses.as_another(user) if _calls_it(listed, call, tree)][:1]
    return [*found[:3], f"{len(found) - 3} more such"] if len(found) > 3 else found


def _reaches(listed: list[dict[str, Any]], call: bypasses.Call, tree: dict[str, Any]) -> bool:
    """Tell whether a list of commands names one of a call's programs, with whatever arguments."""
    return any(matching.names(listed, tree, program) for program in call.programs)


def _undone(listed: list[dict[str, Any]], tree: dict[str, Any], viewer: Viewer) -> list[str]:
    possible = (call for call in _calls(viewer) if _calls_it(listed, call, tree))
    return list(dict.fromkeys(call.does for call in possible))


@functools.lru_cache(maxsize=4)
def _calls(viewer: Viewer) -> list[bypasses.Call]:
    return bypasses.as_root(viewer)


def _calls_it(listed: list[dict[str, Any]], call: bypasses.Call, tree: dict[str, Any]) -> bool:
    return any(matching.calls(listed, program, call.arguments, tree) for program in call.programs)


def _acting(
    spec: dict[str, Any],
    runas: list[dict[str, Any]],
    listed: list[dict[str, Any]],
    tree: dict[str, Any],
    granted: Callable[[], Collection[str]],
) -> list[str]:
    """Return, in words, the other users with grants whom a rule lets somebody run commands as."""
    if not runas or not any(_calls_it(listed, call, tree) for call in bypasses.shells()):
        return []
    himself = words(spec["User_List"])
    users = [user for user in sorted(granted()) if himself != [user] and matching.includes(runas, tree, (user,))]
    more = [f"{len(users) - 3} more"] if len(users) > 3 else []
    return [f"acting as {', '.join((*users[:3], *more))} with grants"] if users else []


def _defaults(tree: dict[str, Any], site: Site) -> Iterator[Foreign]:
    """Yield defaults that weaken ours for our commands, and those that are only worth knowing."""
    entries = tree.get("Defaults", [])
    ours = max((number for number, entry in enumerate(entries) if _is_ours(entry)), default=None)
    for number, entry in enumerate(entries):
        options = {key: value for option in entry.get("Options", []) for key, value in option.items()}
        bound = entry.get("Binding", [])
        binding = ", ".join(words(bound))
        if any("command" in member or "cmndalias" in member for member in bound):
            # Of defaults for commands the last hold.
            over = [name for name in options if name in _WEAKENING] if ours is not None and number > ours else []
            if over and any(matching.starts(bound, program, tree) for program in site.programs):
                yield Foreign(f"Defaults!{binding}", f"sets {', '.join(over)} for our commands as well", entry, HARM)
                continue
        if options.get("targetpw") is True:
            scope = f" for {binding}" if bound else ""
            what = f"targetpw{scope}: sudo asks for the password of the target user"
            yield Foreign("Defaults", what, entry, NOTE)


def _is_ours(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry is one of our file's; the same entry elsewhere does no harm."""
    names = {key for option in entry.get("Options", []) for key in option if key != "operation"}
    return entry.get("Binding") == [{"cmndalias": ALIAS}] and names in DEFAULTS
