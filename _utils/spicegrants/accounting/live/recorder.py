"""The recorder: a service of root's that sees who opens and ends which console, and writes it into the record.

It hears from the kernel when a connection has ended, and from the opener when one is about to begin; beyond that it
looks now and then. It decides nothing: whether it runs or not, the same consoles are open.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from spicegrants.accounting import reasons, refusals, socket_reports, tracking
from spicegrants.accounting.live import journal, noted
from spicegrants.accounting.live.journal import Journal
from spicegrants.accounting.live.monitoring import Monitoring
from spicegrants.accounting.tracking import Door, Over, Session
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import OPENER, RECORDER_SOCKET, RUN, SESSIONS, STATE, STORE
from spicegrants.firewall import denials
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.host import disk, netlink_socket, run
from spicegrants.host.accounts import gid
from spicegrants.policy import state_file
from spicegrants.policy.compiler import DesiredState, recalled
from spicegrants.policy.decision import decide
from spicegrants.policy.model import Audit
from spicegrants.record import events
from spicegrants.record.live import event_log
from spicegrants.schedule import instants

# Seconds between two looks: shortly after somebody began to open a console; while one is open, or viewers are not
# confined, so that nobody says when they begin; and else.
_AT_ONCE, _OFTEN, _SELDOM = 0.1, 2.0, 15.0
# Seconds for which the first of these lasts.
_BEGINNING = 20.0
# Seconds between two notes of what is open, for a machine that goes off at once.
_NOTED = 300.0
# Seconds that the opener has to say why a session ended, which it may know from the KVM host.
_WORD = 5.0
# Kinds of refusals that are told apart at once.
_KINDS = 10000
# Seconds after which a program that follows the journal, and has ended, is started again.
_AGAIN = 60.0
# Seconds by which the kernel may be late with the end of a connection that it does not show any more.
_LATE = 0.5
# Seconds for which ends of connections are gathered.
_GATHERED = 0.1
# Bytes that the kernel buffers for us.
_ROOM = 1 << 20
# asm-generic/socket.h.
_SO_ATTACH_FILTER = 26


class Recorder:
    """The sessions that are open, and what is still to be written."""

    def __init__(self) -> None:
        self.sessions: dict[Door, Session] = {}
        # What openers said of ends, which may be nothing, and until when that counts.
        self.words: dict[tuple[int, str], tuple[str, float]] = {}
        # Ends that wait for the opener's word, with the moment by which it must have come.
        self.waiting: list[tuple[Over, float]] = []
        self.unwritten: list[dict[str, Any]] = []
        self.state: tuple[tuple[int, ...], state_file.Stored] = ((), state_file.Stored())
        self.refusals: dict[tuple, tuple[int, int]] = {}
        self.monitoring = Monitoring()
        self.cursor = ""
        self.beginning = 0.0
        self.noted = 0.0
        self.boot = noted.new_boot()

    def desired(self, now: int) -> DesiredState | None:
        """Return what is enforced at a moment; ``None`` where nothing is stored."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(STATE)
            key = status.st_ino, status.st_mtime_ns, status.st_size
            if key != self.state[0]:
                self.state = key, state_file.load(disk.read_text(STATE))
            stored = self.state[1]
            if stored.policy is not None:
                return recalled(stored, gid(stored.policy.viewer.group), now)
        return None

    def resume(self) -> None:
        """Take up what the recorder before has seen; what was open when the machine went off is over."""
        now = int(time.time())
        try:
            known, boot, self.cursor = tracking.load(disk.read_text(SESSIONS))
        except SpiceGrantError as error:
            # A new file takes its place.
            print(f"sessions that were open are not known: {error}", file=sys.stderr)
            return
        if boot == self.boot:
            self.sessions = known
            return
        over = [Over(session._replace(whole=False), now, False, tracking.POWER) for session in known.values()]
        self._end(over, self.desired(now))

    def look(self, hear: Callable[[], object]) -> None:
        """Compare what is open with what was seen.

        hear
            Takes up what the kernel says: it tells of an end somewhat later than it shows.
        """
        now = int(time.time())
        desired = self.desired(now)
        if desired is None:
            self._take(tracking.look(self.sessions, (), now, self._nobody), None)
            return
        ranges = desired.policy.guarded_ports()
        open_now = [
            each for each in sockets.connections() if any(low <= each.remote[1] <= high for low, high in ranges)
        ]
        if tracking.missing(self.sessions, open_now):
            time.sleep(_LATE)
            hear()
        self._take(tracking.look(self.sessions, open_now, now, lambda first: _session(desired, first, now)), desired)

    def ended(self, ends: Iterable[socket_reports.SocketEnd]) -> None:
        """Take up what the kernel says."""
        now = int(time.time())
        for end in ends:
            seen = tracking.ended(self.sessions, end, now)
            # Most are refused connections, and no session's.
            self._take(seen, self.desired(now) if seen.over else None)

    def told(self, message: bytes) -> None:
        """Take up what the opener says: that somebody begins, or why their session ended."""
        said = json.loads(message)
        if "why" in said:
            self.words[int(said["uid"]), str(said["vm"])] = str(said["why"]), time.monotonic() + _WORD
        else:
            self.beginning = time.monotonic() + _BEGINNING

    def refused(self, lines: Iterable[bytes]) -> None:
        """Take up what the journal says of refusals by sudo and by the guard."""
        now = int(time.time())
        desired = self.desired(now)
        for line in lines:
            found = refusals.entry(line)
            if found is None or desired is None:
                continue
            self.cursor = found.cursor
            fields = _refusal(desired, found)
            if fields is None:
                continue
            kind = tuple(fields.get(name) for name in ("by", "uid", "vm", "port"))
            count = refusals.folded(self.refusals, kind, now)
            if count:
                fields["count"] = count if count > 1 else None
                self.unwritten.append(_event(events.REFUSED, found.moment, desired, **fields))
        if len(self.refusals) > _KINDS:
            self.refusals.clear()

    def write(self) -> None:
        """Write what has happened, and note what is open."""
        ready, now = time.monotonic(), int(time.time())
        desired = self.desired(now)
        # A word that came late is not about the next session.
        self.words = {about: word for about, word in self.words.items() if ready < word[1]}
        left = []
        for over, until in self.waiting:
            word = self.words.pop((over.session.uid, over.session.vm or ""), None)
            if word is None and ready < until:
                left.append((over, until))
            else:
                self.unwritten.append(_event_of_end(desired, over, word[0] if word else None))
        self.waiting = left
        # If it cannot be written, it is tried again with the next look, and what is noted still has it.
        if self.unwritten:
            event_log.append(self.unwritten, desired.policy.audit if desired else Audit())
            self.unwritten = []
            self.note()
        elif ready > self.noted + _NOTED and self.sessions:
            self.note()
        self.monitoring.write(desired, [*self.sessions.values()])

    def note(self) -> None:
        """Note what is open, and what has ended without having been written yet."""
        kept = {**{each.session.door: each.session for each, _ in self.waiting}, **self.sessions}
        content = File(tracking.dump(kept, self.boot, self.cursor, int(time.time())), 0o600)
        # After a removal there is nothing left to note.
        if disk.read(STORE) is not None:
            directory = os.path.dirname(SESSIONS)
            if disk.read(directory) != Directory(0o700):
                disk.make_directory(directory, Directory(0o700))
            disk.write(SESSIONS, content)
        self.noted = time.monotonic()

    def pause(self) -> float:
        """Return the seconds until the next look."""
        now = time.monotonic()
        if now < self.beginning:
            return _AT_ONCE
        policy = self.state[1].policy
        direct = policy is not None and (policy.viewer.confine is False or not os.path.exists(OPENER))
        return _OFTEN if self.sessions or self.waiting or direct else _SELDOM

    def _take(self, seen: tracking.Seen, desired: DesiredState | None) -> None:
        self.sessions = seen.sessions
        for session in seen.begun:
            self.unwritten.append(_event(events.OPENED, session.start, desired, **tracking.fields(session)))
        self._end(seen.over, desired)

    def _end(self, over: Iterable[Over], desired: DesiredState | None) -> None:
        for each in over:
            why = each.why if each.why == tracking.POWER else reasons.of_policy(desired, each)
            if why is not None or not _asks_host(desired, each.session.vm):
                self.unwritten.append(_event_of_end(desired, each, why))
            else:
                self.waiting.append((each, time.monotonic() + _WORD))

    def _nobody(self, first: Connection) -> Session:
        raise SystemFault(f"a session with {first.remote} without a policy")


