"""This machine's support for confining viewers, and the layout of its directories."""

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
    """Return why viewers cannot be confined on this machine; empty if they can.

    Runs a program that does nothing in a sandbox, by :func:`run.attempt`.
    """
    for program, package in ((sandbox.BUBBLEWRAP, "bubblewrap"), (sandbox.SETPRIV, "util-linux"), (PYTHON, "python3")):
        if not os.access(program, os.X_OK):
            return f"there is no {program} (package {package})"
    trial = sandbox.command(layout(), sandbox.Session(), _NOBODY, _NOBODY, [sandbox.SETPRIV, "--version"], None)
    try:
        result = run.attempt(trial)
    except SystemFault as error:
        return f"no sandbox can be made: {error}"
    if result.returncode:
        message = " ".join(result.stderr.split())[:200]
        return f"no sandbox can be made: {message or f'bubblewrap ended with {result.returncode}'}"
    return ""


def layout() -> sandbox.System:
    """Return the layout of this machine's directories."""
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
    return sandbox.System(
        programs, handlers, themes, resolver if outside else None, registry=_regular(sandbox.REGISTRY)
    )


def _in_sight(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the real paths of those directories that exist and that a sandbox shows.

    A directory that is a link to a place which the sandbox does not show, as /usr/local may be, is missing in it.
    """
    real = (os.path.realpath(path) for path in paths if os.path.isdir(path))
    return tuple(dict.fromkeys(path for path in real if path.startswith(sandbox.VISIBLE)))


def _regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
