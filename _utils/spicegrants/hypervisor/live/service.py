"""The service that gives tickets, as root: it answers on a socket that only the desks' account may use.

It reads what is stored anew for each ticket, so that a run needs to tell it nothing that matters. It listens to no
network.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import socketserver
import struct
import sys
import threading
import time

from spicegrants.core import validation
from spicegrants.core.entries import Directory
from spicegrants.core.errors import SpiceGrantError
from spicegrants.core.paths import HOST_RUN, HOST_SOCKET, TICKET_USER
from spicegrants.host import disk, run
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import notice, tickets
from spicegrants.hypervisor.live.book import Book
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy import ticket_protocol
from spicegrants.policy.ticket_protocol import FAILED, TOO_MANY, Answer

# Tickets that one desk may ask for at once, and then each second.
_BURST, _RATE = 5, 0.5
# Seconds between two looks at the kernel's rules.
_OFTEN = 10.0
# Who has asked something says it all in that many seconds.
_PATIENCE = 5.0
# Seconds that libvirt and nft may take: an answer is waited for.
_LIMIT = 10.0


class Service:
    """Sessions and limits."""

    def __init__(self) -> None:
        self.book = Book()
        self.left: dict[tuple[str, str], tuple[float, float]] = {}
        self.counting = threading.Lock()
        self.asked = False

    def ask(self, request: str, desk: str, user: str, vm: str) -> Answer:
        """Answer a desk. Each kind of request is limited by itself: none keeps another from being answered."""
        if not self._may_ask(desk, request):
            return Answer(refusal=TOO_MANY)
        if request == ticket_protocol.ASK:
            return tickets.answered(lambda: tickets.would_give(desk, user, vm))
        if request == ticket_protocol.WHY:
            noted = self.book.ends.pop((desk, user, vm), None)
            return noted or tickets.answered(lambda: tickets.why_ended(desk, user, vm))
        # What did not answer a moment ago may answer now.
        run.afresh()
        return tickets.answered(lambda: self._give(desk, user, vm))

    def _give(self, desk: str, user: str, vm: str) -> Answer:
        with tickets.alone(vm):
            answer = tickets.give(desk, user, vm, self.book)
        self.again()
        if answer.ticket is None:
            print(f"{vm}: no ticket for {user} at {desk}: {answer.refusal} {answer.why or ''}", flush=True)
        else:
            print(f"{vm}: ticket for {user} at {desk}", flush=True)
        return answer

    def _may_ask(self, desk: str, request: str) -> bool:
        """Tell whether a desk may ask; whoever asked for many tickets is told all the same why a session ended."""
        now, whose = time.monotonic(), (desk, request)
        with self.counting:
            left, before = self.left.get(whose, (float(_BURST), now))
            left = min(_BURST, left + (now - before) * _RATE)
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

    def _look(self) -> int | None:
        """End what has to end; return when to look again, if that is known."""
        run.afresh()
        kept = _stored()
        try:
            with self.book.lock:
                settled = tickets.settle(kept, self.book)
                if tickets.hold_ports(kept, self.book.sessions):
                    _complain("the ports were not shut as they must be: the rules are made anew")
        except (SpiceGrantError, OSError) as error:
            _complain(f"sessions and ports cannot be looked at: {error}")
            return int(time.time()) + 5
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
            request, desk, *rest = (*line.decode("ascii", "replace").split(" ", 2), "", "")[:3]
            question = ticket_protocol.question(rest[0].encode())
            if question is None or request not in ticket_protocol.REQUESTS or validation.object_name(desk):
                answer = Answer(refusal=FAILED, why="what was asked is no desk, user and vm")
            else:
                answer = service.ask(request, desk, *question)
            self.wfile.write(ticket_protocol.spelled(answer).encode())


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
            threading.Thread(target=server.serve_forever, daemon=True).start()
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
