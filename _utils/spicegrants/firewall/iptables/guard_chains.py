"""The guard's chains for iptables: chains of our own in the table ``filter``, one rule for each grant, IPv4 and IPv6.

The desired state and the output of iptables-save(8) are both turned into :class:`SavedRule` and compared as data. A
grant's rule returns, so the site's own rules still decide about the packet afterwards.
"""

from __future__ import annotations

import functools
import ipaddress
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from spicegrants.core.changes import Change, rule_words
from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall import guard
from spicegrants.firewall.guard import DRAIN, PASS, Element, FirewallPlan, Key, desired_chains, desired_elements
from spicegrants.firewall.iptables import deny, time_chains
from spicegrants.firewall.iptables.deny import DENY, LOG
from spicegrants.policy.access import Times
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses

GUARD, OUTPUT, FORWARD = "SPICE-GRANT", "SPICE-GRANT-OUT", "SPICE-GRANT-FWD"
CHAINS = (OUTPUT, FORWARD, GUARD, DENY, deny.FORWARDED, LOG)
# Built-in chain, and the chain of ours that must be called from its first rule.
HOOKS = {"OUTPUT": OUTPUT, "FORWARD": FORWARD}
# Options that only load what a following one needs, or say what is said by another word.
_SILENT = {"-m", "--match"}
_QUOTING = set("\"'\\")
_FAMILIES = {4: "IPv4", 6: "IPv6"}

Words = tuple[str, ...]


@dataclass(frozen=True)
class SavedRule:
    """One rule of iptables in its own words, without its chain."""

    words: Words
    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)

    @functools.cached_property
    def normal(self) -> tuple[tuple[str, ...], ...]:
        """Return the rule in a form that compares: each option with its values, sorted."""
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

    @functools.cached_property
    def target(self) -> str | None:
        """Return the target of the rule, if it has one."""
        return next((value[0] for option, *value in self.normal if option in ("-j", "-g") and value), None)


Table = Mapping[str, list[SavedRule]]


def is_ours(chain: str) -> bool:
    """Tell whether a chain is one of ours."""
    return chain in CHAINS or time_chains.is_timed(chain)


# The same few addresses, over and over.
@functools.lru_cache(maxsize=1024)
def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return text


def parse_saved_rules(text: str) -> dict[str, list[SavedRule]]:
    """Return the rules by chain in the output of ``iptables-save -c -t filter``.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if the text is no such output.
    """
    chains: dict[str, list[SavedRule]] = {}
    for line in text.splitlines():
        if line.startswith(":"):
            chains[line[1:].split()[0]] = []
        elif line.startswith("["):
            try:
                # The shell's rules take their time, and most lines need none of them.
                counters, _, chain, *words = shlex.split(line) if _QUOTING & set(line) else line.split()
                packets, octets = map(int, counters.strip("[]").split(":"))
                chains[chain].append(SavedRule(tuple(words), packets, octets))
            except (ValueError, KeyError) as error:
                raise LiveStateUnreadable(f"iptables-save printed what cannot be read ({error}): {line}") from error
        elif line and not line.startswith("#") and line not in ("*filter", "COMMIT"):
            raise LiveStateUnreadable(f"iptables-save printed what cannot be read: {line}")
    return chains


def _grant(key: Key, element: Element) -> SavedRule:
    network = f"{key.address}/{ipaddress.ip_address(key.address).max_prefixlen}"
    words = ["-d", network, "-p", "tcp", "-m", "tcp", "--dport", f"{key.port}"]
    words += ["-m", "owner", "--uid-owner", f"{key.uid}", "--gid-owner", f"{key.gid}"]
    if element.verdict == DRAIN:
        words += ["-m", "conntrack", "--ctstate", "ESTABLISHED"]
    # A chain that is entered by a goto returns as if this one did.
    verdict = ("-j", "RETURN") if element.verdict in (PASS, DRAIN) else ("-g", time_chains.chain(element.verdict))
    return SavedRule((*words, "-m", "comment", "--comment", element.vm or "", *verdict))


def _element(rule: SavedRule, names: Mapping[str, str]) -> tuple[Key, Element] | None:
    """Return the key and element of a grant's rule; ``None`` for any other rule.

    names
        Names of time chains by their names in iptables.
    """
    options = {option: value[0] for option, *value in rule.normal if value}
    try:
        address = ipaddress.ip_network(options["-d"])
        key = Key(int(options["--uid-owner"]), int(options["--gid-owner"]), str(address[0]), int(options["--dport"]))
        verdict = names.get(options.get("-g", ""), DRAIN if "--ctstate" in options else PASS)
        element = Element(verdict, options["--comment"], rule.packets, rule.bytes)
    except (KeyError, ValueError):
        return None
    return (key, element) if _grant(key, element).normal == rule.normal else None


