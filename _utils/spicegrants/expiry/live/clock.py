"""The clock: ends sessions whose time is over, warns users before, and has systemd start it again in time.

systemd runs it, by itself and with the system's own Python: it needs no Salt, no master and no server's name.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Iterable

from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.core.paths import RUN, STATE, SYSTEMD, UNITS
from spicegrants.core.units import CLOCK_SERVICE, CLOCK_TIMER, HOURLY_TIMER
from spicegrants.expiry import deadlines
from spicegrants.expiry.live import notify
from spicegrants.firewall import connections as firewall_connections
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.host import disk, run
from spicegrants.host.accounts import gid
from spicegrants.policy import state_file
from spicegrants.policy.compiler import DesiredState, recalled

# When it last ran: what came before that has been announced.
MOMENT = f"{RUN}/clock"
# Seconds before a moment at which systemd starts the clock: so it has started by then, and has seen what is open.
AHEAD = 1
# Seconds: what is nearer is waited for, since systemd would start nothing that still runs.
SOON = AHEAD + 2


def main() -> int:
    """End and announce what is due, and arrange the next start; return the exit code.

    Errors go to standard error, and nothing is then assumed in their place.
    """
    try:
        run.as_root()
        recent: list[Connection] = []
        while True:
            coming, recent = tick(recent)
            if coming is None or coming - time.time() > SOON:
                arm(None if coming is None else coming - AHEAD)
                # A clock that was held up until then does it itself.
                if coming is None or time.time() < coming - AHEAD:
                    return 0
            time.sleep(max(0.0, coming - time.time()))
    except SpiceGrantError as error:
        print(f"the times of SPICE consoles are not seen to: {error}", file=sys.stderr)
        return 1


def tick(recent: Iterable[Connection] = ()) -> tuple[int | None, list[Connection]]:
    """End and announce what is due; return the next due moment, in seconds since 1970, and the connections that stay.

    recent
        Connections open a moment ago. The kernel may end one before it is found here; its users are told all the same.

    Reads the state file, /proc/net/tcp and tcp6, and :data:`MOMENT`, which it also writes. Runs ``ss --kill``, and the
    program that shows messages. Raises :class:`~spicegrants.core.errors.SpiceGrantError` if something cannot be read.
    """
    now = int(time.time())
    stored = state_file.load(disk.read_text(STATE))
    if stored.policy is None:
        raise SystemFault(f"there is no {STATE}: run state.apply spice")
    desired = recalled(stored, gid(stored.policy.viewer.group), now)
    connections = sockets.connections()
    strays = firewall_connections.stray(desired, connections)
    _end(desired, strays, firewall_connections.stray(desired, recent))
    staying = [connection for connection in connections if connection not in strays]
    notify.ending(desired, deadlines.due(desired, _last(now), {each.door for each in staying}))
    _note(now)
    return deadlines.upcoming(desired), staying


def _end(desired: DesiredState, strays: list[Connection], absent: list[Connection]) -> None:
    """End connections and report why, also those already gone; if it fails, their next packet ends them."""
    try:
        sockets.end(strays)
    except CommandFailed as error:
        print(f"sessions go on until their next packet: {error}", file=sys.stderr)
    else:
        ended = [*strays, *absent]
        users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()} if ended else {}
        notify.ended(desired, ended, users)


def _last(now: int) -> int:
    """Return the moment up to which all is announced; now, if it is unknown or the clock was set back since."""
    noted = disk.read_text(MOMENT) or b""
    return min(int(noted), now) if noted.strip().isdigit() else now


def _note(now: int) -> None:
    directory, desired = os.path.dirname(MOMENT), Directory(0o700)
    if disk.read(directory) != desired:
        disk.make_directory(directory, desired)
    disk.write(MOMENT, File(f"{now}\n".encode(), 0o600))


def arm(moment: int | None) -> None:
    """Have systemd start the clock at a moment instead of any earlier armed one; do nothing without systemd.

    It is a moment of the calendar: it comes when the clock shows it, however often the clock is set, and at once when a
    machine wakes up after it.
    """
    if not os.path.isdir(SYSTEMD):
        return
    # It fails if there is none.
    run.attempt(["systemctl", "stop", CLOCK_TIMER])
    if moment is not None:
        properties = ("AccuracySec=100ms", "DefaultDependencies=no")
        options = [f"--timer-property={each}" for each in properties]
        run.run(["systemd-run", "--quiet", f"--unit={CLOCK_SERVICE}", f"--on-calendar=@{moment}", *options])


def start() -> None:
    """Start the hourly timer, if systemd runs; it runs the clock for the first time at once."""
    if os.path.isdir(SYSTEMD):
        run.run(["systemctl", "start", HOURLY_TIMER])


def failed() -> bool:
    """Tell whether the clock failed when systemd last started it, and so will not be started again."""
    if not os.path.isdir(SYSTEMD):
        return False
    try:
        return run.attempt(["systemctl", "is-failed", "--quiet", CLOCK_SERVICE]).returncode == 0
    except CommandFailed:
        # Whatever needs it says so.
        return False


def again() -> None:
    """Have the clock look now at the stored state, if systemd runs and its unit is in place.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if it cannot be started.
    """
    if os.path.isdir(SYSTEMD) and os.path.exists(f"{UNITS}/{CLOCK_SERVICE}"):
        run.run(["systemctl", "restart", CLOCK_SERVICE])


def stop() -> None:
    """Stop the clock and its timers, and forget when it last ran."""
    if os.path.isdir(SYSTEMD):
        run.attempt(["systemctl", "stop", HOURLY_TIMER, CLOCK_TIMER, CLOCK_SERVICE])
    disk.remove(MOMENT)
    disk.prune(os.path.dirname(MOMENT))
