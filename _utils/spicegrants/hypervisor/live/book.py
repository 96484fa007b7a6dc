"""The sessions that this host knows of, in memory and on disk, with one lock around them and what lets them in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from spicegrants.core.entries import File
from spicegrants.core.errors import SpiceGrantError, SystemFault, kept
from spicegrants.core.paths import HOST_SESSIONS
from spicegrants.firewall.live import sockets
from spicegrants.host import disk
from spicegrants.hypervisor import sessions
from spicegrants.hypervisor.live import ports
from spicegrants.hypervisor.sessions import Session
from spicegrants.policy.ticket_protocol import Answer

log = logging.getLogger(__name__)


def read() -> list[Session]:
    """Return the sessions that were kept; of a damaged file none: then whatever is open is nobody's, and ends."""
    try:
        return sessions.load(disk.read_text(HOST_SESSIONS))
    except SystemFault as error:
        log.warning("open sessions are ended: %s", error)
        return []


class Book:
    """Sessions, and why the last one of a desk, user and vm has ended.

    lock
        Held by whoever looks and changes something. Nothing that waits for libvirt is done meanwhile.
    """

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.sessions = read()
        self.ends: dict[tuple[str, str, str], Answer] = {}

    def note(self, session: Session) -> None:
        """Take note of a session; raise :class:`~spicegrants.core.errors.SystemFault` if that cannot be kept."""
        becomes = [*self.sessions, session]
        disk.write(HOST_SESSIONS, File(sessions.dump(becomes), 0o600))
        self.sessions = becomes

    def replace(self, before: Session, session: Session) -> None:
        """Take note of what has become of a session."""
        if session != before:
            self._keep([session if each == before else each for each in self.sessions])

    def end(self, chosen: Iterable[Session], why: Answer) -> None:
        """End sessions and forget them: their places go first, then their connections.

        Where another session comes from the same place, that stays.
        """
        for session in chosen:
            # Their viewers ask as soon as they are cut.
            self.ends[session.who] = why
            faults: list[SpiceGrantError] = []
            with kept(faults):
                ports.hold(session.places, [each for each in self.sessions if each != session])
            with kept(faults):
                sockets.end_surely(sessions.connections_of(session, sockets.connections(), self.sessions))
            for fault in faults:
                # It is nobody's from now on: each look shuts its place and ends its connections.
                log.warning("%s: its session is not ended in each way that there is: %s", session.vm, fault)
            self._keep([each for each in self.sessions if each != session])
            print(f"{session.vm}: the session of {session.user} at {session.desk} ends: {why.refusal}", flush=True)

    def _keep(self, becomes: list[Session]) -> None:
        """Know sessions otherwise, whether that can be kept or not: what was kept before knows of no fewer."""
        self.sessions = becomes
        try:
            disk.write(HOST_SESSIONS, File(sessions.dump(becomes), 0o600))
        except SystemFault as error:
            log.warning("what has become of sessions cannot be kept: %s", error)
