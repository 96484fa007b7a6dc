"""The sudo policy as sudo itself sees it: for each user, from all sources, with file and line of each rule."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from spicegrants.core.errors import CommandFailed
from spicegrants.core.paths import NSSWITCH
from spicegrants.host import disk, run
from spicegrants.policy.compiler import DesiredState
from spicegrants.sudo import bypasses, listing, matching, other_rules, sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.listing import Entry
from spicegrants.sudo.live import tools
from spicegrants.sudo.matching import words
from spicegrants.sudo.other_rules import ADMIN, Foreign, Site

# With sudo-rs.
UNREAD = (
    "sudo-rs prints its rules in no form that can be read: nobody has looked at others' but by spice_sudoers.others"
)
CONFIGURATION = "/etc/sudo.conf"
# Whose members are likely to have rules, wherever these are from.
WELL_KNOWN = ("sudo", "wheel", "admin", "adm")
_CHECKED = re.compile(r"(/.*): parsed OK")
_INCLUDE = re.compile(r"\s*[@#]include(?:dir)?\s")
_COMMENT = re.compile(r"\s*(?:$|#(?![0-9]))")
# A user whom nobody has: what is said of it tells in which line the next entry stands.
_MARK = "spice-grant-line-"


def other_sources() -> list[str]:
    """Return the sources from which sudo takes rules besides ``/etc/sudoers`` and its included files."""
    found = []
    for line in _lines(NSSWITCH):
        name, _, sources = line.partition(":")
        if name.strip() == "sudoers":
            names = re.sub(r"\[[^]]*\]", " ", sources).split()
            found = [f"{source} ({NSSWITCH})" for source in dict.fromkeys(names) if source != "files"]
    for line in _lines(CONFIGURATION):
        words = line.split()
        standard = os.path.basename(words[2]) == "sudoers.so" and len(words) == 3 if len(words) > 2 else True
        if words[:1] == ["Plugin"] and not standard:
            found.append(f"{' '.join(words[1:])} ({CONFIGURATION})")
    return found


def _lines(path: str) -> list[str]:
    return [line for line in (line.partition("#")[0].strip() for line in _text(path).splitlines()) if line]


def _text(path: str) -> str:
    """Return the content of one of the site's files, which may be a link; empty if there is none."""
    return (disk.read_site(path) or b"").decode(errors="replace")


def entries(user: str) -> list[Entry] | None:
    """Return the entries that sudo lists for a user, from all sources; ``None`` if they cannot be read."""
    result = run.attempt(["sudo", "-n", "-ll", "-U", user])
    if result.returncode not in (0, 1):
        raise CommandFailed(f"sudo -ll ended with {result.returncode}: {result.stderr.strip()[:500]}")
    return listing.parse_listing(result.stdout, user)


def lets(user: str, runas: Sequence[str], call: bypasses.Call) -> bool | None:
    """Ask sudo whether it lets a user make a call; ``None`` if this machine has no such program.

    runas
        The options for user and group to run as. ``-g GROUP`` alone means the calling user, and sudo takes the one who
        asks for that user: here root.
    """
    path = next((path for path in call.programs if os.access(path, os.X_OK)), None)
    return None if path is None else tools.allows(user, [*runas, path, *call.arguments.split()])


def places(entries: Collection[Mapping[str, Any]]) -> list[str]:
    """Return the place of each of some entries of the whole tree, ``FILE:LINE``; empty if it cannot be determined.

    visudo names the files of the tree. Each is given to cvtsudoers once more, without the files that it includes, and
    with a mark before each statement: the entry after a mark in the parsed tree is the statement of that line.
    """
    found: dict[int, list[str]] = {}
    result = run.attempt(["visudo", "-c", "-f", tools.main()])
    for path in (match[1] for match in map(_CHECKED.fullmatch, result.stdout.splitlines()) if match):
        for line, statement in _statements(_text(path)):
            for number, entry in enumerate(entries):
                if entry == statement:
                    found.setdefault(number, []).append(f"{path}:{line}")
    return [" and ".join(dict.fromkeys(found.get(number, []))) for number in range(len(entries))]


