"""Reads the files of this package itself, for the programs that are made of them."""

from __future__ import annotations

import functools
from pathlib import Path

import spicegrants
from spicegrants.core import zipapp
from spicegrants.core.errors import SystemFault


def program(module: str) -> bytes:
    """Return a program made of the package as it is on this machine.

    module
        The one that it runs, dotted.

    Raises :class:`~spicegrants.core.errors.SystemFault` if a file cannot be read.
    """
    try:
        return zipapp.archive(_sources(), module)
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error


def text(name: str) -> bytes:
    """Return the text of a module, by its dotted name."""
    return _sources()[f"{name.replace('.', '/')}.py"]


# A run makes several programs of them. Where other files come, this module is loaded anew with them.
@functools.lru_cache(maxsize=1)
def _sources() -> dict[str, bytes]:
    home = Path(spicegrants.__file__).parent
    # Not what an installation by pip puts beside: that needs Salt.
    return {
        str(path.relative_to(home.parent)): path.read_bytes()
        for path in home.rglob("*.py")
        if not path.relative_to(home).parts[0].startswith("ext_")
    }
