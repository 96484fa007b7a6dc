"""The process that a user started a console with: ``rviewer``, which waits for sudo.

Nobody but root can signal sudo, or what sudo started. So the opener looks at the process above, and ends with it.
"""

from __future__ import annotations

import contextlib
import os
import select

from spicegrants.core.paths import LAUNCHER

# Above the opener: sudo, which may be two processes, then the one that called it.
_ABOVE = 3


def descriptor(uid: int) -> int | None:
    """Return a descriptor that is readable once the user's ``rviewer`` has ended; ``None`` if another called sudo.

    A call from a script or shell of the user's may well be meant to outlast it.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = os.getppid()
        for _ in range(_ABOVE):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                found = os.pidfd_open(pid)
                if _launches(pid) and not select.select([found], [], [], 0)[0]:
                    return found
                os.close(found)
                return None
            pid = _parent(pid)
    return None


def _parent(pid: int) -> int:
    # The name before it is in brackets, and may hold any.
    with open(f"/proc/{pid}/stat", "rb") as stream:
        return int(stream.read().rpartition(b")")[2].split()[1])


def _launches(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        return LAUNCHER.encode() in stream.read().split(b"\0")
