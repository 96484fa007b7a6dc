"""Closing first on a KVM host: what is taken away is stored and ended, whatever else fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from spicegrants.core import errors
from spicegrants.core.changes import Change
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import HOST_RUN, HOST_SESSIONS, HOST_STATE, HOST_STORE, HOST_UNSTORED
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.host import disk
from spicegrants.hypervisor import closing, host_file, rights, sessions
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import notice, ports, tickets, virsh
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy import loans_locks
from spicegrants.policy.model import PortRange


class Taken(NamedTuple):
    """What was taken away, and what hindered more: sentences without a full stop."""

    changes: tuple[Change, ...] = ()
    errors: tuple[str, ...] = ()


@contextlib.contextmanager
def storing() -> Iterator[None]:
    """Have what is stored to oneself, to read and then write it.

    Nothing that waits for another program is done meanwhile: a lock is stored at once, also while a run waits for
    libvirt.
    """
    try:
        descriptor = os.open(HOST_STORE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # Nothing is stored.
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def store(kept: Stored) -> None:
    """Write what this host stores, readable by root only."""
    disk.make_parents(HOST_STORE)
    disk.make_directory(HOST_STORE, Directory(0o711))
    disk.write(HOST_STATE, File(host_file.dump(kept), 0o600))
    if disk.read(HOST_UNSTORED) is not None:
        disk.remove(HOST_UNSTORED)


def _hold(kept: Stored) -> None:
    """Have something hold that cannot be stored, until it can be, or the next boot."""
    if not isinstance(disk.read(HOST_RUN), Directory):
        disk.make_directory(HOST_RUN, Directory(0o700))
    disk.write(HOST_UNSTORED, File(host_file.dump(kept), 0o600))


def change(decide: Callable[[Stored], Stored]) -> None:
    """Store something else instead of what is stored; see :func:`storing`."""
    with storing():
        kept = tickets.stored()
        becomes = decide(kept)
        if becomes != kept:
            store(becomes)


def take(decide: Callable[[Stored], Stored], test: bool) -> Taken:
    """Store what is to hold, and end the sessions that lose their right by it.

    First what is stored, which decides on each ticket. Then the sessions, here and not by the service alone, which may
    not be running. If it cannot be stored, it holds until it can be, or the next boot.

    decide
        Takes what is stored, and returns it with the policy, loans and locks that are to hold.

    test
        Whether only to report what would change.
    """
    with storing():
        kept = tickets.stored()
        # That a loan has ended meanwhile is no change.
        before = replace(kept, temporary=loans_locks.unended(kept.temporary, int(time.time())))
        after = decide(before)
        if after == before:
            return Taken()
        less = closing.takes_away(before, after)
        hindrances = [] if test else _stored(after, less)
        # Names may have to be asked for: what is stored holds meanwhile.
        lost, staying, unreadable = _lost(after) if less else ([], [], "")
    changes = [*closing.words(before, after), *_words(lost)]
    if not test:
        # It notes why sessions end, so that desks can be told.
        notice.tell()
    if unreadable:
        found = everything(rights.guarded(after.the_policy, after.minion), test)
        changes += found.changes
        hindrances += [f"firewall: {unreadable}: all sessions are ended", *found.errors]
    elif lost and not test:
        hindrances += _hindered(_end(lost, staying, after.uuids))
    return Taken(tuple(changes), tuple(hindrances))


def _stored(after: Stored, less: bool) -> list[str]:
    """Store what is to hold; return what hindered it.

    less
        Whether it takes something away.
    """
    try:
        store(after)
    except SystemFault as error:
        if not less:
            return [f"policy: {error}"]
        try:
            _hold(after)
        except SystemFault:
            notice.silence()
            return [f"policy: what is taken away could not be stored, so nobody gets a ticket: {error}"]
        return [f"policy: what is taken away could not be stored, and holds until the next boot only: {error}"]
    return []


def _lost(after: Stored) -> tuple[list[Session], list[Session], str]:
    """Return the sessions without a right, those with one, and why they cannot be read, if so."""
    now = int(time.time())
    try:
        every = known()
    except SystemFault as error:
        return [], [], str(error)
    lost = [each for each in every if tickets.right_of(after, each, now).lost is not None]
    return lost, [each for each in every if each not in lost], ""


def known() -> list[Session]:
    """Return the sessions that were kept; raise :class:`~spicegrants.core.errors.SystemFault` if nobody can tell."""
    return sessions.load(disk.read_text(HOST_SESSIONS))


def _end(lost: Sequence[Session], staying: Sequence[Session], uuids: Mapping[str, str]) -> list[str]:
    """End sessions: their places first, then their connections; where that fails, by libvirt as well.

    staying
        The others, which may come from the same place.

    uuids
        By vm: UUID of the domain behind its console.

    Returns what hindered it. What hinders one way hinders no other.
    """
    faults: list[SpiceGrantError] = []
    open_now: list[Connection] = []
    with errors.kept(faults):
        open_now = sockets.connections()
    with errors.kept(faults):
        ports.hold([place for session in lost for place in session.places], staying)
    with errors.kept(faults):
        every = [*lost, *staying]
        sockets.end_surely([each for session in lost for each in sessions.connections_of(session, open_now, every)])
    if not faults:
        return []
    behind = {uuids[session.vm] for session in lost if session.vm in uuids}
    return [*map(str, faults), *virsh.shut(sorted(behind), tickets.new_secret())]


def _words(lost: Iterable[Session]) -> list[Change]:
    return [Change("firewall", f"ends what {each.user} has open at {each.desk}: {each.vm}") for each in lost]


def _hindered(hindrances: Iterable[str]) -> list[str]:
    return [f"firewall: sessions are not ended in each way that there is: {why}" for why in hindrances]


def everything(guarded: Iterable[PortRange], test: bool) -> Taken:
    """Let nobody in any more and end what is open, for when nobody can tell who may stay.

    guarded
        Ports of the consoles, as far as they are known. Those of known sessions count as well.

    test
        Whether only to report what would change.
    """
    guarded = [*guarded]
    with contextlib.suppress(SystemFault):
        guarded += [(session.port, session.port) for session in known()]
    faults: list[SpiceGrantError] = []
    open_now: list[Connection] = []
    places = None
    with errors.kept(faults):
        open_now = [each for each in sockets.connections() if _within(each.local[1], guarded)]
    with errors.kept(faults):
        places = ports.elements()
    changes = [Change("firewall", "shuts the consoles' ports for everybody who was let in")] * bool(places)
    changes += [
        Change("firewall", f"ends connections to port {port}") for port in sorted({c.local[1] for c in open_now})
    ]
    if not test:
        with errors.kept(faults):
            if places != 0:
                ports.shut_all()
        with errors.kept(faults):
            sockets.end_surely(open_now)
        notice.tell()
    hindrances = [*map(str, faults)]
    if faults and not test:
        hindrances += _by_libvirt(guarded)
    return Taken(tuple(changes), tuple(_hindered(hindrances)))


def _by_libvirt(guarded: Iterable[PortRange]) -> list[str]:
    """Shut the consoles at guarded ports by libvirt; return what hindered that."""
    try:
        running = [domain for domain in virsh.found() if domain.now]
    except SystemFault as error:
        return [str(error)]
    at_ports = [
        domain.uuid
        for domain in running
        if any(_within(graphics.tls_port or 0, guarded) for graphics in domain.now or ())
    ]
    return virsh.shut(at_ports, tickets.new_secret())


def _within(port: int, ranges: Iterable[PortRange]) -> bool:
    return any(low <= port <= high for low, high in ranges)
