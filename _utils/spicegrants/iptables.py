"""The firewall layer for iptables: chains of our own in the table ``filter``, a rule for each grant, IPv4 and IPv6.

What is wanted and what iptables-save(8) prints are both turned into :class:`Rule` and compare as data. A grant's rule
returns: what else the site's own rules say of the packet stays theirs.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spicegrants import guard
from spicegrants.compile import Wanted
from spicegrants.errors import LiveStateUnreadable
from spicegrants.guard import DRAIN, LOG_PREFIX, PASS, Element, FirewallPlan, Key, guards_servers, wanted_elements
from spicegrants.plan import Change

GUARD, DENY, OUTPUT, FORWARD = "SPICE-GRANT", "SPICE-GRANT-DENY", "SPICE-GRANT-OUT", "SPICE-GRANT-FWD"
CHAINS = (OUTPUT, FORWARD, GUARD, DENY)
# Built-in chain, and the chain of ours that must be called from its first rule.
HOOKS = {"OUTPUT": OUTPUT, "FORWARD": FORWARD}
# Where refusals are told to whoever listens: netlink group of the NFLOG target.
NFLOG_GROUP = 20002
# Options that only load what a following one needs, or say what is said by another word.
_SILENT = {"-m", "--match"}
_LIMIT = ("-m", "limit", "--limit", "30/min", "--limit-burst", "30")
_FAMILIES = {4: "IPv4", 6: "IPv6"}

Words = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A rule of iptables, in its own words, without its chain."""

    words: Words
    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)

    @property
    def normal(self) -> tuple[tuple[str, ...], ...]:
        """Return what the rule says, in a form that compares: each option with its values, sorted."""
        options: list[list[str]] = []
        negated = False
        for word in self.words:
            if word == "!":
                negated = True
            elif word.startswith("-") and len(word) > 1:
                options.append(["!" * negated + word])
                negated = False
            elif options:
                options[-1].append(_host(word) if options[-1][0] in ("-d", "-s") else word)
            else:
                options.append([word])
        return tuple(sorted(tuple(option) for option in options if option[0] not in _SILENT))

    @property
    def target(self) -> str | None:
        """Return where the rule sends a packet."""
        return next((value[0] for option, *value in self.normal if option in ("-j", "-g") and value), None)


Table = Mapping[str, list[Rule]]


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text


def parse(text: str) -> dict[str, list[Rule]]:
    """Read what ``iptables-save -c -t filter`` printed: rules by chain.

    Raises :class:`~spicegrants.errors.LiveStateUnreadable` if it is not what that program prints.
    """
    chains: dict[str, list[Rule]] = {}
    for line in text.splitlines():
        if line.startswith(":"):
            chains[line[1:].split()[0]] = []
        elif line.startswith("["):
            try:
                counters, _, chain, *words = shlex.split(line)
                packets, octets = map(int, counters.strip("[]").split(":"))
                chains[chain].append(Rule(tuple(words), packets, octets))
            except (ValueError, KeyError) as error:
                raise LiveStateUnreadable(f"iptables-save printed what cannot be read ({error}): {line}") from error
        elif line and not line.startswith("#") and line not in ("*filter", "COMMIT"):
            raise LiveStateUnreadable(f"iptables-save printed what cannot be read: {line}")
    return chains


def _grant(key: Key, element: Element) -> Rule:
    network = f"{key.address}/{ipaddress.ip_address(key.address).max_prefixlen}"
    words = ["-d", network, "-p", "tcp", "-m", "tcp", "--dport", f"{key.port}"]
    words += ["-m", "owner", "--uid-owner", f"{key.uid}", "--gid-owner", f"{key.gid}"]
    if element.verdict == DRAIN:
        words += ["-m", "conntrack", "--ctstate", "ESTABLISHED"]
    return Rule((*words, "-m", "comment", "--comment", element.vm, "-j", "RETURN"))


