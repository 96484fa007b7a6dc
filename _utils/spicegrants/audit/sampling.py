"""Choice of what a verification tries in an office that is too large to try everything. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from spicegrants.core.accounts import Account
from spicegrants.firewall import guard
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState

# So many pairs of user and vm are all connected; of more, each user's own and a sample of the others, as far as the
# guard can note that it refused them: its sets hold 65,535 places for an hour, and each pair may be two.
CONNECTED, MOST, MOST_IN_FULL, OTHERS = 4000, 12000, 30000, 2
# So much of what the guard notes of one user is left to what the user does meanwhile.
_SPARE = 200
# Users among whom one without an access is sought, for each vm.
_LOOKED_AT = 20
# For so many pairs sudo is asked; of more, for a sample of those with a grant, and one of those without.
ASKED, ASKED_GRANTED, ASKED_OTHERS = 400, 40, 160
# So many users' calls go as far as the viewer, and so many certificates are looked at.
ENTERED, CERTIFICATES = 40, 100

Pair = tuple[str, str]
_T = TypeVar("_T")


class Draw(Protocol):
    """A source of chance, such as ``random.Random``."""

    def choice(self, seq: Sequence[_T], /) -> _T:
        """Return one of several."""

    def sample(self, population: Sequence[_T], k: int, /) -> list[_T]:
        """Return some of several, each once."""


class Trials(NamedTuple):
    """What is tried.

    connected
        By user: the vms to which they connect.

    asked
        Pairs of user and vm for which sudo is asked.

    entered
        Users whose call is made as far as the viewer, who try to start the viewer without sudo, and about whose other
        rights sudo is asked where the policy is strict.

    certificates
        Vms whose certificate is looked at.

    left_out
        Sentences that say in figures what is not tried; none if all is.
    """

    connected: dict[str, tuple[str, ...]]
    asked: frozenset[Pair]
    entered: frozenset[str]
    certificates: frozenset[str]
    left_out: tuple[str, ...] = ()


def choose(desired: DesiredState, users: Iterable[Account], vms: Iterable[str], full: bool, draw: Draw) -> Trials:
    """Return what to try of some users and vms: all of it if ``full``, or if that is little enough.

    draw
        What a sample is drawn with. If it is the same for an hour, the guard need not note more within it.
    """
    names, vms = [user.name for user in users], list(vms)
    number = len(names) * len(vms)
    own = _own(desired, names, vms)
    connected = _connected(desired, own, names, vms, full, draw)
    pairs = [(name, vm) for name, tried in connected.items() for vm in tried]
    asked = frozenset(pairs if full or number <= ASKED else _asked(desired, pairs, draw))
    granted, others = [name for name in names if name in own], [name for name in names if name not in own]
    entered = frozenset(names if full else [*_some(granted, ENTERED, draw), *_some(others, ENTERED, draw)])
    opened = sorted({vm for tried in own.values() for vm in tried})
    certificates = frozenset(opened if full else _some(opened, CERTIFICATES, draw))
    left_out = [
        _left_out(len(pairs), number, "pairs of user and vm are tried: users' own consoles, and some others"),
        _left_out(len(asked), number, "pairs of user and vm are asked of sudo; what its file says is compared for all"),
        _left_out(len(entered), len(names), "users make their call as far as the viewer, and start it without sudo"),
        _left_out(len(certificates), len(opened), "consoles' certificates are looked at"),
    ]
    return Trials(connected, asked, entered, certificates, tuple(filter(None, left_out)))


def _own(desired: DesiredState, names: Sequence[str], vms: Sequence[str]) -> dict[str, list[str]]:
    """Return the vms that users have an access to, locked or not, by user."""
    own: dict[str, list[str]] = {}
    users, chosen = set(names), set(vms)
    for access in _accesses(desired):
        if access.user in users and access.vm in chosen:
            own.setdefault(access.user, []).append(access.vm)
    return own


def _accesses(desired: DesiredState) -> Iterator[Access]:
    yield from desired.accesses
    yield from (access for access, _ in desired.locked)


def _connected(
    desired: DesiredState,
    own: dict[str, list[str]],
    names: Sequence[str],
    vms: Sequence[str],
    full: bool,
    draw: Draw,
) -> dict[str, tuple[str, ...]]:
    """Return each user's own consoles and some others, so that somebody without a grant tries each console, too."""
    addresses = max([1, *map(len, desired.inventory.addresses.values())])
    each = (guard.NOTED_BURST - _SPARE) // (2 * addresses)
    number = len(names) * len(vms)
    room = MOST_IN_FULL if full else MOST
    if len(vms) <= each and number <= (room if full else CONNECTED):
        return {name: tuple(vms) for name in names}
    wanted: Iterable[Pair] = (
        *_some([(name, vm) for name, tried in own.items() for vm in tried], room, draw),
        *_strangers(own, names, vms, draw),
        *((name, draw.choice(vms)) for name in names for _ in range(OTHERS)),
    )
    if full:
        more = draw.sample(range(number), min(number, 2 * room))
        wanted = (*wanted, *((names[index // len(vms)], vms[index % len(vms)]) for index in more))
    connected: dict[str, set[str]] = {name: set() for name in names}
    for name, vm in wanted:
        if room and vm not in connected[name] and len(connected[name]) < each:
            connected[name].add(vm)
            room -= 1
    return {name: tuple(sorted(tried)) for name, tried in connected.items()}


def _strangers(
    own: dict[str, list[str]], names: Sequence[str], vms: Iterable[str], draw: Draw
) -> Iterator[tuple[str, str]]:
    """Yield each vm with a user who has no access to it, unless nearly everybody has one."""
    accesses = {name: set(tried) for name, tried in own.items()}
    for vm in vms:
        first = draw.choice(range(len(names)))
        some = (names[(first + step) % len(names)] for step in range(min(len(names), _LOOKED_AT)))
        yield from itertools.islice(((name, vm) for name in some if vm not in accesses.get(name, ())), 1)


def _asked(desired: DesiredState, pairs: Iterable[Pair], draw: Draw) -> list[Pair]:
    """Return a sample of pairs with a grant, with one of each kind of rule, and one of pairs without."""
    granted, others = [], []
    kinds: dict[tuple[bool, bool, bool], Pair] = {}
    for pair in pairs:
        access, lock = desired.access(*pair)
        if access is None:
            others.append(pair)
            continue
        granted.append(pair)
        kinds.setdefault((access.nopasswd, lock is not None, access.terms[0].schedules != ()), pair)
    return [*kinds.values(), *_some(granted, ASKED_GRANTED, draw), *_some(others, ASKED_OTHERS, draw)]


def _some(found: Sequence[_T], most: int, draw: Draw) -> Sequence[_T]:
    return found if len(found) <= most else draw.sample(found, most)


def _left_out(tried: int, number: int, what: str) -> str:
    return "" if tried == number else f"{tried:,} of {number:,} {what}"