def elements(table: Table, known: Iterable[str] = ()) -> dict[Key, Element]:
    """Return the elements that the guard's chain holds.

    known
        Names of time chains, for those whose own rules do not name them any more.
    """
    names = _names(table, known)
    return dict(filter(None, (_element(rule, names) for rule in table.get(GUARD, ()))))


def chains(table: Table, known: Iterable[str] = ()) -> dict[str, Times | None]:
    """Return the time chains by name; ``None`` for one with other rules.

    known
        As for :func:`elements`.
    """
    found = {}
    for chain, name in _names(table, known).items():
        if chain in table:
            own_name, times = _name_and_times(table[chain])
            found[name] = times if own_name == name else None
    return found


def _names(table: Table, known: Iterable[str]) -> dict[str, str]:
    """Return the names of time chains by their names in iptables, which some chains do not state otherwise."""
    names = {time_chains.chain(name): name for name in known}
    for chain in table:
        if time_chains.is_timed(chain) and chain not in names:
            name, _ = _name_and_times(table[chain])
            names[chain] = name if name and time_chains.chain(name) == chain else chain
    return names


def _name_and_times(rules: Iterable[SavedRule]) -> tuple[str | None, Times | None]:
    return time_chains.parse_chain([rule.normal for rule in rules], DENY)