def _element(rule: Rule) -> tuple[Key, Element] | None:
    """Return the key and element that a grant's rule holds; ``None`` if it is no such rule."""
    said = {option: value[0] for option, *value in rule.normal if value}
    try:
        address = ipaddress.ip_network(said["-d"])
        key = Key(int(said["--uid-owner"]), int(said["--gid-owner"]), str(address[0]), int(said["--dport"]))
        element = Element(DRAIN if "--ctstate" in said else PASS, said["--comment"], rule.packets, rule.bytes)
    except (KeyError, ValueError):
        return None
    return (key, element) if _grant(key, element).normal == rule.normal else None


def elements(table: Table) -> dict[Key, Element]:
    """Return the elements that the guard's chain holds."""
    return dict(filter(None, map(_element, table.get(GUARD, ()))))


def _frame(wanted: Wanted, version: int) -> dict[str, list[Rule]]:
    """Return the chains and rules that there must be, without those of the grants."""
    ports = [f"{low}" if low == high else f"{low}:{high}" for low, high in wanted.policy.guarded_ports()]
    guarded = [("-p", "tcp", "-m", "tcp", "--dport", port) for port in ports]
    if guards_servers(wanted):
        prefix = {4: 32, 6: 128}[version]
        known = guard.server_addresses(wanted, version)
        guarded = [("-d", f"{address}/{prefix}", *words) for address in known for words in guarded]
    return {
        OUTPUT: [Rule((*words, "-g", GUARD)) for words in guarded],
        FORWARD: [Rule((*words, "-g", DENY)) for words in guarded],
        GUARD: [
            # Whatever has an owner and was not let pass above is denied, established or not.
            Rule(("-m", "owner", "--socket-exists", "-g", DENY)),
            # What has no owner is the teardown of a socket that is gone already.
            Rule(("-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "RETURN")),
            Rule(("-g", DENY)),
        ],
        DENY: [
            Rule(("-j", "NFLOG", "--nflog-group", f"{NFLOG_GROUP}", "--nflog-size", "64")),
            Rule((*_LIMIT, "-j", "LOG", "--log-prefix", LOG_PREFIX, "--log-level", "6", "--log-uid")),
            Rule(("-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")),
        ],
    }


def call(chain: str) -> Words:
    """Return the words of the rule by which a built-in chain calls one of ours."""
    return ("-p", "tcp", "-j", chain)


def _calls(table: Table) -> list[tuple[str, Rule]]:
    """Return the rules of other chains that call one of ours."""
    return [(chain, rule) for chain, rules in table.items() if chain not in CHAINS for rule in rules if _is_call(rule)]


def _is_call(rule: Rule) -> bool:
    return rule.target in CHAINS


def held(table: Table) -> bool:
    """Tell whether anything of ours is in a table."""
    return any(chain in table for chain in CHAINS)


def plan(wanted: Wanted, live: Mapping[int, Table]) -> FirewallPlan:
    """Compare what is wanted with the tables of both IP versions.

    The plan's commands are what iptables-restore(8) must get, by IP version; each takes effect as one. If chains and
    rules are as they must be apart from the grants, only rules of grants are changed, and all others keep their
    counters. Otherwise our chains are filled anew.
    """
    want, frames = wanted_elements(wanted), {version: _frame(wanted, version) for version in live}
    have: dict[Key, Element] = {}
    wrong: list[Change] = []
    commands = {}
    fresh = not any(held(table) for table in live.values())
    for version, table in live.items():
        of_version = {key: element for key, element in want.items() if key.version == version}
        found = elements(table)
        have.update(found)
        complaints = _complaints(frames[version], table, _FAMILIES[version])
        wrong += complaints
        if complaints:
            commands[version] = _filled(frames[version], of_version, table)
        elif lines := _changed(of_version, found, table):
            commands[version] = lines
    start = [guard.guarding(wanted)] if fresh else wrong
    texts = {version: "\n".join(("*filter", *lines, "COMMIT", "")) for version, lines in commands.items()}
    changes = (*start, *guard.element_changes(wanted, want, have))
    return FirewallPlan(changes, texts)


def _complaints(frame: Mapping[str, list[Rule]], table: Table, family: str) -> list[Change]:
    """Say in words how chains and rules, apart from the grants, are not as they must be."""
    said = []
    for chain, rules in frame.items():
        if chain not in table:
            said.append(f"restores chain {chain} ({family}), which was missing")
            continue
        grants, rest = _told_apart(table[chain]) if chain == GUARD else ([], table[chain])
        want, have = [rule.normal for rule in rules], [rule.normal for rule in rest]
        if want != have or table[chain][: len(grants)] != grants:
            said.append(f"restores chain {chain} ({family}): {guard.rule_words(want, have)}")
    for hook, chain in HOOKS.items():
        first = [Rule(call(chain)).normal]
        if [rule.normal for rule in table.get(hook, ())[:1]] != first:
            said.append(f"makes the guard the first rule of {hook} ({family})")
    misplaced = [call for call in _calls(table) if not _is_first(call, table)]
    if misplaced:
        said.append(f"removes {len(misplaced)} rule(s) that call the guard from the wrong place ({family})")
    return [Change("firewall", what) for what in said]


def _is_first(call_: tuple[str, Rule], table: Table) -> bool:
    chain, rule = call_
    return chain in HOOKS and rule is table[chain][0] and rule.target == HOOKS[chain]


def _told_apart(rules: Iterable[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Return the rules of grants, one for each key, and the others."""
    grants: dict[Key, Rule] = {}
    rest = []
    for rule in rules:
        found = _element(rule)
        if found is None or grants.setdefault(found[0], rule) is not rule:
            rest.append(rule)
    return list(grants.values()), rest


def _filled(frame: Mapping[str, list[Rule]], want: Mapping[Key, Element], table: Table) -> list[str]:
    """Return the lines that make all chains and rules anew."""
    lines = [f":{chain} - [0:0]" for chain in CHAINS]
    lines += [_line("-D", chain, rule.words) for chain, rule in _calls(table)]
    lines += [_line("-I", hook, call(chain)) for hook, chain in HOOKS.items()]
    lines += [_line("-A", GUARD, _grant(key, want[key]).words) for key in sorted(want)]
    return lines + [_line("-A", chain, rule.words) for chain, rules in frame.items() for rule in rules]


def _changed(want: Mapping[Key, Element], have: Mapping[Key, Element], table: Table) -> list[str]:
    """Return the lines that change rules of grants only."""
    lines = []
    for rule in table.get(GUARD, ()):
        found = _element(rule)
        if found is not None and not guard.same(want.get(found[0]), found[1]):
            lines.append(_line("-D", GUARD, rule.words))
    new = [key for key in sorted(want, reverse=True) if not guard.same(want[key], have.get(key))]
    return lines + [_line("-I", GUARD, _grant(key, want[key]).words) for key in new]


def _line(verb: str, chain: str, words: Words) -> str:
    return " ".join((verb, chain, *(_quoted(word) for word in words)))


def _quoted(word: str) -> str:
    """Quote a word as iptables-restore reads it: in double quotes, a backslash before what ends them."""
    if word and not set(word) & set("\"'\\ \t"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def stored(wanted: Wanted, version: int) -> str:
    """Return what iptables-restore must get after a boot, when nothing is there: our chains, not yet called."""
    want = {key: element for key, element in wanted_elements(wanted).items() if key.version == version}
    lines = [line for line in _filled(_frame(wanted, version), want, {}) if not line.startswith("-I")]
    return "\n".join(("*filter", *lines, "COMMIT", ""))


def removal(table: Table) -> str:
    """Return what iptables-restore must get to take all of ours away."""
    lines = [_line("-D", chain, rule.words) for chain, rule in _calls(table)]
    present = [chain for chain in CHAINS if chain in table]
    lines += [f"-F {chain}" for chain in present] + [f"-X {chain}" for chain in present]
    return "\n".join(("*filter", *lines, "COMMIT", ""))
