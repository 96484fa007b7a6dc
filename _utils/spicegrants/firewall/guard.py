"""Keys, elements and time chains of the guard, the same for nftables and iptables; their changes in words."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from spicegrants.core.changes import Change
from spicegrants.policy import wording
from spicegrants.policy.access import Access, Drain, Term, Times
from spicegrants.policy.compiler import DesiredState, guards_servers
from spicegrants.policy.model import port_words
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import NEVER, Windows

# What a line of the kernel's log begins with: by the rule that refused a packet.
OUTPUT, FORWARD, EGRESS = "output", "forward", "egress"
LOG_PREFIXES = {rule: f"spice-grant deny {rule}: " for rule in (OUTPUT, FORWARD, EGRESS)}
# Whoever has subordinate UIDs is many owners. They begin at 100000, unless login.defs(5) says otherwise, and local
# accounts end before 65536, so that what is limited for all from here on hides nothing of these.
FIRST_OF_MANY = 65536
# Lines a minute: of one owner; of packets that have none, for each rule; of all owners below that number together, and
# of all others.
OWNER_RATE, OWNER_BURST = 6, 10
OWNERLESS_RATE, OWNERLESS_BURST = 30, 30
TOTAL_RATE, TOTAL_BURST = 300, 300
# Refusals a minute of one owner that are noted by place: as many as verify makes at once, and a tenth of what is kept.
NOTED_RATE, NOTED_BURST = 60, 3000
# Of all owners from that number on: half of what is kept.
MANY_NOTED_RATE, MANY_NOTED_BURST = 300, 15000
# What an element does: lets everything pass, or only what belongs to a connection that is open already. Anything else
# is the name of a chain that says when.
PASS, DRAIN = "accept", "drain"
# Said where nobody can tell what may stay.
CLOSED = Change("firewall", "closes all that is open")
# What the names of such chains begin with.
_TIMED = ("schedule_", "times_", "draining_")


class Key(NamedTuple):
    """The match of one access: UID and GID of the socket's creator, destination address and TCP port."""

    uid: int
    gid: int
    address: str
    port: int

    @property
    def door(self) -> tuple[int, str, int]:
        """UID, address and port."""
        return self.uid, self.address, self.port

    @property
    def version(self) -> int:
        """The IP version, 4 or 6."""
        return 6 if ":" in self.address else 4


def number(account: int) -> str:
    """Return a UID or GID in the spelling that nft and iptables take as a number.

    Both first look for an account or group of that name, and useradd creates one that is named like a number if asked
    to. With a sign, which strtoul(3) accepts, it is no account's name.
    """
    return f"+{account}"


class Element(NamedTuple):
    """The kernel's entry for a key."""

    verdict: str = PASS
    vm: str | None = None
    packets: int = 0
    bytes: int = 0


class FirewallPlan(NamedTuple):
    """Changes in words, and a mechanism's input to make them.

    before, after
        Further input, before and after the commands. Each item is applied as a whole.
    """

    changes: tuple[Change, ...]
    commands: Any
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()


def desired_elements(desired: DesiredState) -> Mapping[Key, Element]:
    """Return the desired elements by key; none while the viewer's group does not exist.

    An element that is open at some times only has the name of one of :func:`desired_chains` as its verdict.
    """
    return desired.once(_elements)


def _elements(desired: DesiredState) -> Mapping[Key, Element]:
    if desired.gid is None:
        return {}
    drained = {
        Key(drain.uid, desired.gid, drain.address, drain.port): Element(_drain_chain(drain), drain.vm)
        for drain in desired.draining
    }
    granted = {
        Key(access.uid, desired.gid, address, desired.port(access)): Element(_chain(access), access.vm)
        for access in desired.accesses
        if desired.times(access) != Times(NEVER)
        for address in desired.addresses(access)
    }
    return {**drained, **granted}


def desired_chains(desired: DesiredState) -> Mapping[str, Times]:
    """Return the desired time chains by name, sorted: the targets of elements that are not open permanently."""
    return desired.once(_chains)


def _chains(desired: DesiredState) -> Mapping[str, Times]:
    if desired.gid is None:
        return {}
    chains = {
        _drain_chain(drain): Times(NEVER, ((EARLIEST, drain.until),)) for drain in desired.draining if drain.until
    }
    for access in desired.accesses:
        found, name = desired.times(access), _chain(access)
        if name != PASS and found != Times(NEVER):
            chains[name] = found
    return dict(sorted(chains.items()))


def is_timed(name: str) -> bool:
    """Tell whether a verdict or chain name is that of a time chain."""
    return name.startswith(_TIMED)


@functools.lru_cache(maxsize=4096)
def _chain_name(terms: tuple[Term, ...], on_end: str, grace: int | None, within: Windows | None) -> str:
    """Return the name of the chain that all accesses with the same times for the same reasons share."""
    unique = sorted(set(terms))
    if within is not None:
        return f"times_{hashlib.sha256(repr((unique, on_end, grace, within)).encode()).hexdigest()[:16]}"
    if Term() in terms:
        return PASS
    schedules = unique[0].schedules
    if unique == [Term(schedules)] and len(schedules) == 1 and on_end == "cut":
        return f"schedule_{schedules[0]}"
    return f"times_{hashlib.sha256(repr((unique, on_end, grace)).encode()).hexdigest()[:16]}"