def _statements(text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the entries and defaults of one file, each with the number of its line."""
    marked, continued = [], False
    for number, line in enumerate(text.splitlines(), 1):
        included = not continued and _INCLUDE.match(line)
        if not (continued or included or _COMMENT.match(line)):
            marked += [f"{_MARK}{number} ALL = /bin/true", f"Defaults:{_MARK}{number} lecture"]
        marked.append("" if included else line)
        continued = line.endswith("\\")
    result = run.attempt(["cvtsudoers", "-f", "json", "-"], text="\n".join([*marked, ""]))
    tree = tools.parsed(result.stdout) if result.returncode == 0 else {}
    for kind, members in (("User_Specs", "User_List"), ("Defaults", "Binding")):
        line = "1"
        for statement in tree.get(kind, []):
            name = next((member.get("username") or "" for member in statement.get(members, [])), "")
            if name.startswith(_MARK):
                line = name[len(_MARK) :]
            else:
                yield line, statement


class ExcessRule(NamedTuple):
    """A rule that lets users do more than they should.

    rule
        The rule, and what it lets the user do.

    where
        ``FILE:LINE``, or sudo's name of an entry from another source; empty if it cannot be determined.

    listed
        The entry as sudo printed it, if it is from another source.
    """

    rule: Foreign
    where: str
    listed: str = ""


def users(site: Site, granted: Iterable[str], tree: Mapping[str, Any]) -> list[str]:
    """Return the users to ask about: users with grants, people's accounts, and those named by the tree's rules.

    Of a name service that does not enumerate its accounts, only users are included who have grants or are in a rule or
    group.
    """
    names = set(granted) | {entry.pw_name for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 65000}
    groups = set(WELL_KNOWN)
    for spec, _ in sudoers.specs(tree):
        for member in matching.members(spec["User_List"], tree):
            names.add(member.get("username", ""))
            groups.add(member.get("usergroup", ""))
    for name in groups:
        with contextlib.suppress(KeyError):
            names.update(grp.getgrnam(name).gr_mem)
    return sorted(name for name in names if _account(name) and not accepted(name, site))


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def accepted(user: str, site: Site) -> bool:
    """Tell whether a user is root or one of the site's admins, by name, UID or group."""
    account = _account(user)
    return account is not None and (account.pw_uid == 0 or not _spellings(account).isdisjoint(site.admins))


def _spellings(account: pwd.struct_passwd) -> set[str]:
    """Return all spellings by which sudoers may mean a user, except those that only the name service knows."""
    spellings = {"ALL", account.pw_name, f"#{account.pw_uid}"}
    for gid in os.getgrouplist(account.pw_name, account.pw_gid):
        spellings.add(f"%#{gid}")
        with contextlib.suppress(KeyError):
            spellings.add(f"%{grp.getgrgid(gid).gr_name}")
    return spellings


def excess_rules(
    user: str, granted: Collection[SudoRule], site: Site, tree: Mapping[str, Any]
) -> list[ExcessRule] | None:
    """Return the rules by which sudo lets users do more than they should; ``None`` if its list cannot be read.

    tree
        The tree of the files, for file and line.
    """
    listed = entries(user)
    if listed is None:
        return None
    found = []
    for entry in listed:
        for rule in other_rules.foreign({"User_Specs": [entry.spec]}, granted, site._replace(admins=())):
            found.append((rule, entry))
    if not found:
        return []
    known = list(_of(user, tree))
    where = places([spec for spec, _ in known])
    return [
        ExcessRule(rule, entry.origin, entry.text)
        if entry.origin
        else ExcessRule(
            rule,
            " and ".join(at for at, (_, spelling) in zip(where, known) if at and spelling == entry.spelling)
            or entry.file,
        )
        for rule, entry in found
    ]


def _of(user: str, tree: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], tuple[list[str], ...]]]:
    """Return the entries of a tree that may apply to a user, each with what it allows."""
    account = _account(user)
    spellings = _spellings(account) if account else set()
    for spec, commands in sudoers.specs(tree):
        members = words(matching.members(spec["User_List"], tree))
        if any(member in spellings or member.startswith(("+", "%:")) for member in members):
            yield spec, matching.spell_entry(commands, tree, user)


