"""Messages on users' desktops, if one runs: why a console closed, or that it is about to.

Nothing that a user's processes claim is used, their environment least of all, and root looks at nothing of the user's:
a process of the user's own does that, with a fixed environment, and nobody waits for it.
"""

from __future__ import annotations

import contextlib
import pkgutil
import pwd
import re
import subprocess
from collections.abc import Iterable, Mapping

from spicegrants.core import languages
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import PYTHON
from spicegrants.expiry import messages
from spicegrants.expiry.deadlines import Notice
from spicegrants.firewall.connections import Connection
from spicegrants.host import disk, run
from spicegrants.policy.compiler import DesiredState

# Seconds that a message may stay.
PATIENCE = 60
# Where the machine's language is set: locale.conf(5), and Debian's own file.
LOCALES = ("/etc/locale.conf", "/etc/default/locale")
_SETTING = re.compile(rb"""^\s*(LANG|LANGUAGE|LC_ALL|LC_MESSAGES)=["']?([A-Za-z0-9_.@:-]*)["']?\s*$""", re.MULTILINE)


def ended(desired: DesiredState, connections: Iterable[Connection], users: Mapping[int, str]) -> None:
    """Tell users why their connections were ended; ``users`` has names by UID."""
    language = machine_language()
    texts = messages.end_messages(desired, connections, users, language)
    tell(texts, messages.ended_title(language), desired.gid)


def ending(desired: DesiredState, notices: Iterable[Notice]) -> None:
    """Tell users that their sessions are about to end."""
    language = machine_language()
    tell(messages.warning_messages(desired, notices, language), messages.ending_title(language), desired.gid)


def machine_language() -> str:
    """Return the language that the machine is set to: a user's own choice is in nothing that root may believe."""
    for path in LOCALES:
        # In English it is understood, too.
        with contextlib.suppress(SystemFault):
            found = disk.read_site(path)
            if found is not None:
                return languages.chosen({name.decode(): value.decode() for name, value in _SETTING.findall(found)})
    return languages.ENGLISH


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
    # With all letters, of whatever language.
    desktop["LC_ALL"] = "C.UTF-8"
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
