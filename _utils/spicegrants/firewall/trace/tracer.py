"""Trace a packet through other tables' base chains and name the rule that drops it.

No accept of ours overrules the drop of another base chain. A packet is walked through the chains as the kernel would do
it. Properties that cannot be determined from outside (marks, rates, matches that are not known here) are ``None``, and
then both ways are walked: an answer that is certain holds whatever the property was.

The rules themselves are read by :mod:`spicegrants.firewall.trace.nft_rules` and
:mod:`spicegrants.firewall.trace.iptables_rules`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from spicegrants.firewall.iptables.guard_chains import is_ours

# True, False, or None: cannot be told.
Truth = Optional[bool]

# Before this priority the kernel has not yet looked up the connection.
CONNTRACK = -200
HOOKS = ("output", "postrouting")
# What a rule does. UNKNOWN may be anything; REWRITE changes the destination, REROUTE the way.
ACCEPT, DROP, REJECT, RETURN, JUMP, GOTO = "accept", "drop", "reject", "return", "jump", "goto"
REWRITE, REROUTE, UNTRACK, UNKNOWN = "rewrite", "reroute", "untrack", "unknown"
# How a chain can end; a verdict of its own, or the next rule of the chain that called it.
_THROUGH = "through"


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection that a process on this machine opens.

    device
        The interface by which it leaves; ``None`` if it is not known.

    as_sent
        Whether its destination is still the original one.

    tracked
        Whether conntrack knows its connection: not in the earliest chains, nor after a rule that switches tracking off.
    """

    uid: int
    gid: int
    address: str
    port: int
    device: str | None = None
    as_sent: bool = True
    tracked: bool = True

    @property
    def version(self) -> int:
        """The IP version, 4 or 6."""
        return ipaddress.ip_address(self.address).version


@dataclass(frozen=True)
class Step:
    """One action of a rule on a packet, and whether it applies."""

    applies: Truth
    action: str
    target: str = ""


@dataclass(frozen=True)
class TracedRule:
    """A rule: the words to find it by, and its actions on a packet."""

    place: str
    steps: Callable[[Packet], Iterable[Step]]


