"""Reports that root asks for as files: only where nobody else can put something into their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from spicegrants.core.entries import File
from spicegrants.core.errors import SystemFault
from spicegrants.core.reader import quote
from spicegrants.host import disk

# It says who may what: root reads it, and hands it on.
_MODE = 0o640
# As much as is needed to know a report again.
_HEAD = 200


def place(argument: str, path: object, mark: str | None, form: str | None = None) -> str:
    """Return the path at which a report may be written; raise :class:`~spicegrants.core.errors.SystemFault` if not.

    argument
        The name of the argument that holds the path, for messages.

    mark
        Text in the second line of each report. A file without it is not replaced; with ``None`` none is.

    form
        What a file's name must end with: whoever may have reports written, by Salt's own permissions, cannot choose
        names that mean something to the system. Defaults to the argument's name.
    """
    form = form or argument
    if not isinstance(path, str) or not path.isprintable() or not path.startswith("/"):
        raise SystemFault(f"{argument}: {quote(path)} is no absolute path, as /root/week.{form}")
    if not path.endswith(f".{form}") or os.path.basename(path) == f".{form}":
        raise SystemFault(f"{argument}: {quote(path)} must end in .{form}, as /root/week.{form}")
    changeable = disk.replaceable(path)
    if changeable is not None:
        raise SystemFault(f"{argument}: others than root can put files into {changeable}; take a directory of root's")
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise SystemFault(f"{argument}: there is no directory {directory}")
    _complain(argument, path, mark)
    return path


def _complain(argument: str, path: str, mark: str | None) -> None:
    """Raise if there is something at a path that is no report."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SystemFault(f"{argument}: {path} cannot be looked at: {error}") from error
    if stat.S_ISDIR(mode):
        raise SystemFault(f"{argument}: {path} is a directory")
    if not stat.S_ISREG(mode):
        raise SystemFault(f"{argument}: {path} is a link or a special file, and is not replaced")
    if mark is None:
        raise SystemFault(f"{argument}: {path} is there already, and somebody may have written into it")
    content = disk.read_text(path) or b""
    if mark.encode() not in content[:_HEAD].splitlines()[1:2]:
        raise SystemFault(f"{argument}: {path} is another file, and is not replaced")


def write(reports: Mapping[str, str], mode: int = _MODE) -> None:
    """Write reports by their paths, which :func:`place` has returned: for whom this runs as, root but for some masters.

    Nobody else may read them.
    """
    uid = os.geteuid()
    gid = os.getegid() if uid else 0
    disk.write_all({path: File(report.encode(), mode, gid, uid) for path, report in reports.items()})
