"""Tells Salt's loader where the modules are when the package was installed with pip."""

from __future__ import annotations

from pathlib import Path


def loader_dirs() -> dict[str, list[str]]:
    """Return the loader's directories by kind: those of a wheel, or of the checkout of an editable install."""
    here = Path(__file__).resolve().parent
    found = {}
    for kind in ("modules", "states", "beacons", "runners", "output"):
        for candidate in (here / f"ext_{kind}", here.parent.parent / f"_{kind}"):
            if candidate.is_dir():
                found[kind] = [str(candidate)]
                break
    return found