@dataclass
class Chain:
    """A chain; a base chain has hook, priority and policy."""

    name: str
    hook: str | None = None
    priority: int = 0
    policy: str = ACCEPT
    rules: list[TracedRule] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A table with its chains by name.

    versions
        The IP versions whose packets it sees.

    active
        ``None`` if it is unknown whether its chains see any packets.
    """

    name: str
    versions: tuple[int, ...]
    chains: Mapping[str, Chain]
    active: Truth = True


@dataclass(frozen=True)
class Cause:
    """A rule, or a policy, that stops the packet: chain, the words to find it by, and verdict."""

    chain: str
    place: str
    verdict: str


@dataclass(frozen=True)
class Obstacle:
    """A base chain that stops the packet, certainly or perhaps, and the causes."""

    table: str
    chain: str
    certain: bool
    causes: tuple[Cause, ...]

    def __str__(self) -> str:
        parts = []
        for cause in self.causes:
            within = f" in chain {cause.chain}" if cause.chain != self.chain else ""
            parts.append(f"{cause.place} {cause.verdict}{within}")
        return f"chain {self.table} {self.chain} ({', '.join(parts)}) {'drops' if self.certain else 'may drop'} it"


def find(tables: Iterable[Table], packet: Packet) -> tuple[Obstacle, ...]:
    """Return the base chains that stop a packet, in the order in which it meets them.

    Each chain is walked as if those before it had let the packet through: who removes one obstacle wants to know the
    next.
    """
    base_chains = [
        (HOOKS.index(chain.hook), chain.priority, table, chain)
        for table in tables
        if packet.version in table.versions
        for chain in table.chains.values()
        if chain.hook in HOOKS
    ]
    found = []
    for _, _, table, chain in sorted(base_chains, key=lambda entry: entry[:2]):
        walk = _Walk(table, packet if chain.priority > CONNTRACK else replace(packet, tracked=False))
        exits = walk.base(chain)
        packet = replace(
            packet,
            device=walk.packet.device,
            as_sent=walk.packet.as_sent,
            tracked=packet.tracked and not walk.untracked,
        )
        if DROP in exits:
            certain = exits == {DROP} and table.active is True
            found.append(Obstacle(table.name, chain.name, certain, tuple(dict.fromkeys(walk.causes))))
    return tuple(found)


class _Walk:
    """One packet's way through one table."""

    def __init__(self, table: Table, packet: Packet) -> None:
        self.table = table
        self.packet = packet
        self.untracked = False
        self.causes: list[Cause] = []

    def base(self, chain: Chain) -> set[str]:
        """Return the possible ends of a base chain; never ``through``."""
        exits = self._chain(chain, ())
        if _THROUGH in exits:
            exits.remove(_THROUGH)
            exits.add(chain.policy)
            if chain.policy == DROP:
                self.causes.append(Cause(chain.name, "policy", DROP))
        return exits

    def _chain(self, chain: Chain, above: tuple[str, ...]) -> set[str]:
        exits: set[str] = set()
        above = (*above, chain.name)
        for rule in chain.rules:
            for step in rule.steps(self.packet):
                ends, goes_on = self._step(chain, rule, step, above)
                exits |= ends
                if not goes_on:
                    return exits
        return exits | {_THROUGH}

    def _step(self, chain: Chain, rule: TracedRule, step: Step, above: tuple[str, ...]) -> tuple[set[str], bool]:
        """Return the possible ends of the chain at this step, and whether the packet may go on to the next one."""
        if step.applies is False:
            return set(), True
        perhaps = step.applies is None
        if step.action in (DROP, REJECT):
            self._blame(Cause(chain.name, rule.place, step.action))
            return {DROP}, perhaps
        if step.action == ACCEPT:
            return {ACCEPT}, perhaps
        if step.action == RETURN:
            return {_THROUGH}, perhaps
        if step.action in (JUMP, GOTO):
            callee = self.table.chains.get(step.target)
            if callee is None or callee.name in above:
                # The kernel has no such thing: a target that is not known, or a listing that was not understood.
                self._blame(Cause(chain.name, rule.place, step.target))
                return {ACCEPT, DROP, _THROUGH}, True
            exits = self._call(callee, above)
            if step.action == GOTO:
                return exits, perhaps
            return exits - {_THROUGH}, perhaps or _THROUGH in exits
        if step.action == UNKNOWN:
            self._blame(Cause(chain.name, rule.place, step.target or UNKNOWN))
            return {ACCEPT, DROP}, True
        self._alter(step.action)
        return set(), True

    def _call(self, chain: Chain, above: tuple[str, ...]) -> set[str]:
        exits = self._chain(chain, above)
        # What our own chains refuse is the guard's, and not asked here.
        return (exits - {DROP} or {_THROUGH}) if is_ours(chain.name) else exits

    def _blame(self, cause: Cause) -> None:
        if not is_ours(cause.chain):
            self.causes.append(cause)

    def _alter(self, action: str) -> None:
        if action == UNTRACK:
            self.untracked = True
            self.packet = replace(self.packet, tracked=False)
        else:
            self.packet = replace(self.packet, device=None, as_sent=self.packet.as_sent and action == REROUTE)


def every(truths: Iterable[Truth]) -> Truth:
    """Return whether all are true: false if any is false, ``None`` if that is unknown."""
    values = set(truths)
    return False if False in values else None if None in values else True


def some(truths: Iterable[Truth]) -> Truth:
    """Return whether any is true, ``None`` if that is unknown."""
    return negated(every(negated(truth) for truth in truths))


def negated(truth: Truth) -> Truth:
    """Return the opposite; ``None`` stays ``None``."""
    return None if truth is None else not truth