def _frame(desired: DesiredState, version: int) -> dict[str, list[SavedRule]]:
    """Return the desired chains and rules, without those of the grants."""
    ports = [f"{low}" if low == high else f"{low}:{high}" for low, high in desired.policy.guarded_ports()]
    guarded: list[Words] = [("-p", "tcp", "-m", "tcp", "--dport", port) for port in ports]
    if guards_servers(desired):
        prefix = {4: 32, 6: 128}[version]
        known = server_addresses(desired, version)
        guarded = [("-d", f"{address}/{prefix}", *words) for address in known for words in guarded]
    return {
        OUTPUT: [SavedRule((*words, "-g", GUARD)) for words in guarded],
        FORWARD: [SavedRule((*words, "-g", deny.FORWARDED)) for words in guarded],
        GUARD: [
            # Whatever has an owner and was not let pass above is denied, established or not.
            SavedRule((*deny.OWNED, "-g", DENY)),
            # What has no owner is the teardown of a socket that is gone already.
            SavedRule(("-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "RETURN")),
            SavedRule(("-g", DENY)),
        ],
        **{chain: [SavedRule(words) for words in rules] for chain, rules in deny.chains().items()},
    }


def call(chain: str) -> Words:
    """Return the words of the rule by which a built-in chain jumps to one of ours."""
    return ("-p", "tcp", "-j", chain)


def _calls(table: Table) -> list[tuple[str, SavedRule]]:
    """Return the rules of other chains that jump to one of ours."""
    return [(chain, rule) for chain, rules in table.items() if not is_ours(chain) for rule in rules if _is_call(rule)]


def _is_call(rule: SavedRule) -> bool:
    return rule.target is not None and is_ours(rule.target)


def holds_ours(table: Table) -> bool:
    """Tell whether a table holds anything of ours."""
    return any(map(is_ours, table))


def plan_guard_chains(desired: DesiredState, live: Mapping[int, Table], giving: bool = True) -> FirewallPlan:
    """Compare the desired state with the tables of both IP versions.

    giving
        Whether rules of grants may be added. Otherwise rules only go, or are open less often.

    The plan's commands are the input of iptables-restore(8), by IP version; each is applied as a whole. If chains and
    rules are as desired apart from the grants, only rules of grants change, and all others keep their counters.
    Otherwise our chains are filled anew.
    """
    want, timed = desired_elements(desired), desired_chains(desired)
    if not giving:
        # Neither the names of chains nor their times matter for which doors there are.
        live_keys = {key for table in live.values() for key in elements(table)}
        want = {key: element for key, element in want.items() if key in live_keys}
    limits = [SavedRule(words) for words in deny.limits(desired)]
    have: dict[Key, Element] = {}
    wrong: list[Change] = []
    altered: list[Change] = []
    commands = {}
    fresh = not any(holds_ours(table) for table in live.values())
    for version, table in live.items():
        of_version = _of_version(want, version)
        times = _times(of_version, timed)
        names = _names(table, times)
        live_elements, live_times = elements(table, times), chains(table, times)
        have.update(live_elements)
        frame = _frame(desired, version)
        unlimited = [rule.normal for rule in table.get(LOG, ())] != [rule.normal for rule in limits]
        complaints = _complaints(frame, table, names, _FAMILIES[version])
        wrong += complaints
        altered += guard.chain_changes(desired, times, live_times, live_elements)
        if complaints:
            commands[version] = _fill_lines({**frame, LOG: limits}, of_version, times, table)
            continue
        lines = _change_lines(of_version, live_elements, times, live_times, table)
        lines += _flush_lines(LOG, limits) if unlimited else []
        if lines:
            commands[version] = lines
    start = [guard.guarding(desired)] if fresh else wrong
    texts = {version: "\n".join(("*filter", *lines, "COMMIT", "")) for version, lines in commands.items()}
    # What both versions hold is said once.
    changes = (*start, *dict.fromkeys(altered), *guard.element_changes(desired, want, have))
    # Limits come and go with their users' grants; by themselves they change only if somebody altered them.
    alone = texts and not changes
    return FirewallPlan((Change("firewall", f"restores chain {LOG}"),) if alone else changes, texts)


def plan_closing(
    desired: DesiredState | None, live: Mapping[int, Table], doors: Collection[tuple[int, str, int]] | None
) -> FirewallPlan:
    """Return the plan that removes rules of grants and leaves all else as it is.

    desired
        The desired state: what may stay open at most; ``None`` for nothing.

    doors
        UID, address and port of the rules that may go; ``None`` for all.
    """
    want, timed = (desired_elements(desired), desired_chains(desired)) if desired else ({}, {})
    removals: dict[Key, Element] = {}
    becomes: dict[Key, Element] = {}
    texts = {}
    for version, table in live.items():
        have, live_times = elements(table), chains(table)
        less, rest = guard.elements_to_remove(want, have, doors)
        if less:
            remaining = {**{key: element for key, element in have.items() if key not in less}, **rest}
            known = {**live_times, **_times(rest, timed)}
            times = {name: known[name] for name in known if name in {element.verdict for element in remaining.values()}}
            lines = _change_lines(remaining, have, times, live_times, table)
            limits = [SavedRule(words) for words in deny.limits(desired)] if desired else []
            texts[version] = "\n".join(
                ("*filter", *lines, *(_flush_lines(LOG, limits) if desired else ()), "COMMIT", "")
            )
            removals.update(less)
            becomes.update(rest)
    return FirewallPlan(guard.removal_changes(desired, removals, becomes), texts)


def _of_version(want: Mapping[Key, Element], version: int) -> dict[Key, Element]:
    return {key: element for key, element in want.items() if key.version == version}


def _times(want: Mapping[Key, Element], timed: Mapping[str, Times]) -> dict[str, Times]:
    """Return the time chains that elements lead to."""
    used = {element.verdict for element in want.values()}
    return {name: time_chains.representable(times) for name, times in timed.items() if name in used}


def _complaints(
    frame: Mapping[str, list[SavedRule]], table: Table, names: Mapping[str, str], family: str
) -> list[Change]:
    """Return the changes in words for chains and rules that differ from the desired ones, apart from the grants."""
    sentences = []
    for chain, rules in frame.items():
        if chain not in table:
            sentences.append(f"restores chain {chain} ({family}), which was missing")
            continue
        grants, rest = _split_grants(table[chain], names) if chain == GUARD else ([], table[chain])
        want, have = [rule.normal for rule in rules], [rule.normal for rule in rest]
        if want != have or table[chain][: len(grants)] != grants:
            sentences.append(f"restores chain {chain} ({family}): {rule_words(want, have)}")
    for hook, chain in HOOKS.items():
        first = [SavedRule(call(chain)).normal]
        if [rule.normal for rule in table.get(hook, ())[:1]] != first:
            sentences.append(f"makes the guard the first rule of {hook} ({family})")
    misplaced = [call for call in _calls(table) if not _is_first(call, table)]
    if misplaced:
        sentences.append(f"removes {len(misplaced)} rule(s) that call the guard from the wrong place ({family})")
    return [Change("firewall", what) for what in sentences]


def _is_first(call_: tuple[str, SavedRule], table: Table) -> bool:
    chain, rule = call_
    return chain in HOOKS and rule is table[chain][0] and rule.target == HOOKS[chain]


def _split_grants(rules: Iterable[SavedRule], names: Mapping[str, str]) -> tuple[list[SavedRule], list[SavedRule]]:
    """Return the rules of grants, one for each key, and separately all other rules."""
    grants: dict[Key, SavedRule] = {}
    rest = []
    for rule in rules:
        found = _element(rule, names)
        if found is None or grants.setdefault(found[0], rule) is not rule:
            rest.append(rule)
    return list(grants.values()), rest


def _fill_lines(
    frame: Mapping[str, list[SavedRule]], want: Mapping[Key, Element], times: Mapping[str, Times], table: Table
) -> list[str]:
    """Return the lines that create all chains and rules anew."""
    lines = [f":{chain} - [0:0]" for chain in CHAINS]
    lines += [line for name in times for line in _time_chain_lines(name, times[name])]
    lines += [_line("-D", chain, rule.words) for chain, rule in _calls(table)]
    lines += [_line("-I", hook, call(chain)) for hook, chain in HOOKS.items()]
    lines += [_line("-A", GUARD, _grant(key, want[key]).words) for key in sorted(want)]
    lines += [_line("-A", chain, rule.words) for chain, rules in frame.items() for rule in rules]
    return lines + _delete_lines(times, table)


def _time_chain_lines(name: str, times: Times) -> list[str]:
    """Return the lines that fill a time chain, whether it exists or not."""
    chain = time_chains.chain(name)
    return [f":{chain} - [0:0]", *(_line("-A", chain, words) for words in time_chains.rules(name, times, DENY))]


def _flush_lines(chain: str, rules: Iterable[SavedRule]) -> list[str]:
    """Return the lines that fill a chain anew."""
    return [f":{chain} - [0:0]", *(_line("-A", chain, rule.words) for rule in rules)]


def _delete_lines(times: Iterable[str], table: Table) -> list[str]:
    """Return the lines that delete time chains that are not desired: one may lead to another."""
    staying = {time_chains.chain(name) for name in times}
    superfluous = [chain for chain in table if time_chains.is_timed(chain) and chain not in staying]
    return [f"{verb} {chain}" for verb in ("-F", "-X") for chain in superfluous]


def _change_lines(
    want: Mapping[Key, Element],
    have: Mapping[Key, Element],
    times: Mapping[str, Times | None],
    live_times: Mapping[str, Times | None],
    table: Table,
) -> list[str]:
    """Return the lines that change only rules of grants and time chains.

    The targets of grants are added before them, and removed after them. ``None`` for times leaves a chain as it is.
    """
    names = _names(table, times)
    new_times = {
        name: windows for name, windows in times.items() if windows is not None and windows != live_times.get(name)
    }
    lines = [line for name, windows in new_times.items() for line in _time_chain_lines(name, windows)]
    for rule in table.get(GUARD, ()):
        found = _element(rule, names)
        if found is not None and not guard.same(want.get(found[0]), found[1]):
            lines.append(_line("-D", GUARD, rule.words))
    new = [key for key in sorted(want, reverse=True) if not guard.same(want[key], have.get(key))]
    lines += [_line("-I", GUARD, _grant(key, want[key]).words) for key in new]
    return lines + _delete_lines(times, table)


def _line(verb: str, chain: str, words: Words) -> str:
    return " ".join((verb, chain, *(_quoted(_normal_word(word, after)) for word, after in zip(words, ("", *words)))))


def _normal_word(word: str, after: str) -> str:
    return guard.number(int(word)) if after in ("--uid-owner", "--gid-owner") and word.isdecimal() else word


def _quoted(word: str) -> str:
    """Quote a word for iptables-restore: in double quotes, with a backslash before characters that would end them."""
    if word and not set(word) & set("\"'\\ \t"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def stored(desired: DesiredState, version: int) -> str:
    """Return the input of iptables-restore after a boot, when nothing is there: our chains, not yet called."""
    want = _of_version(desired_elements(desired), version)
    frame = {**_frame(desired, version), LOG: [SavedRule(words) for words in deny.limits(desired)]}
    filled = _fill_lines(frame, want, _times(want, desired_chains(desired)), {})
    lines = [line for line in filled if not line.startswith("-I")]
    return "\n".join(("*filter", *lines, "COMMIT", ""))


def removal(table: Table) -> str:
    """Return the input of iptables-restore that removes everything of ours."""
    lines = [_line("-D", chain, rule.words) for chain, rule in _calls(table)]
    present = [chain for chain in table if is_ours(chain)]
    lines += [f"-F {chain}" for chain in present] + [f"-X {chain}" for chain in present]
    return "\n".join(("*filter", *lines, "COMMIT", ""))
