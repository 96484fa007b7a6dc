"""Messages on users' desktops, if one runs: why a console closed, or that it is about to.

Nothing that a user's processes claim is used, their environment least of all, and root looks at nothing of the user's:
a process of the user's own does that, with a fixed environment, and nobody waits for it.
"""

from __future__ import annotations

import contextlib
import pkgutil
import pwd
import subprocess
from collections.abc import Mapping

from spicegrants.core.paths import PYTHON
from spicegrants.host import run

# Seconds that a message may stay.
PATIENCE = 60


def tell(texts: Mapping[int, str], title: str, gid: int | None) -> None:
    """Show users a message; the run goes on at once, whether it is seen or not.

    texts
        Texts by UID.

    gid
        GID of the viewer's group; no such message is sent with it.
    """
    for uid, text in texts.items():
        # An account that is gone has no desktop, and a message is not worth a failed run.
        with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError):
            account = pwd.getpwuid(uid)
            if account.pw_gid != gid:
                _start(account, title, text)


def _start(account: pwd.struct_passwd, title: str, text: str) -> None:
    """Start the program that shows the message, as the user, and leave it alone.

    setsid and timeout stay root's: the user can stop neither the process that the run waits for nor the one that ends
    the user's own process.
    """
    own = f"/run/user/{account.pw_uid}"
    desktop = {"HOME": account.pw_dir, "XDG_RUNTIME_DIR": own, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={own}/bus"}
    leave_alone = ["setsid", "--fork", "timeout", "--kill-after=1", str(PATIENCE)]
    # The sign keeps setpriv from taking a number for somebody's name.
    ids = [f"--reuid=+{account.pw_uid}", f"--regid=+{account.pw_gid}"]
    become = ["setpriv", *ids, "--clear-groups", "--no-new-privs", "--"]
    # Also where this package is within a zip file.
    program = (pkgutil.get_data(__package__, "dialog.py") or b"").decode()
    subprocess.run(
        [*leave_alone, *become, PYTHON, "-I", "-c", program, title, text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**run.ENVIRONMENT, **desktop},
        cwd="/",
        timeout=PATIENCE,
        check=False,
    )