def _session(desired: DesiredState, first: Connection, now: int) -> Session:
    """Return the session that a connection begins."""
    vm = desired.vm_at(*first.remote)
    user = _name(desired, first.uid)
    grants = decide(desired, user, vm, now).grants if user and vm else ()
    confined = desired.policy.viewer.confine is not False and os.path.exists(OPENER)
    return Session(
        id=os.urandom(8).hex(),
        user=user,
        uid=first.uid,
        vm=vm,
        server=desired.policy.vms[vm].server if vm else None,
        address=first.remote[0],
        port=first.remote[1],
        grants=grants,
        form="confined" if confined else "direct",
        start=now,
        seen=now,
        ports=frozenset(),
        first=first.local[1],
    )


def _refusal(desired: DesiredState, found: refusals.Entry) -> dict[str, Any] | None:
    """Return what the record says of a refusal; ``None`` if an entry of the journal tells of none."""
    denial = refusals.by_guard(found)
    if denial is not None:
        user, vm = _name(desired, denial.uid), desired.vm_at(denial.address, denial.port)
        return {
            "user": user,
            "uid": denial.uid,
            "vm": vm,
            "address": denial.address,
            "port": denial.port,
            "by": "guard",
            "why": denials.why(desired, denial, user, vm),
        }
    refusal = refusals.by_sudo(found, desired.policy.viewer.paths)
    if refusal is None:
        return None
    uid = None
    with contextlib.suppress(KeyError):
        uid = pwd.getpwnam(refusal.user).pw_uid
    # Words that name no vm are told apart no further: there is no end of them.
    vm = refusal.vm if refusal.vm in desired.policy.vms else None
    return {**refusals.fields(refusal, uid), "vm": vm}


