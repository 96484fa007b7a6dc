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
    return zipapp.archive(sources(parts), module)


def sources(parts: tuple[str, ...]) -> dict[str, bytes]:
    """Return the sources of a program by their paths; see :func:`program`."""
    inside = {parent for part in parts for parent in Path("spicegrants", *part.split(".")).parents}
    packages = {str(each / "__init__.py"): _read(_HOME / each / "__init__.py") for each in inside - {Path()}}
    return {path: content for part in parts for path, content in _sources(part).items()} | packages


def text(name: str) -> bytes:
    """Return the source of a module by its dotted name; raise as :func:`program` does."""
    return _read(_HOME / f"{name.replace('.', '/')}.py")


_HOME = Path(spicegrants.__file__).parent.parent


# A run builds several programs from them. Where the files change, this module is loaded anew as well.
@functools.cache
def _sources(part: str) -> dict[str, bytes]:
    """Return the sources of a package, or that of a module, by their paths."""
    place = _HOME / "spicegrants" / part.replace(".", "/")
    found = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return {str(path.relative_to(_HOME)): _read(path) for path in found}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error
