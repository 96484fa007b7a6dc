"""Tells users on their desktops why a console closed, where a desktop runs and notify-send(1) is installed.

Nothing that a user's processes say of themselves is used, their environment least of all. A desktop's session bus is
at a fixed place, in a directory that root made for that user alone.
"""

from __future__ import annotations

import contextlib
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Mapping

from spicegrants.compile import Wanted
from spicegrants.errors import SpiceGrantError
from spicegrants.host import disk, run
from spicegrants.host.sockets import Connection

RUNTIME = "/run/user"
# Seconds that a desktop has to take the message: a hostile one may never do so.
PATIENCE = 5


def notices(wanted: Wanted, ended: Iterable[Connection]) -> dict[int, str]:
    """Return by UID what is to be said to users whose connections were ended."""
    found: dict[int, set[str]] = {}
    for connection in ended:
        found.setdefault(connection.uid, set()).add(_sentence(wanted, connection))
    return {uid: "\n".join(sorted(said)) for uid, said in found.items()}


def _sentence(wanted: Wanted, connection: Connection) -> str:
    address, port = connection.remote
    vm = wanted.vm_at(address, port)
    if vm is None:
        return f"Your access to the console at {address} port {port} was removed."
    if any((access.uid, access.vm) == (connection.uid, vm) for access in wanted.accesses):
        return f"The rules for the console of VM {vm} have changed: open it again."
    return f"Your access to the console of VM {vm} was removed."


def tell(said: Mapping[int, str], gid: int | None) -> None:
    """Show users a message; whether it is seen or not, the run goes on at once.

    gid
        Of the viewer's group, which no such message is sent with.
    """
    program = shutil.which("notify-send", path=run.SEARCH)
    if not said or program is None:
        return
    # An account that is gone has no desktop, and a message is not worth a failed run.
    for uid, text in said.items():
        with contextlib.suppress(KeyError, OSError, SpiceGrantError, subprocess.SubprocessError):
            own = pwd.getpwuid(uid).pw_gid
            if own != gid and str(uid) in disk.names_in(RUNTIME):
                _start(program, uid, own, text)


def _start(program: str, uid: int, gid: int, text: str) -> None:
    """Start notify-send as the user, and leave it alone.

    setsid and timeout stay root's: the user can stop neither what the run waits for nor what ends his own process.
    """
    own = f"{RUNTIME}/{uid}"
    bus = {"XDG_RUNTIME_DIR": own, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={own}/bus"}
    leave_alone = ["setsid", "--fork", "timeout", "--kill-after=1", str(PATIENCE)]
    # The sign keeps setpriv from taking a number for somebody's name.
    become = ["setpriv", f"--reuid=+{uid}", f"--regid=+{gid}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    say = [program, "--app-name=SPICE consoles", "--", "SPICE console closed", text]
    subprocess.run(
        [*leave_alone, *become, "--", *say],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**run.ENVIRONMENT, **bus},
        cwd="/",
        timeout=PATIENCE,
        check=False,
    )
