"""What this machine has for confining viewers, and how its directories lie."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import PYTHON
from spicegrants.host import run
from spicegrants.viewer import sandbox

_RESOLVER = "/etc/resolv.conf"
# Whoever this is: nobody in particular.
_NOBODY = 65534


def hindrance() -> str:
    """Say why viewers cannot be confined on this machine; nothing if they can.

    Tries it, as :func:`run.attempt` does, with a program that does nothing.
    """
    for program, package in ((sandbox.BUBBLEWRAP, "bubblewrap"), (sandbox.SETPRIV, "util-linux"), (PYTHON, "python3")):
        if not os.access(program, os.X_OK):
            return f"there is no {program} (package {package})"
    trial = sandbox.command(layout(), sandbox.Session(), _NOBODY, _NOBODY, [sandbox.SETPRIV, "--version"], None)
    try:
        done = run.attempt(trial)
    except SystemFault as error:
        return f"no sandbox can be made: {error}"
    if done.returncode:
        said = " ".join(done.stderr.split())[:200]
        return f"no sandbox can be made: {said or f'bubblewrap ended with {done.returncode}'}"
    return ""


def layout() -> sandbox.System:
    """Return how this machine's directories lie."""
    programs: dict[str, str | None] = {}
    for name in sandbox.PROGRAMS:
        path = f"/{name}"
        if os.path.islink(path):
            programs[name] = os.readlink(path)
        elif os.path.isdir(path):
            programs[name] = None
    handlers, themes = (_in_sight(paths) for paths in (sandbox.HANDLERS, sandbox.THEMES))
    resolver = os.path.realpath(_RESOLVER)
    outside = not resolver.startswith("/etc/") and _regular(resolver)
    return sandbox.System(programs, handlers, themes, resolver if outside else None)


def _in_sight(paths: Iterable[str]) -> tuple[str, ...]:
    """Return where directories really are, of those that there are and that a sandbox shows.

    What is a link out of what it shows, as /usr/local may be, is not there in it.
    """
    real = (os.path.realpath(path) for path in paths if os.path.isdir(path))
    return tuple(dict.fromkeys(path for path in real if path.startswith(sandbox.SHOWN)))


def _regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
