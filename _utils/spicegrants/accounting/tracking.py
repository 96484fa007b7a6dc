"""Sessions as seen from this machine's connections: begun with the first, over with the last. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.accounting.socket_reports import SocketEnd
from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.connections import Connection

# UID, address and port of a console.
Door = tuple[int, str, int]
VERSION = 1
# Reasons for an end.
CLOSED, NETWORK, POWER = "the viewer closed", "the network was lost", "this machine went off"
UNSEEN = "nobody saw it"


class Session(NamedTuple):
    """One user in one console, with all connections that they have to it.

    id
        Of this session alone.

    user
        Name of the account; ``None`` where its UID has none.

    vm, server
        ``None`` where no vm of the policy is.

    grants
        Names of the grants and loans that opened it.

    form
        ``confined`` or ``direct``.

    start, seen
        Since when, and when it was seen last, in seconds since 1970.

    ports
        The ports on this machine of the connections that are open.

    first
        The port of the first of them, by which the KVM host knows the session as well.

    sent, received
        Bytes of the connections that have ended.

    whole
        Whether these are all.
    """

    id: str
    user: str | None
    uid: int
    vm: str | None
    server: str | None
    address: str
    port: int
    grants: tuple[str, ...]
    form: str
    start: int
    seen: int
    ports: frozenset[int]
    first: int
    sent: int = 0
    received: int = 0
    whole: bool = True

    @property
    def door(self) -> Door:
        """UID, address and port."""
        return self.uid, self.address, self.port


Sessions = Mapping[Door, Session]


class Over(NamedTuple):
    """A session that is over: when, at the latest, and why as far as its connections tell.

    exact
        Whether it ended at that moment, not somewhat before.
    """

    session: Session
    end: int
    exact: bool
    why: str | None = None


class Seen(NamedTuple):
    """Sessions after a look or a report, those that have begun, and those that are over."""

    sessions: dict[Door, Session]
    begun: list[Session]
    over: list[Over]


def missing(known: Sessions, connections: Iterable[Connection]) -> bool:
    """Tell whether a connection of a session is not among those that are open."""
    there = {(*connection.remote, connection.local[1]) for connection in connections}
    return any((s.address, s.port, port) not in there for s in known.values() for port in s.ports)


def look(known: Sessions, connections: Iterable[Connection], now: int, begin: Callable[[Connection], Session]) -> Seen:
    """Compare sessions with the connections that are open.

    connections
        Those to consoles. One that no process has any more is still its session's, but begins none.

    begin
        Makes a session of its first connection.
    """
    owners = {(session.address, session.port, port): door for door, session in known.items() for port in session.ports}
    found: dict[Door, set[int]] = {}
    first: dict[Door, Connection] = {}
    for connection in connections:
        owner = owners.get((*connection.remote, connection.local[1]))
        if owner is None and connection.owned:
            owner = connection.door
            first.setdefault(owner, connection)
        if owner is not None:
            found.setdefault(owner, set()).add(connection.local[1])
    sessions, begun, over = {}, [], []
    for door, session in known.items():
        ports = found.pop(door, set())
        # What went without a report: bytes of it are not known.
        current = session._replace(ports=frozenset(ports), seen=now, whole=session.whole and session.ports <= ports)
        if ports:
            sessions[door] = current
        else:
            over.append(Over(session._replace(ports=frozenset(), whole=False), now, False))
    for door, ports in found.items():
        session = begin(first[door])._replace(ports=frozenset(ports))
        sessions[door] = session
        begun.append(session)
    return Seen(sessions, begun, over)


def ended(known: Sessions, end: SocketEnd, now: int) -> Seen:
    """Take a connection that has ended from its session, with its bytes; the last one ends the session."""
    place = (*end.remote, end.local[1])
    owner = next((s for s in known.values() if (s.address, s.port) == place[:2] and place[2] in s.ports), None)
    if owner is None:
        return Seen({**known}, [], [])
    left = owner._replace(
        ports=owner.ports - {end.local[1]},
        seen=now,
        sent=owner.sent + end.sent,
        received=owner.received + end.received,
    )
    others = {door: session for door, session in known.items() if door != owner.door}
    if left.ports:
        return Seen({**others, owner.door: left}, [], [])
    return Seen(others, [], [Over(left, now, True, NETWORK if end.retransmits else None)])


def fields(session: Session) -> dict[str, Any]:
    """Return what the record says of a session, in each of its events."""
    return {
        "session": session.id,
        "user": session.user,
        "uid": session.uid,
        "vm": session.vm,
        "server": session.server,
        "address": session.address,
        "port": session.port,
        "client_port": session.first,
        "grants": list(session.grants),
        "form": session.form,
    }


def fields_of_end(over: Over, iso: Callable[[int], str]) -> dict[str, Any]:
    """Return what the record says of the end of a session, besides :func:`fields`.

    iso
        Spells moments.
    """
    session = over.session
    found = {
        "start": iso(session.start),
        "seconds": max(0, over.end - session.start),
        "sent": session.sent,
        "received": session.received,
    }
    if not session.whole:
        found["bytes_known"] = False
    if not over.exact:
        # It was over by the moment of the event, and still there at this one.
        found["seen"] = iso(session.seen)
    return found


def dump(sessions: Sessions, boot: str, cursor: str, now: int) -> bytes:
    """Return the content of the file of open sessions.

    boot
        The id of this boot.

    cursor
        The place in the journal up to which it was read.
    """
    listed = [{**session._asdict(), "ports": sorted(session.ports), "seen": now} for session in sessions.values()]
    return (json.dumps({"version": VERSION, "boot": boot, "cursor": cursor, "sessions": listed}) + "\n").encode()


def load(content: bytes | None) -> tuple[dict[Door, Session], str, str]:
    """Parse the content of the file of open sessions; return them, their boot, and the place in the journal.

    content
        ``None`` stands for no file.
    """
    if content is None:
        return {}, "", ""
    try:
        found = json.loads(content)
        sessions = [_session(**values) for values in found["sessions"]]
        return {session.door: session for session in sessions}, str(found["boot"]), str(found["cursor"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LiveStateUnreadable(f"the file of open sessions is damaged ({error})") from error


def _session(ports, grants, **values) -> Session:
    session = Session(ports=frozenset(ports), grants=tuple(grants), **values)
    numbers = (session.uid, session.port, session.start, session.seen, session.first, session.sent, session.received)
    if {*map(type, (*numbers, *session.ports))} != {int} or not isinstance(session.address, str):
        raise TypeError("a session of other values")
    return session