def _name(desired: DesiredState, uid: int | None) -> str | None:
    user = next((access.user for access in desired.accesses if access.uid == uid), None)
    if user is None and uid is not None:
        with contextlib.suppress(KeyError):
            user = pwd.getpwuid(uid).pw_name
    return user


def _asks_host(desired: DesiredState | None, vm: str | None) -> bool:
    return desired is not None and vm is not None and vm in desired.policy.vms and desired.policy.gives_tickets(vm)


def _event(kind: str, moment: int, desired: DesiredState | None, **fields: Any) -> dict[str, Any]:
    return events.event(kind, moment, desired.policy.time.zone if desired else None, **fields)


def _event_of_end(desired: DesiredState | None, over: Over, why: str | None) -> dict[str, Any]:
    why = why or over.why or (tracking.CLOSED if over.exact else tracking.UNSEEN)
    fields = {**tracking.fields(over.session), **tracking.fields_of_end(over, instants.iso), "why": why}
    return _event(events.ENDED, over.end, desired, **fields)


def main() -> int:
    """Record until somebody ends it; return the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        run.as_root()
        with _heard() as kernel, _listening() as opener:
            recorder = Recorder()
            _filter(kernel, recorder.desired(int(time.time())))
            recorder.resume()
            _say_ready()
            try:
                _serve(recorder, kernel, opener)
            finally:
                # Bytes that were counted are not counted again.
                if not recorder.unwritten:
                    recorder.note()
    except (SpiceGrantError, OSError, ValueError) as error:
        print(f"sessions are not recorded: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(recorder: Recorder, kernel: socket.socket, opener: socket.socket) -> None:
    looked, policy = 0.0, None
    hindrance = ""

    def hear() -> bool:
        """Take up what the kernel says; return whether it is all of it."""
        messages = [*netlink_socket.received(kernel)]
        for message in messages:
            recorder.ended(socket_reports.ends(message or b""))
        return None not in messages

    follower: Journal | None = None
    following = 0.0
    while True:
        pause = max(0.0, looked + recorder.pause() - time.monotonic())
        waited: list[socket.socket | Journal] = [kernel, opener, *([follower] if follower else [])]
        ready, _, _ = select.select(waited, [], [], pause)
        try:
            if kernel in ready:
                # Whoever is refused over and over ends a connection each time: those are taken together.
                time.sleep(_GATHERED)
            if kernel in ready and not hear():
                # Some ends were dropped: a look finds who is gone.
                looked = 0.0
            if opener in ready:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    recorder.told(opener.recv(4096))
            if follower in ready and follower is not None:
                lines = follower.lines()
                follower = follower if lines is not None else None
                recorder.refused(lines or ())
            if time.monotonic() >= looked + recorder.pause():
                looked = time.monotonic()
                recorder.look(hear)
            if follower is None and time.monotonic() >= following and journal.there():
                following = time.monotonic() + _AGAIN
                follower = Journal(recorder.cursor)
            recorder.write()
            if recorder.state[1].policy is not policy:
                policy = recorder.state[1].policy
                _filter(kernel, recorder.desired(int(time.time())))
            hindrance = ""
        except SpiceGrantError as error:
            if str(error) != hindrance:
                hindrance = str(error)
                print(f"something is not recorded: {error}", file=sys.stderr, flush=True)


def _heard() -> socket.socket:
    return netlink_socket.open_socket(netlink_socket.SOCKETS, netlink_socket.ENDED, _ROOM, patience=0)


def _filter(kernel: socket.socket, desired: DesiredState | None) -> None:
    """Have the kernel tell only of connections to guarded ports."""
    program = socket_reports.port_filter(desired.policy.guarded_ports() if desired else ())
    buffer = ctypes.create_string_buffer(program, len(program))
    kernel.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    )


def _say_ready() -> None:
    """Tell systemd that this is at work, sd_notify(3), where it asks for that."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(b"READY=1", f"\0{place[1:]}" if place.startswith("@") else place)


def _listening() -> socket.socket:
    """Listen to openers, which are root's."""
    if disk.read(RUN) != Directory(0o700):
        disk.make_directory(RUN, Directory(0o700))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(RECORDER_SOCKET)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    listening.bind(RECORDER_SOCKET)
    listening.setblocking(False)
    return listening
