"""Source files of this package, for the programs that are built from them."""

from __future__ import annotations

import functools
from pathlib import Path

import spicegrants
from spicegrants.core import zipapp
from spicegrants.core.errors import SystemFault


def program(module: str, packages: tuple[str, ...]) -> bytes:
    """Return a zip application built from packages as they are on this machine.

    module
        Dotted name of the module that it runs.

    packages
        Names of the packages below ``spicegrants`` that it needs: root runs no code that is not needed.

    Raises :class:`~spicegrants.core.errors.SystemFault` if a file cannot be read.
    """
    found = {path: content for package in packages for path, content in _sources(package).items()}
    return zipapp.archive({**found, "spicegrants/__init__.py": _read(Path(spicegrants.__file__))}, module)


def text(name: str) -> bytes:
    """Return the source of a module by its dotted name; raise as :func:`program` does."""
    return _read(_HOME / f"{name.replace('.', '/')}.py")


_HOME = Path(spicegrants.__file__).parent.parent


# A run builds several programs from them. Where the files change, this module is loaded anew as well.
@functools.cache
def _sources(package: str) -> dict[str, bytes]:
    found = sorted((_HOME / "spicegrants" / package).rglob("*.py"))
    return {str(path.relative_to(_HOME)): _read(path) for path in found}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SystemFault(f"the files of this package cannot be read: {error}") from error
