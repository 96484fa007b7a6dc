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
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from spicegrants.core import errors
from spicegrants.core.errors import SpiceGrantError
from spicegrants.core.paths import HOST_RUN, HOST_STATE, HOST_UNSTORED
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.host import disk
from spicegrants.hypervisor import consoles, domains, host_file, rights, sessions
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import ports, virsh
from spicegrants.hypervisor.live.book import Book
from spicegrants.hypervisor.rights import Accounts
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

# This host itself, in place of a desk; no desk can be called so.
HERE = "this host"
# Seconds in which it may try a console.
_TRYING = 20
# Seconds after which an unused ticket keeps nobody else waiting.
_UNUSED = 10
# Seconds between two looks whether a console is free.
_BETWEEN = 0.05
# Names as the system spells them, each with the moment until which that is remembered: for so many seconds, of so many.
_spellings: dict[str, tuple[float, str]] = {}
_REMEMBERED, _MOST_SPELLINGS = 60.0, 10000


def new_secret() -> str:
    """Return a password that nobody can guess, and that libvirt takes."""
    return secrets.token_urlsafe(32)


def stored() -> Stored:
    """Return what this host stores; until it can be stored, what is to hold."""
    unstored = disk.read_text(HOST_UNSTORED)
    return host_file.load(disk.read_text(HOST_STATE) if unstored is None else unstored)


