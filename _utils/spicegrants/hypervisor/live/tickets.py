"""Tickets: decide on one launch, give it a password of its own and open its port; and end what has to end.

A ticket opens a console to one user at one desk, for seconds. Everything that it opens ends by itself: the password by
QEMU, the port by the kernel. So whatever interrupts this leaves nothing open.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from spicegrants.core.errors import SpiceGrantError
from spicegrants.core.paths import HOST_RUN, HOST_STATE
from spicegrants.firewall.live import sockets
from spicegrants.host import disk
from spicegrants.hypervisor import consoles, domains, host_file, rights, sessions
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import ports, virsh
from spicegrants.hypervisor.live.book import Book
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy.decision import Decision
from spicegrants.policy.model import EXCLUSIVE, SHARED, TAKEOVER
from spicegrants.policy.ticket_protocol import (
    BUSY,
    CLOSED,
    ENDED,
    FAILED,
    IN_USE,
    LOCKED,
    NOT_GRANTED,
    SHUT,
    TAKEN_OVER,
    VALID,
    Answer,
)
from spicegrants.schedule import instants


def new_secret() -> str:
    """Return a password that nobody can guess, and that libvirt takes."""
    return secrets.token_urlsafe(32)


def stored() -> Stored:
    """Return what this host stores."""
    return host_file.load(disk.read_text(HOST_STATE))


@contextlib.contextmanager
def alone(vm: str) -> Iterator[None]:
    """Have one console to oneself: a ticket at a time, and none while its definition is changed."""
    descriptor = os.open(f"{HOST_RUN}/{vm}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def member(user: str, group: str) -> bool:
    """Tell whether a user is a member of a group, as this host knows both; with an unknown one they are not."""
    try:
        entry = grp.getgrnam(group)
        return user in entry.gr_mem or pwd.getpwnam(user).pw_gid == entry.gr_gid
    except KeyError:
        return False


def decide(kept: Stored, user: str, vm: str, now: int) -> Decision:
    """Decide whether a user may open a console now, by what this host stores."""
    return rights.decide(kept.the_policy, kept.temporary, member, user, vm, now)


def refusal(kept: Stored, desk: str, user: str, vm: str, now: int) -> Answer | None:
    """Return why a user at a desk may have no ticket; ``None`` if they may."""
    if kept.policy is None or desk not in kept.policy.desks or vm not in kept.policy.consoles_of(kept.minion):
        return Answer(refusal=NOT_GRANTED, why=f"this host gives desk {desk} no tickets for {vm}")
    if now < instants.EARLIEST:
        return Answer(refusal=FAILED, why=f"this host's clock says {instants.iso(now)}, so it was never set")
    decided = decide(kept, user, vm, now)
    if decided.open:
        return None
    if decided.access is None:
        return Answer(refusal=NOT_GRANTED, why=f"no grant of this host is {user}'s for {vm}")
    if decided.lock is not None:
        return Answer(refusal=LOCKED, why=decided.lock.words)
    return Answer(refusal=CLOSED, until=decided.until)


def give(desk: str, user: str, vm: str, book: Book) -> Answer:
    """Give a user at a desk a ticket for one launch, if they may have one.

    book
        The sessions that this host knows of. The new one is noted before anything opens: whatever interrupts this,
        somebody shuts it.

    Whoever calls it has the console to themselves, see :func:`alone`.
    """
    now = int(time.time())
    kept = stored()
    refused = refusal(kept, desk, user, vm, now)
    if refused is not None:
        return refused
    policy = kept.the_policy
    console = policy.vms[vm]
    domain = virsh.running(kept.uuids[vm]) if vm in kept.uuids else None
    if domain is None:
        return Answer(refusal=SHUT, why=f"domain {console.libvirts_name} does not run")
    if (wrong := consoles.hindrance(console, domain)) is not None:
        return Answer(refusal=SHUT, why=wrong)
    end = rights.end_of(policy, decide(kept, user, vm, now))
    session = Session(vm, console.tls_port, user, desk, policy.desks[desk].addresses, now, end)
    with book.lock:
        settle(kept, book)
        there = [each for each in book.sessions if each.vm == vm]
        going = [each for each in there if _gives_way(each, session, console.sharing)]
        if (holder := _in_the_way([each for each in there if each not in going], console.sharing)) is not None:
            return holder
        book.end(going, Answer(refusal=TAKEN_OVER, user=user, since=now))
        book.note(session)
    try:
        return _opened(session, domain, console.sharing, book)
    except (SpiceGrantError, OSError):
        with book.lock:
            book.end([session], Answer(refusal=ENDED, since=now))
        raise


def _opened(session: Session, domain: Element, sharing: str, book: Book) -> Answer:
    """Make a ticket, and open the port for it."""
    ticket = new_secret()
    # Whoever is in by no ticket of ours goes.
    virsh.set_password(domain, ticket, utc(session.since + VALID), "keep" if sharing == SHARED else "disconnect")
    with book.lock:
        if session not in book.sessions:
            return Answer(refusal=ENDED)
        ports.hold(session.places, book.sessions)
        book.ends.pop(session.who, None)
    return Answer(ticket=ticket, until=session.end)


def would_give(desk: str, user: str, vm: str) -> Answer:
    """Answer whether a user at a desk has a right to a ticket, by the same decision; none is made."""
    now = int(time.time())
    kept = stored()
    return refusal(kept, desk, user, vm, now) or Answer(granted=True, until=decide(kept, user, vm, now).until)


def why_ended(desk: str, user: str, vm: str) -> Answer:
    """Answer why a session has ended of which nothing was noted: it has no right any more, or has just ended."""
    return refusal(stored(), desk, user, vm, int(time.time())) or Answer(refusal=ENDED)


def _gives_way(there: Session, coming: Session, sharing: str) -> bool:
    """Tell whether a session ends for another: an unused ticket, one's own elsewhere, or anybody's by takeover."""
    if sharing == SHARED:
        return there.who == coming.who and not there.own
    return there.user == coming.user or (sharing == TAKEOVER and bool(there.own))


def _in_the_way(staying: list[Session], sharing: str) -> Answer | None:
    """Return why nobody else gets in now: somebody has the console, or is just opening it with its one password."""
    for session in staying:
        if sharing == EXCLUSIVE:
            return Answer(refusal=IN_USE, user=session.user, since=session.since)
        if session.fresh:
            return Answer(refusal=BUSY)
    return None


def utc(moment: int) -> str:
    """Spell a moment as libvirt does."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


