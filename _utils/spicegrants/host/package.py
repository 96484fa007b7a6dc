"""Source files of this package, for the programs that are built from them."""

from __future__ import annotations

import functools
from pathlib import Path

import spicegrants
from spicegrants.core import zipapp
from spicegrants.core.errors import SystemFault


def program(module: str, parts: tuple[str, ...]) -> bytes:
    """Return a zip application built from parts of this package as they are on this machine.

    module
        Dotted name of the module that it runs.

    parts
        Dotted names, below ``spicegrants``, of the packages and modules that it needs: root runs no code that is not
        needed.

    Raises :class:`~spicegrants.core.errors.SystemFault` if a file cannot be read.
    """
    found = {path: content for part in parts for path, content in _sources(part).items()}
    return zipapp.archive({**found, "spicegrants/__init__.py": _read(Path(spicegrants.__file__))}, module)


def text(name: str) -> bytes:
    """Return the source of a module by its dotted name; raise as :func:`program` does."""
    return _read(_HOME / f"{name.replace('.', '/')}.py")


_HOME = Path(spicegrants.__file__).parent.parent


# A run builds several programs from them. Where the files change, this module is loaded anew as well.
@functools.cache
def _sources(part: str) -> dict[str, bytes]:
    """Return the sources of a package, or those of a module and of the packages that it is in, by their paths."""
    place = _HOME / "spicegrants" / part.replace(".", "/")
    if place.is_dir():
        found = sorted(place.rglob("*.py"))
    else:
        inside = [each / "__init__.py" for each in place.parents if _HOME / "spicegrants" in each.parents]
        found = [place.with_suffix(".py"), *inside]
    return {str(path.relative_to(_HOME)): _read(path) for path in found}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error
