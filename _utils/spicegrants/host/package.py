"""Reads the files of this package itself, for the programs that are made of them."""

from __future__ import annotations

import functools
from pathlib import Path

import spicegrants
from spicegrants import application
from spicegrants.errors import SystemFault


def program(module: str) -> bytes:
    """Return a program made of the package as it is on this machine.

    module
        The one of ``spicegrants.host`` that it runs.

    Raises :class:`~spicegrants.errors.SystemFault` if a file cannot be read.
    """
    try:
        return application.archive(_sources(), module)
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error


def text(name: str) -> bytes:
    """Return a file of ``spicegrants.host``, by its name."""
    return _sources()[f"spicegrants/host/{name}"]


# A run makes several programs of them. Where other files come, this module is loaded anew with them.
@functools.lru_cache(maxsize=1)
def _sources() -> dict[str, bytes]:
    home = Path(spicegrants.__file__).parent
    # Not what an installation by pip puts beside: that needs Salt.
    return {
        str(path.relative_to(home.parent)): path.read_bytes()
        for directory in (home, home / "host")
        for path in directory.glob("*.py")
    }
