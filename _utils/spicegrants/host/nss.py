"""Name service switch: distinguish a source that is away from one that knows no such name.

libc joins the answers of all sources in /etc/nsswitch.conf. If one is away, and another behind it knows no such name,
libc reports "not found", and Python takes each failure for that. So each source is asked by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import re

from spicegrants.core.paths import NSSWITCH
from spicegrants.host import disk

# By database: the function of a source that looks up a name; nss(5), nsswitch.conf(5).
_FUNCTIONS = {"passwd": "getpwnam_r", "group": "getgrnam_r"}
# Systems name SSSD by default, and most have none: without a configuration it knows nobody, and is not away.
_SSSD, _CONFIGURED = "sss", ("/etc/sssd/sssd.conf", "/etc/sssd/conf.d/*.conf", "/var/lib/sss/pipes/nss")
# enum nss_status; what is below is no answer.
_TRYAGAIN, _NOTFOUND = -2, 0
_ROOM = 1 << 20
# Larger than a struct passwd or group.
_RECORD = 256
_MERGE = re.compile(r"\[[^]]*success\s*=\s*merge[^]]*\]", re.IGNORECASE)


def sources(text: str, database: str) -> tuple[list[str], bool]:
    """Return the sources that nsswitch.conf's text names for a database, and whether their answers are merged.

    Without a line for the database there is only ``files``, as for libc.
    """
    found = ["files"], False
    for line in text.splitlines():
        name, colon, rest = line.partition("#")[0].partition(":")
        if colon and name.strip() == database:
            found = re.sub(r"\[[^]]*\]", " ", rest).split(), bool(_MERGE.search(rest))
    return found


class Sources:
    """The sources of one database; once one is found to be away, no more are asked."""

    def __init__(self, database: str):
        text = (disk.read_site(NSSWITCH) or b"").decode(errors="replace")
        self._function = _FUNCTIONS[database]
        names, self.merging = sources(text, database)
        self._names = [name for name in names if name != _SSSD or any(map(glob.glob, _CONFIGURED))]
        self._away: str | None = None

    def hindrance(self, name: str) -> str | None:
        """Say why it is unknown whether an account exists; ``None`` if all sources have answered."""
        for source in self._names if self._away is None else ():
            if not self._answers(source, name):
                self._away = f"source {source!r} of {NSSWITCH} cannot be asked"
                break
        return self._away

    def _answers(self, source: str, name: str) -> bool:
        try:
            function = _function(source, f"_nss_{source}_{self._function}")
        except (OSError, AttributeError, ValueError):
            return False
        record, room = ctypes.create_string_buffer(_RECORD), ctypes.create_string_buffer(_ROOM)
        error = ctypes.c_int(0)
        status = function(os.fsencode(name), record, room, ctypes.c_size_t(_ROOM), ctypes.byref(error))
        return status >= _NOTFOUND or (status == _TRYAGAIN and error.value == errno.ERANGE)


def _function(source: str, name: str):
    """Return a source's function; raise OSError or AttributeError where there is none."""
    # Newer versions of libc have "files" in themselves.
    with contextlib.suppress(AttributeError):
        return getattr(ctypes.CDLL(None), name)
    return getattr(ctypes.CDLL(f"libnss_{source}.so.2"), name)