def answers(user: str, site: Site) -> list[str]:
    """Ask sudo about each call that no rule should allow; return those that it lets a user make, in words.

    No text is parsed: the exit code of ``sudo -l`` is the answer.
    """
    group, viewer = site.viewer.group, site.viewer
    trials: list[tuple[tuple[str, ...], str, bypasses.Call]]
    trials = [(("-u", "root"), "as root", call) for call in bypasses.trial_calls(viewer)]
    # sudo takes who asks, which is root, for the calling user: alone, -g asks for rules that name a group only.
    for runas in (("-g", group), ("-u", user, "-g", group)) if site.gid is not None else ():
        trials += [(runas, f"with group {group}", call) for call in bypasses.with_group(viewer)]
    found = [f"{call.does} {how}" for runas, how, call in trials if lets(user, runas, call)]
    return list(dict.fromkeys(found))


def site(desired: DesiredState) -> Site:
    """Return the programs and group to protect on this machine, with its name and admins."""
    return Site(desired.policy.viewer, desired.gid, os.uname().nodename, desired.policy.sudo.admins)


def sentences(found: Sequence[Foreign], everywhere: bool) -> list[tuple[str, str]]:
    """Return the kind and sentence of each rule found in files, with its line.

    everywhere
        Whether to name the line also of rules that make somebody as good as root. Nearly every site has such a rule,
        and looking for its line takes longer than everything else.
    """
    to_place = [rule for rule in found if everywhere or rule.kind != ADMIN]
    where = iter(places([rule.entry for rule in to_place]) if to_place else ())
    pairs = []
    for rule in found:
        place = next(where) if rule in to_place else ""
        pairs.append((rule.kind, f"{rule} ({place})" if place else str(rule)))
    return pairs


def beyond_files(
    desired: DesiredState, site: Site, granted: Callable[[], Iterable[SudoRule]], tree: Mapping[str, Any], strict: bool
) -> tuple[list[str], list[str]]:
    """Return errors and warnings about sudo's sources other than files.

    sudo is asked only with a strict policy: it takes one call of sudo for each user.
    """
    sources = other_sources()
    if not sources:
        return [], []
    if not strict:
        names = ", ".join(sources)
        return [], [f"sudo takes rules from {names} as well: nobody has looked there but by spice_sudoers.others"]
    errors, rules = [], tuple(granted())
    for user in users(site, {access.user for access in desired.accesses}, tree):
        found = excess_rules(user, rules, site, tree)
        # What stands in a known line has been found there.
        errors += _rule_sentences(
            user, None if found is None else [rule for rule in found if rule.listed or ":" not in rule.where]
        )
    return errors, []


def differences(desired: DesiredState, names: Iterable[str]) -> list[str]:
    """Return what sudo lets users do beyond the grants, by its answers and its list; admins are left out."""
    legible = not desired.inventory.sudo_rs
    place, tree, rules = site(desired), tools.tree() if legible else {}, sudoers.rules(desired)
    found = []
    for user in names:
        if not accepted(user, place):
            found += [f"sudo lets {user}: {what}" for what in answers(user, place)]
            found += _rule_sentences(user, excess_rules(user, rules, place, tree) if legible else [])
    return found


def _rule_sentences(user: str, found: list[ExcessRule] | None) -> list[str]:
    if found is None:
        return [f"what sudo lets {user} do cannot be read from sudo -ll -U {user}"]
    return [f"another sudo rule: {rule}{f' ({where})' if where else ''}" for rule, where, _ in found]
