"""Reads the files of this package itself, for the programs that are made of them."""

from __future__ import annotations

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
    home = Path(spicegrants.__file__).parent
    try:
        # Not what an installation by pip puts beside: that needs Salt.
        sources = {
            str(path.relative_to(home.parent)): path.read_bytes()
            for directory in (home, home / "host")
            for path in directory.glob("*.py")
        }
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error
    return application.archive(sources, module)
