"""Tells users on their desktops why a console closed, where a desktop runs.

Nothing that a user's processes say of themselves is used, their environment least of all, and nothing of his is looked
at by root: a process of the user's own does that, with a fixed environment, and nobody waits for it.
"""

from __future__ import annotations

import contextlib
import pwd
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from spicegrants.compile import Wanted
from spicegrants.host import run, say
from spicegrants.sessions import Connection

PYTHON = "/usr/bin/python3"
# Seconds that a message may stay.
PATIENCE = 60


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
    for uid, text in said.items():
        # An account that is gone has no desktop, and a message is not worth a failed run.
        with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError):
            account = pwd.getpwuid(uid)
            if account.pw_gid != gid:
                _start(account, text)


def _start(account: pwd.struct_passwd, text: str) -> None:
    """Start what shows the message, as the user, and leave it alone.

    setsid and timeout stay root's: the user can stop neither what the run waits for nor what ends his own process.
    """
    own = f"/run/user/{account.pw_uid}"
    desktop = {"HOME": account.pw_dir, "XDG_RUNTIME_DIR": own, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={own}/bus"}
    leave_alone = ["setsid", "--fork", "timeout", "--kill-after=1", str(PATIENCE)]
    # The sign keeps setpriv from taking a number for somebody's name.
    ids = [f"--reuid=+{account.pw_uid}", f"--regid=+{account.pw_gid}"]
    become = ["setpriv", *ids, "--clear-groups", "--no-new-privs", "--"]
    subprocess.run(
        [*leave_alone, *become, PYTHON, "-I", "-c", Path(say.__file__).read_text(encoding="utf-8"), text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**run.ENVIRONMENT, **desktop},
        cwd="/",
        timeout=PATIENCE,
        check=False,
    )