class Settled(NamedTuple):
    """What a look at the sessions found: tickets that have done their work, and when to look again, if ever."""

    finished: list[Session]
    again: int | None


def settle(kept: Stored, book: Book) -> Settled:
    """End sessions that nobody may have any more, let tickets that have done their work open nothing, forget the rest.

    It needs neither libvirt nor a desk. Whoever calls it holds the book.
    """
    now = int(time.time())
    open_now = sockets.connections()
    finished: list[Session] = []
    moments: list[int] = []
    for before in [*book.sessions]:
        session = sessions.seen(before, book.sessions, open_now, now)
        book.replace(before, session)
        why, until = why_not(kept, session, now)
        if why is not None or sessions.over(session, before, now):
            book.end([session], Answer(refusal=why or ENDED, since=now))
            finished += [session] * session.fresh
            continue
        if session.fresh and sessions.all_open(session, now):
            finished.append(session)
            book.replace(session, session._replace(fresh=False))
            ports.hold(session.places, book.sessions)
        # A session's own end is not heard of, only looked for.
        moments += [now + 1 if session.fresh else now + 5, *([until] if until is not None else [])]
    if kept.policy is not None:
        # What is younger than this look is for the next one.
        sockets.end(sessions.strays(rights.guarded(kept.policy, kept.minion), book.sessions, open_now))
    return Settled(finished, min(moments, default=None))


def why_not(kept: Stored, session: Session, now: int) -> tuple[str | None, int | None]:
    """Return why a session may not go on, ``None`` if it may; and when that changes next, if ever."""
    policy = kept.policy
    if policy is None or session.desk not in policy.desks or session.vm not in policy.consoles_of(kept.minion):
        return NOT_GRANTED, None
    decided = decide(kept, session.user, session.vm, now)
    if decided.open or decided.lasting:
        return None, decided.until
    return NOT_GRANTED if decided.access is None else LOCKED if decided.lock else CLOSED, None


def end_password(session: Session, book: Book) -> None:
    """Have the password of a ticket that has done its work open nothing, unless somebody has the next one already."""
    with alone(session.vm):
        with book.lock:
            if any(each.vm == session.vm and each.fresh for each in book.sessions):
                return
        uuid = stored().uuids.get(session.vm)
        domain = virsh.running(uuid) if uuid else None
        if domain is not None:
            virsh.set_password(domain, new_secret(), domains.ENDED, "keep")


def hold_ports(kept: Stored, known: Iterable[Session]) -> bool:
    """Make the kernel's table anew where somebody has changed it; return whether that was so. Sessions go on."""
    if kept.policy is None:
        return False
    wanted = rights.guarded(kept.policy, kept.minion)
    if not ports.astray(wanted, known):
        return False
    ports.load(wanted, known)
    return True


def answered(work: Callable[[], Answer]) -> Answer:
    """Return the answer of a function; an error is one as well."""
    try:
        return work()
    except (SpiceGrantError, OSError) as error:
        return Answer(refusal=FAILED, why=" ".join(str(error).split())[:500])