def _chain(access: Access) -> str:
    return _chain_name(access.terms, access.on_end, access.grace, access.within)


def _drain_chain(drain: Drain) -> str:
    return f"draining_{drain.until}" if drain.until else DRAIN


def same(want: Element | None, have: Element | None) -> bool:
    """Tell whether an element is as desired, apart from its counters."""
    return want is not None and have is not None and (want.verdict, want.vm) == (have.verdict, have.vm)


def guarding(desired: DesiredState) -> Change:
    """Return the change in words for a guard that is created anew."""
    where = "the servers" if guards_servers(desired) else "every destination"
    return Change("firewall", f"guards ports {port_words(desired.policy.guarded_ports())} towards {where}")


def element_changes(desired: DesiredState, want: Mapping[Key, Element], have: Mapping[Key, Element]) -> list[Change]:
    """Return the changes in words, by grant, for consoles that are opened and closed."""
    changes = []
    if desired.gid is None:
        # The group is about to be made: its elements are part of what this run will change.
        for access in desired.accesses:
            for address in desired.addresses(access):
                what = f"opens {address} port {desired.port(access)} to {access.user}{_when(desired, access)}"
                changes.append(Change("firewall", what, access.grants))
    users = {access.uid: access.user for access in (*desired.previous, *desired.accesses)}
    users.update((drain.uid, drain.user) for drain in desired.leaving)
    behind: dict[tuple[int, str | None], Access] = {(access.uid, access.vm): access for access in desired.accesses}
    either = {**have, **want}
    for key in sorted(key for key in either if not same(want.get(key), have.get(key))):
        old, new = have.get(key), want.get(key)
        vm = either[key].vm or desired.vm_at(key.address, key.port)
        who = users.get(key.uid) or f"UID {key.uid}"
        foreign = "" if key.gid == desired.gid else f" with GID {key.gid}"
        when = _when(desired, behind.get((key.uid, vm)))
        what = _element_words(old, new, f"{key.address} port {key.port} to {who}{foreign}", when)
        changes.append(Change("firewall", what, desired.grants_of(key.uid, vm)))
    return changes


def elements_to_remove(
    want: Mapping[Key, Element], have: Mapping[Key, Element], doors: Collection[tuple[int, str, int]] | None
) -> tuple[dict[Key, Element], dict[Key, Element]]:
    """Return the elements to remove, and the replacements of those that may drain or are open less often.

    doors
        UID, address and port of those that may go; ``None`` for all.
    """
    removals = {
        key: element
        for key, element in have.items()
        if (doors is None or key.door in doors) and not same(want.get(key), element)
    }
    return removals, {key: want[key] for key in removals if key in want}


def removal_changes(
    desired: DesiredState | None, removals: Mapping[Key, Element], becomes: Mapping[Key, Element]
) -> tuple[Change, ...]:
    """Return the changes in words for removed elements.

    desired
        The desired state; ``None`` if everything is removed.

    becomes
        Replacements of some of the removed elements.
    """
    if not removals:
        return ()
    return (CLOSED,) if desired is None else tuple(element_changes(desired, becomes, removals))


def chain_changes(
    desired: DesiredState,
    want: Mapping[str, Times],
    have: Mapping[str, Times | None],
    elements: Mapping[Key, Element],
) -> list[Change]:
    """Return the changes in words for time chains that differ from the desired ones.

    A chain that comes or goes with its elements has no words of its own.

    have
        The live chains; ``None`` for one with rules that are no times.

    elements
        The live elements.
    """
    sentences = []
    used = {element.verdict for element in elements.values()}
    for name, times in have.items():
        if name in want and times is None:
            sentences.append(f"restores chain {name}, whose rules were altered")
        elif name in want and times != want[name]:
            sentences.append(f"sets the times of chain {name}{_reason(desired, name)}")
        elif name not in want and name not in used:
            sentences.append(f"removes chain {name}, to which nothing leads")
    return [Change("firewall", what) for what in sentences]


def _reason(desired: DesiredState, name: str) -> str:
    """Return in words the terms that a chain stands for, where its name does not show them."""
    if not name.startswith("times_"):
        return ""
    terms = next(access.terms for access in desired.accesses if _chain(access) == name)
    return f": {wording.terms(desired.policy, terms)}"


def _when(desired: DesiredState, access: Access | None) -> str:
    if access is None or _chain(access) == PASS:
        return ""
    return f", {wording.terms(desired.policy, access.terms)}"


def _drains(element: Element | None) -> bool:
    return element is not None and element.verdict.startswith("drain")


def _element_words(old: Element | None, new: Element | None, door: str, when: str) -> str:
    if new is None and old is not None and _drains(old):
        over = "whose last session has ended" if old.verdict == DRAIN else "whose sessions have had their time"
        return f"closes {door}, {over}"
    if new is None:
        return f"closes {door}"
    if _drains(new):
        return f"closes {door}, whose open sessions may go on"
    if old is None or _drains(old):
        return f"opens {door}{when}"
    if old.verdict != new.verdict and (old.verdict == PASS or is_timed(old.verdict)):
        return f"changes when {door} is open: {when.removeprefix(', ') or 'always'}"
    return f"restores the element that opens {door}{when}"
