"""The service that gives tickets, as root: it answers on a socket that only the desks' account may use.

It reads what is stored anew for each ticket, so that a run needs to tell it nothing that matters. It listens to no
network.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import select
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from spicegrants.core import validation
from spicegrants.core.entries import Directory
from spicegrants.core.errors import SpiceGrantError
from spicegrants.core.paths import HOST_RUN, HOST_SOCKET, TICKET_USER
from spicegrants.firewall.connections import Connection, ended_at
from spicegrants.firewall.live import sockets as firewall_sockets
from spicegrants.host import disk, netlink_socket, run
from spicegrants.hypervisor import consoles
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import notice, tickets
from spicegrants.hypervisor.live.book import Book
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy import ticket_protocol
from spicegrants.policy.model import Vm
from spicegrants.policy.ticket_protocol import BUSY, ENDED, FAILED, SHUT, TOO_MANY, Answer

# Tickets that one desk may ask for at once, and then each second; and one user of it.
_OF_DESK, _OF_USER = (8, 1.0), (4, 0.4)
# So many of those who asked are remembered.
_ASKERS = 10000
# Seconds to wait for a console that somebody else is just given, or that is just defined.
_WAITING = 15.0
# Messages of the kernel's that are taken at once.
_AT_ONCE = 1000
# Seconds between two looks, if the kernel tells of nothing; and at the least, if it does.
_OFTEN, _SELDOM = 10.0, 0.2
# Who has asked something says it all in that many seconds.
_PATIENCE = 5.0
# Seconds that libvirt and nft may take: an answer is waited for.
_LIMIT = 10.0


# What hinders something, as it was said last.
_said: dict[str, str] = {}


class Service:
    """Sessions and limits."""

    def __init__(self) -> None:
        self.book = Book()
        self.left: dict[tuple[str, ...], tuple[float, float]] = {}
        self.counting = threading.Lock()
        self.asked = False

    def ask(self, request: str, desk: str, user: str, vm: str, waits: Callable[[], bool]) -> Answer:
        """Answer a desk. Each kind of request is limited by itself: none keeps another from being answered.

        waits
            Tells whether somebody still waits for the answer.
        """
        if not self._may_ask((desk, request, user), *_OF_USER) or not self._may_ask((desk, request), *_OF_DESK):
            return Answer(refusal=TOO_MANY)
        user = tickets.spelled(user)
        if request == ticket_protocol.ASK:
            return tickets.answered(lambda: tickets.would_give(desk, user, vm))
        if request == ticket_protocol.WHY:
            noted = self.book.ends.pop((desk, user, vm), None)
            return noted or tickets.answered(lambda: tickets.why_ended(desk, user, vm))
        # What did not answer a moment ago may answer now.
        run.afresh()
        answer = tickets.answered(lambda: self._given(desk, user, vm, waits))
        self.again()
        if answer.ticket is None:
            print(f"{vm}: no ticket for {user} at {desk}: {answer.refusal} {answer.why or ''}", flush=True)
        else:
            print(f"{vm}: ticket for {user} at {desk}", flush=True)
        return answer

    def _given(self, desk: str, user: str, vm: str, waits: Callable[[], bool]) -> Answer:
        # Who has no right takes up neither a console nor what libvirt can do.
        refused = tickets.would_give(desk, user, vm)
        if refused.refusal is not None:
            return refused
        try:
            with tickets.alone(vm, _WAITING):
                return tickets.give(desk, user, vm, self.book) if waits() else Answer(refusal=ENDED)
        except TimeoutError:
            return Answer(refusal=BUSY)

    def trial(self, vm: str, source: str) -> Answer:
        """Give this host itself a ticket: root's proof that it takes one, and nothing else, to open a console."""
        if vm not in _declared() or not consoles.own_address(source):
            return Answer(refusal=SHUT, why="it is none of this host's")
        run.afresh()
        with tickets.alone(vm):
            answer = tickets.answered(lambda: tickets.trial(vm, source, self.book))
        self.again()
        return answer

    def _may_ask(self, whose: tuple[str, ...], burst: int, rate: float) -> bool:
        """Tell whether somebody may ask; whoever asked for many tickets is told all the same why a session ended."""
        now = time.monotonic()
        with self.counting:
            if len(self.left) >= _ASKERS:
                # Desks are few, and stay limited.
                self.left = {each: left for each, left in self.left.items() if each[2:] == ()}
            left, before = self.left.get(whose, (float(burst), now))
            left = min(burst, left + (now - before) * rate)
            self.left[whose] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def look(self) -> None:
        """End what has to end, for ever."""
        while True:
            again = self._look()
            with self.book.lock:
                until = min(time.time() + _OFTEN, again or float("inf"))
                self.book.lock.wait_for(lambda: self.asked, max(0.5, until - time.time()))
                self.asked = False

    def hear(self) -> None:
        """Have a look taken whenever rules of the kernel change, or a connection to a console ends, for ever."""
        try:
            with (
                netlink_socket.open_socket(netlink_socket.NETFILTER, netlink_socket.RULES, patience=0) as rules,
                netlink_socket.open_socket(netlink_socket.SOCKETS, netlink_socket.ENDED, patience=0) as sockets,
            ):
                while True:
                    select.select([rules, sockets], [], [])
                    # What they say of rules is no matter: a look compares. But whatever ends on this host is told.
                    changed = _drained(rules, lambda message: True)
                    at_consoles = partial(_ended, {session.port for session in self.book.sessions})
                    if _drained(sockets, at_consoles) or changed:
                        self.again()
                    # Whoever opens and closes sockets without end takes no more than this program's own time.
                    time.sleep(_SELDOM)
        except OSError as error:
            _complain(f"changes of rules and ends of sessions are not noticed before the next look: {error}")

    def _look(self) -> int | None:
        """End what has to end; return when to look again, if that is known."""
        run.afresh()
        with self.book.lock:
            kept = _stored()
            settled = tickets.Settled([], int(time.time()) + 5, [])
            open_now: list[Connection] = []
            with _complaining("sessions cannot be looked at"):
                open_now = firewall_sockets.connections()
                settled = tickets.settle(kept, self.book, open_now)
            for fault in settled.faults:
                _complain(f"a session is not looked at: {fault}")
            with _complaining("what is no session's is not ended"):
                tickets.end_strays(kept, self.book, open_now)
            with _complaining("ports cannot be looked at"):
                if tickets.hold_ports(kept, self.book.sessions):
                    _complain("the ports were not shut as they must be: the rules are made anew")
        for session in settled.finished:
            # libvirt may take its time, and nobody's end is to wait for that.
            threading.Thread(target=self._end_password, args=[session], daemon=True).start()
        return settled.again

    def _end_password(self, session: Session) -> None:
        try:
            tickets.end_password(session, self.book)
        except (SpiceGrantError, OSError) as error:
            _complain(f"{session.vm}: its password ends by itself: {error}")

    def again(self) -> None:
        """Have the sessions looked at now."""
        with self.book.lock:
            self.asked = True
            self.book.lock.notify_all()


