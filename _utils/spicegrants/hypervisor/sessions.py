"""Who was given a ticket for which console, and what has to end: the host's own account of open sessions. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.connections import Connection
from spicegrants.hypervisor.port_table import Place, Right
from spicegrants.policy.model import PortRange
from spicegrants.policy.ticket_protocol import VALID

# Seconds without a further connection after which all channels of a session are taken to be open.
_QUIET = 3


class Session(NamedTuple):
    """A ticket, and the session that it opened.

    addresses
        Those of the desk.

    since
        When the ticket was given, in seconds since 1970.

    end
        When it must have ended, in seconds since 1970; ``None`` for no end that is known.

    fresh
        Whether the ticket still opens the console.

    own
        Address and port of each of its connections at the desk, as they were last seen: two sessions of one desk with
        the same console, which several may have open, differ in nothing else.

    changed
        When these became others, in seconds since 1970.
    """

    vm: str
    port: int
    user: str
    desk: str
    addresses: tuple[str, ...]
    since: int
    end: int | None = None
    fresh: bool = True
    own: tuple[tuple[str, int], ...] = ()
    changed: int = 0

    @property
    def who(self) -> tuple[str, str, str]:
        """Return desk, user and vm."""
        return self.desk, self.user, self.vm

    @property
    def places(self) -> list[Place]:
        """Return where it may come from."""
        return [Place(address, self.port) for address in self.addresses]


def dump(sessions: Iterable[Session]) -> bytes:
    """Return the content of the file of sessions."""
    return (json.dumps([[*session] for session in sessions]) + "\n").encode()


def load(content: bytes | None) -> list[Session]:
    """Parse the content of the file of sessions; ``None`` stands for no file."""
    if content is None:
        return []
    try:
        found = json.loads(content)
        if not isinstance(found, list):
            raise TypeError("no list")
        return [_session(*values) for values in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise LiveStateUnreadable(f"the file of open sessions is damaged ({error})") from error


def _session(vm, port, user, desk, addresses, since, end, fresh, own, changed) -> Session:
    """Return a session of what was read; raise ``TypeError`` or ``ValueError`` if it is none."""
    places = [(address, number) for address, number in own]
    texts = (vm, user, desk, *addresses, *(address for address, _ in places))
    numbers = (port, since, 0 if end is None else end, changed, *(number for _, number in places))
    kinds = (type(addresses), type(fresh), type(own))
    if {*map(type, texts)} != {str} or {*map(type, numbers)} != {int} or kinds != (list, bool, list):
        raise TypeError("a session of other values")
    return Session(vm, port, user, desk, tuple(addresses), since, end, fresh, tuple(places), changed)


def seen(session: Session, known: Iterable[Session], connections: Iterable[Connection], now: int) -> Session:
    """Return a session with the connections that it has now.

    One that the console has closed already is none, however long its viewer does not take the rest.

    known
        All sessions.
    """
    own = tuple(sorted(each.remote for each in connections_of(session, connections, known) if each.owned))
    return session if own == session.own else session._replace(own=own, changed=now)


def over(session: Session, before: Session, now: int) -> bool:
    """Tell whether a session has ended by itself: nothing is open, and nothing was opened or can be.

    before
        As it was last seen.
    """
    return not session.own and (not session.fresh or bool(before.own) or now >= session.since + VALID)


def all_open(session: Session, now: int) -> bool:
    """Tell whether a ticket has done its work: its time is over, or all channels are open."""
    return now >= session.since + VALID or (bool(session.own) and now >= session.changed + _QUIET)


def connections_of(
    session: Session, connections: Iterable[Connection], known: Iterable[Session] = ()
) -> list[Connection]:
    """Return the open connections of a session: from its desk, to its console.

    Once its ticket opens nothing any more, these are of those that it had. Before, all are but those of others.

    known
        All sessions.
    """
    which = (session.who, session.since)
    others = {place for each in known if (each.who, each.since) != which for place in each.own}
    return [
        each
        for each in connections
        if each.local[1] == session.port
        and each.remote[0] in session.addresses
        and (each.remote not in others if session.fresh else each.remote in session.own)
    ]


def at_console(port: int, connections: Iterable[Connection]) -> list[Connection]:
    """Return all open connections to a console."""
    return [each for each in connections if each.local[1] == port]


def strays(ports: Iterable[PortRange], known: Iterable[Session], connections: Iterable[Connection]) -> list[Connection]:
    """Return the open connections to guarded ports that are no session's."""
    ranges = [*ports]
    owned = {(session.port, place) for session in known for place in session.own}
    guarded = [each for each in connections if any(low <= each.local[1] <= high for low, high in ranges)]
    return [each for each in guarded if (each.local[1], each.remote) not in owned]


def rights(known: Iterable[Session], now: int) -> dict[Place, Right]:
    """Return what the kernel lets in for sessions, by place; of several at one place the longest counts."""
    found: dict[Place, Right] = {}
    for session in known:
        if session.end is not None and session.end <= now:
            continue
        opening = max(0, session.since + VALID - now) if session.fresh else 0
        right = Right(opening, None if session.end is None else session.end - now)
        for place in session.places:
            found[place] = right if place not in found else _longer(right, found[place])
    return found


def _longer(one: Right, other: Right) -> Right:
    going = None if one.going is None or other.going is None else max(one.going, other.going)
    return Right(max(one.opening, other.opening), going)