@contextlib.contextmanager
def alone(vm: str, patience: float = float("inf")) -> Iterator[None]:
    """Have one console to oneself: a ticket at a time, and none while its definition is changed.

    vm
        A declared one: a file remains of it.

    patience
        Seconds to wait for it. After that raises ``TimeoutError``. Defaults to any time.
    """
    descriptor = os.open(f"{HOST_RUN}/{vm}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise TimeoutError("somebody else has had it to themselves for too long")
            time.sleep(_BETWEEN)
        yield
    finally:
        os.close(descriptor)


def member(user: str, group: str) -> bool:
    """Tell whether a user is a member of a group, as this host knows both; with an unknown one they are not."""
    try:
        entry = grp.getgrnam(group)
        return user in entry.gr_mem or pwd.getpwnam(user)[:4:3] == (user, entry.gr_gid)
    except KeyError:
        return False


def spelled(user: str) -> str:
    """Return a user's name as this host's system spells it; of an unknown one the same.

    A directory may take its time, so an answer counts for a minute.
    """
    now = time.monotonic()
    known = _spellings.get(user)
    if known is None or known[0] < now:
        try:
            name = pwd.getpwnam(user).pw_name
        except KeyError:
            name = user
        if len(_spellings) >= _MOST_SPELLINGS:
            _spellings.clear()
        known = _spellings[user] = now + _REMEMBERED, name
    return known[1]


def decide(kept: Stored, user: str, vm: str, now: int) -> Decision:
    """Decide whether a user may open a console now, by what this host stores."""
    return rights.decide(kept.the_policy, kept.temporary, Accounts(member, spelled), user, vm, now)


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
    domain, _ = _behind(kept, vm)
    if isinstance(domain, Answer):
        return domain
    with book.lock:
        # libvirt may have taken its time.
        kept, now = stored(), int(time.time())
        refused = refusal(kept, desk, user, vm, now)
        if refused is not None:
            return refused
        policy = kept.the_policy
        console, end = policy.vms[vm], rights.end_of(policy, decide(kept, user, vm, now))
        session = Session(vm, console.tls_port, user, desk, policy.desks[desk].addresses, now, end)
        settle(kept, book, sockets.connections())
        there = [each for each in book.sessions if each.vm == vm]
        going = [each for each in there if _gives_way(each, session, console.sharing)]
        if (holder := _in_the_way([each for each in there if each not in going], console.sharing)) is not None:
            return holder
        book.end(going, Answer(refusal=TAKEN_OVER, user=user, since=now))
        book.note(session)
    return _opened(session, domain, console.sharing, book)


def _behind(kept: Stored, vm: str) -> tuple[Element | Answer, list[tuple[str, int]]]:
    """Return the running domain behind a console, or why nobody gets a ticket for it; and who listens on this host."""
    console, listening = kept.the_policy.vms[vm], sockets.listeners()
    domain = virsh.running(kept.uuids[vm]) if vm in kept.uuids else None
    if domain is None:
        return Answer(refusal=SHUT, why=f"domain {console.libvirts_name} does not run"), listening
    wrong = consoles.hindrance(console, domain) or consoles.shared(console.tls_port, listening)
    return domain if wrong is None else Answer(refusal=SHUT, why=wrong), listening


def trial(vm: str, source: str, book: Book) -> Answer:
    """Give this host itself a ticket for a console that nobody has open, for some seconds; see :func:`give`.

    Only root may have one made. It says nothing of grants: whoever may open the console is tried elsewhere.

    source
        Address of this host from which it is tried.
    """
    kept = stored()
    domain, _ = _behind(kept, vm)
    if isinstance(domain, Answer):
        return domain
    now, port = int(time.time()), kept.the_policy.vms[vm].tls_port
    session = Session(vm, port, "root", HERE, (source,), now, now + _TRYING)
    with book.lock:
        settle(kept, book, sockets.connections())
        holder = next((each for each in book.sessions if each.vm == vm), None)
        if holder is not None:
            return Answer(refusal=IN_USE, user=holder.user, since=holder.since)
        book.note(session)
    # Nobody is in whom it could disconnect.
    return _opened(session, domain, SHARED, book)


def _opened(session: Session, domain: Element, sharing: str, book: Book) -> Answer:
    """Make a ticket for a session that is noted, and open the port for it."""
    ticket = new_secret()
    try:
        # Whoever is in by no ticket of ours goes.
        virsh.set_password(domain, ticket, utc(session.since + VALID), "keep" if sharing == SHARED else "disconnect")
        with book.lock:
            if session not in book.sessions:
                return Answer(refusal=ENDED)
            ports.hold(session.places, book.sessions)
            book.ends.pop(session.who, None)
    except (SpiceGrantError, OSError):
        with book.lock:
            book.end([session], Answer(refusal=ENDED, since=session.since))
        raise
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
    """Tell whether a session ends for another: one's own elsewhere, anybody's by takeover, or what nobody uses."""
    if there.fresh and not there.own and coming.since >= there.since + _UNUSED:
        return True
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
    """What a look at the sessions found.

    finished
        Those whose tickets have done their work.

    again
        When to look again, if ever.

    faults
        What hindered something for a session; nothing of it hinders the look at others.
    """

    finished: list[Session]
    again: int | None
    faults: list[SpiceGrantError]


def settle(kept: Stored, book: Book, open_now: Sequence[Connection]) -> Settled:
    """End sessions that nobody may have any more, let tickets that have done their work open nothing, forget the rest.

    It needs neither libvirt nor a desk. Whoever calls it holds the book.

    open_now
        The connections of this host.
    """
    now = int(time.time())
    settled = Settled([], None, [])
    moments: list[int] = []
    for before in [*book.sessions]:
        with errors.kept(settled.faults):
            session = sessions.seen(before, book.sessions, open_now, now)
            right = right_of(kept, session, now)
            if right.lost is not None or sessions.over(session, before, now):
                book.replace(before, session)
                book.end([session], Answer(refusal=right.lost or ENDED, since=now))
                settled.finished.extend([session] * session.fresh)
                continue
            shut = session.fresh and sessions.all_open(session, now)
            becomes = session._replace(end=right.end, fresh=session.fresh and not shut)
            book.replace(before, becomes)
            if (becomes.end, becomes.fresh) != (before.end, before.fresh):
                ports.hold(becomes.places, book.sessions)
            settled.finished.extend([session] * shut)
            # A session's own end may go unheard.
            moments += [now + 1 if session.fresh else now + 5, *([] if right.until is None else [right.until])]
    return settled._replace(again=min(moments, default=None))


def end_strays(kept: Stored, book: Book, open_now: Sequence[Connection]) -> None:
    """End connections to guarded ports that are no session's. Whoever calls it holds the book.

    open_now
        The connections by which sessions were settled: what is younger is for the next look.
    """
    if kept.policy is not None:
        guarded = rights.guarded(kept.policy, kept.minion)
        sockets.end_surely(sessions.strays(guarded, book.sessions, open_now))


class SessionRight(NamedTuple):
    """Whether a session may go on: why not, ``None`` if it may; when that changes next; and when it must have ended."""

    lost: str | None
    until: int | None = None
    end: int | None = None


def right_of(kept: Stored, session: Session, now: int) -> SessionRight:
    """Return whether a session may go on."""
    policy = kept.policy
    if session.desk == HERE:
        return SessionRight(None if now < (session.end or 0) else ENDED, session.end, session.end)
    if policy is None or session.desk not in policy.desks or session.vm not in policy.consoles_of(kept.minion):
        return SessionRight(NOT_GRANTED)
    decided = decide(kept, session.user, session.vm, now)
    if decided.open or decided.lasting:
        # It may have become another meanwhile, as by a loan.
        end = rights.end_of(policy, decided) if decided.open else session.end
        return SessionRight(None, decided.until, end)
    return SessionRight(NOT_GRANTED if decided.access is None else LOCKED if decided.lock else CLOSED)


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
    return ports.held(rights.guarded(kept.policy, kept.minion), known)


def answered(work: Callable[[], Answer]) -> Answer:
    """Return the answer of a function; an error is one as well."""
    try:
        return work()
    except (SpiceGrantError, OSError) as error:
        return Answer(refusal=FAILED, why=" ".join(str(error).split())[:500])
