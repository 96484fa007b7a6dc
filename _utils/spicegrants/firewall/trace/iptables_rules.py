"""Rules in iptables-save's output, read for :mod:`spicegrants.firewall.trace.tracer`."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Callable

from spicegrants.firewall.trace import tracer
from spicegrants.firewall.trace.tracer import Chain, Packet, Step, Table, TracedRule, Truth, every, negated, some

# The kernel's own: hook and priority of the base chains of each table.
_PRIORITIES = {
    "raw": {"output": -300},
    "mangle": {"output": -150, "postrouting": -150},
    "nat": {"output": -100, "postrouting": 100},
    "filter": {"output": 0},
    "security": {"output": 50},
}
# What targets do to a packet; any other is a chain, or not known.
TARGETS = {
    "ACCEPT": (tracer.ACCEPT,),
    "DROP": (tracer.DROP,),
    "REJECT": (tracer.REJECT,),
    "RETURN": (tracer.RETURN,),
    "MASQUERADE": (tracer.ACCEPT,),
    "SNAT": (tracer.ACCEPT,),
    "DNAT": (tracer.REWRITE, tracer.ACCEPT),
    "REDIRECT": (tracer.REWRITE, tracer.ACCEPT),
    "NETMAP": (tracer.REWRITE, tracer.ACCEPT),
    "MARK": (tracer.REROUTE,),
    "CONNMARK": (tracer.REROUTE,),
    "CT": (tracer.UNTRACK,),
    "NOTRACK": (tracer.UNTRACK,),
    **dict.fromkeys(("LOG", "NFLOG", "TCPMSS", "CHECKSUM", "TOS", "DSCP", "CLASSIFY"), ()),
}

Match = Callable[[Packet], Truth]


def tables(family: str, printed: str, source: str = "") -> list[Table]:
    """Return the tables in the output of iptables-save.

    family
        ``ip`` or ``ip6``.

    printed
        The output of ``iptables-save`` or ``ip6tables-save``.

    source
        A prefix of the tables' names that shows the reader where to look.
    """
    found: list[Table] = []
    chains: dict[str, Chain] = {}
    priorities: dict[str, int] = {}
    for line in printed.splitlines():
        if line.startswith("*"):
            chains, priorities = {}, _PRIORITIES.get(line[1:], {})
            found.append(Table(f"{source} {family} {line[1:]}".strip(), (4 if family == "ip" else 6,), chains))
        elif line.startswith((":", "-A ")) and found:
            try:
                _add(chains, line, priorities)
            except (ValueError, IndexError):
                # Nobody can tell what it says, nor which chain it is in.
                for chain in chains.values():
                    chain.rules.append(TracedRule(f"rule {len(chain.rules) + 1}", _unknown))
    return found


def _add(chains: dict[str, Chain], line: str, priorities: Mapping[str, int]) -> None:
    """Add the chain or rule of a line."""
    if line.startswith(":"):
        name, policy = line[1:].split()[:2]
        hook = name.lower() if policy != "-" and name.lower() in priorities else None
        chains[name] = Chain(name, hook, priorities[hook] if hook else 0, policy.lower())
    else:
        _, name, *words = shlex.split(line)
        rules = chains.setdefault(name, Chain(name)).rules
        rules.append(TracedRule(f"rule {len(rules) + 1}", partial(_steps, *_read(words))))


def _unknown(packet: Packet) -> list[Step]:
    return [Step(None, tracer.UNKNOWN, tracer.UNKNOWN)]


def _steps(matches: list[Match], actions: list[tuple[str, str]], packet: Packet) -> Iterator[Step]:
    applies = every(match(packet) for match in matches)
    for action, target in actions:
        yield Step(applies, action, target)


def _read(words: list[str]) -> tuple[list[Match], list[tuple[str, str]]]:
    """Return a rule's matches and actions."""
    matches: list[Match] = []
    # Then a GID is looked for among all groups of the process, and which those are is not known.
    several = "--suppl-groups" in words
    while words:
        refused = words[0] == "!"
        option, *words = words[1:] if refused else words
        if option in ("-j", "-g"):
            return matches, _actions(option, words[0])
        values = []
        # The options of matches that are not known take any number of words.
        while words and not words[0].startswith("-") and words[0] != "!":
            values.append(words.pop(0))
        if several and option == "--gid-owner":
            values = []
        if option not in ("-m", "--comment"):
            matches.append(partial(_truth, option, values, refused))
    return matches, []


def _actions(option: str, target: str) -> list[tuple[str, str]]:
    if target in TARGETS:
        return [(action, "") for action in TARGETS[target]]
    return [(tracer.GOTO if option == "-g" else tracer.JUMP, target)]


def _truth(option: str, values: list[str], refused: bool, packet: Packet) -> Truth:
    try:
        truth = _match(option, values[0] if len(values) == 1 else "", packet)
    except ValueError:
        truth = None
    return negated(truth) if refused else truth


def _match(option: str, value: str, packet: Packet) -> Truth:
    """Tell whether one option holds for the packet; raise ValueError if its value is not understood."""
    if option == "-p":
        return value in ("tcp", "6", "all", "0")
    if option == "-o" and packet.device:
        return packet.device.startswith(value[:-1]) if value.endswith("+") else packet.device == value
    if option == "--socket-exists":
        return True
    if option == "--uid-owner":
        return _within(packet.uid, value, "-")
    if option == "--gid-owner":
        return _within(packet.gid, value, "-")
    if option in ("--ctstate", "--state") and packet.tracked:
        # The others are states of its addresses, or not those of a first packet.
        return True if "NEW" in value.split(",") else None if {"SNAT", "DNAT"} & set(value.split(",")) else False
    if not packet.as_sent:
        return None
    if option == "-d":
        return ipaddress.ip_address(packet.address) in ipaddress.ip_network(value, strict=False)
    if option in ("--dport", "--dports"):
        return some(_within(packet.port, part, ":") for part in value.split(","))
    return None


def _within(number: int, pattern: str, between: str) -> bool:
    low, _, high = pattern.partition(between)
    return int(low) <= number <= int(high or low)
