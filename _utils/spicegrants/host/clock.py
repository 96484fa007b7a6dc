"""The clock: ends sessions whose time is over, warns users before, and has systemd start it again when that is due.

It is run by itself, by systemd and with the system's own Python: no Salt, no master, no name of a server is needed.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import sys
import time

from spicegrants import agenda, notices, sessions, store
from spicegrants.alarm import ALARM, NET, SERVICE
from spicegrants.boot import UNITS
from spicegrants.compile import Wanted
from spicegrants.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.files import Directory, File
from spicegrants.host import desktop, disk, run, sockets
from spicegrants.sessions import Connection

# When it last ran: what came before that has been announced.
MOMENT = "/run/spice-grant/clock"
# Seconds: what is nearer is waited for, since systemd would start nothing that still runs.
SOON = 2
_SYSTEMD = "/run/systemd/system"


def main() -> int:
    """Do what is due, and arrange for what comes next; return the exit code.

    What goes wrong is said on standard error, and nothing is then assumed in its place.
    """
    try:
        run.as_root()
        while True:
            coming = tick()
            left = None if coming is None else coming - time.time()
            if left is None or left > SOON:
                arm(coming)
                # Whoever was held up until then does it himself.
                if coming is None or time.time() < coming:
                    return 0
            elif left > 0:
                time.sleep(left)
    except SpiceGrantError as error:
        print(f"the times of SPICE consoles are not seen to: {error}", file=sys.stderr)
        return 1


def tick() -> int | None:
    """End and announce what is due; return the next moment at which something is, in seconds since 1970.

    Reads what is stored, /proc/net/tcp and tcp6, and :data:`MOMENT`, which is written. Runs ``ss --kill``, and what
    shows messages. Raises :class:`~spicegrants.errors.SpiceGrantError` if something cannot be read.
    """
    now = int(time.time())
    stored = store.load(disk.read_text(store.PATH))
    if stored.policy is None:
        raise SystemFault(f"there is no {store.PATH}: run state.apply spice")
    wanted = agenda.recalled(stored, _gid(stored.policy.viewer.group), now)
    connections = sockets.connections()
    strays = sessions.stray(wanted, connections)
    _end(wanted, strays)
    doors = {connection.door for connection in connections} - {connection.door for connection in strays}
    warned = notices.announced(wanted, agenda.due(wanted, _last(now), doors))
    desktop.tell(warned, notices.ENDING, wanted.gid)
    _note(now)
    return agenda.upcoming(wanted)


def _gid(group: str) -> int | None:
    with contextlib.suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    return None


def _end(wanted: Wanted, strays: list[Connection]) -> None:
    """End connections and say why; where that fails it is their next packet that ends them."""
    try:
        sockets.end(strays)
    except CommandFailed as error:
        print(f"sessions go on until their next packet: {error}", file=sys.stderr)
    else:
        users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()} if strays else {}
        desktop.tell(notices.ended(wanted, strays, users), notices.ENDED, wanted.gid)


def _last(now: int) -> int:
    """Return the moment up to which all is announced; now, if that is not known or the clock was set back since."""
    noted = disk.read_text(MOMENT) or b""
    return min(int(noted), now) if noted.strip().isdigit() else now


def _note(now: int) -> None:
    directory, wanted = os.path.dirname(MOMENT), Directory(0o700)
    if disk.read(directory) != wanted:
        disk.make_directory(directory, wanted)
    disk.write(MOMENT, File(f"{now}\n".encode(), 0o600))


def arm(moment: int | None) -> None:
    """Have systemd start the clock at a moment, and at none that it was told before; without systemd, do nothing.

    A moment of the calendar: it comes when clocks show it, however often they are set, and at once when a machine wakes
    up behind it.
    """
    if not os.path.isdir(_SYSTEMD):
        return
    # It fails if there is none.
    run.attempt(["systemctl", "stop", ALARM])
    if moment is not None:
        properties = ("AccuracySec=100ms", "DefaultDependencies=no")
        options = [f"--timer-property={each}" for each in properties]
        run.run(["systemd-run", "--quiet", f"--unit={SERVICE}", f"--on-calendar=@{moment}", *options])


def start() -> None:
    """Have systemd see to it from now on, where it runs; it runs the clock for the first time."""
    if os.path.isdir(_SYSTEMD):
        run.run(["systemctl", "start", NET])


def again() -> None:
    """Have the clock look at once at what is stored now, where systemd runs and its unit is in place.

    Raises :class:`~spicegrants.errors.CommandFailed` if it cannot.
    """
    if os.path.isdir(_SYSTEMD) and os.path.exists(f"{UNITS}/{SERVICE}"):
        run.run(["systemctl", "restart", SERVICE])


def stop() -> None:
    """Have nothing start it any more, and forget when it last ran."""
    if os.path.isdir(_SYSTEMD):
        run.attempt(["systemctl", "stop", NET, ALARM, SERVICE])
    disk.remove(MOMENT)
    disk.prune(os.path.dirname(MOMENT))