def _stored() -> Stored:
    """Return what this host stores; of what cannot be read nothing, and so nobody's session goes on."""
    try:
        return tickets.stored()
    except SpiceGrantError as error:
        _complain(f"all sessions end: {error}")
        return Stored()


def _declared() -> Mapping[str, Vm]:
    kept = _stored()
    return {} if kept.policy is None else kept.policy.consoles_of(kept.minion)


def _ended(ports: set[int], message: bytes) -> bool:
    return not ports.isdisjoint(ended_at(message))


def _drained(kernel: socket.socket, matters: Callable[[bytes], bool]) -> bool:
    """Take what the kernel has told; return whether any of it matters, or some may have been missed."""
    found = False
    for count, message in enumerate(itertools.islice(netlink_socket.received(kernel), _AT_ONCE), 1):
        found = found or message is None or count == _AT_ONCE or matters(message)
    return found


@contextlib.contextmanager
def _complaining(what: str) -> Iterator[None]:
    """Say what hinders something, once as long as it is the same, and go on."""
    try:
        yield
    except (SpiceGrantError, OSError) as error:
        if _said.get(what) != str(error):
            _said[what] = str(error)
            _complain(f"{what}: {error}")
    else:
        _said.pop(what, None)


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE

    def handle(self) -> None:
        """Answer one question: of the desks' account, or of root's run."""
        service: Service = self.server.service  # type: ignore[attr-defined]
        credentials = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        with contextlib.suppress(OSError):
            line = self.rfile.readline(ticket_protocol.LONGEST_QUESTION)
            if line == notice.AGAIN and uid == 0:
                service.again()
                self.wfile.write(notice.AGAIN)
                return
            if line.startswith(notice.TRIAL + b" ") and uid == 0:
                vm, _, source = line[len(notice.TRIAL) :].decode("ascii", "replace").strip().partition(" ")
                self.wfile.write(ticket_protocol.spelled(service.trial(vm, source)).encode())
                return
            request, desk, *rest = (*line.decode("ascii", "replace").split(" ", 2), "", "")[:3]
            question = ticket_protocol.question(rest[0].encode())
            if question is None or request not in ticket_protocol.REQUESTS or validation.minion_id(desk):
                answer = Answer(refusal=FAILED, why="what was asked is no desk, user and vm")
            else:
                answer = service.ask(request, desk, *question, self._waits)
            self.wfile.write(ticket_protocol.spelled(answer).encode())

    def _waits(self) -> bool:
        """Tell whether whoever asked still waits."""
        watched = select.poll()
        watched.register(self.connection, select.POLLRDHUP)
        return not watched.poll(0)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> int:
    """Give tickets until somebody ends it; return the exit code."""
    try:
        run.as_root()
        with run.patience(_LIMIT):
            service = Service()
            server = _server(pwd.getpwnam(TICKET_USER).pw_gid)
            server.service = service  # type: ignore[attr-defined]
            for work in (server.serve_forever, service.hear):
                threading.Thread(target=work, daemon=True).start()
            # If this ended, nothing would end any more: so it ends the program.
            service.look()
    except (SpiceGrantError, OSError, KeyError) as error:
        print(f"no tickets are given: {error}", file=sys.stderr)
        return 1
    return 0


def _server(gid: int) -> _Server:
    """Listen where only the desks' account, and root, can ask."""
    if disk.read(HOST_RUN) != Directory(0o710, gid):
        disk.make_directory(HOST_RUN, Directory(0o710, gid))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(HOST_SOCKET)
    before = os.umask(0o177)
    try:
        server = _Server(HOST_SOCKET, _Handler)
    finally:
        os.umask(before)
    os.chown(HOST_SOCKET, 0, gid)
    os.chmod(HOST_SOCKET, 0o660)
    return server
