"""Tells systemd of changed units."""

from __future__ import annotations

import os

from spicegrants.core.paths import SYSTEMD
from spicegrants.host import run


def reload() -> None:
    """Have systemd read its units anew, where it runs: not in a chroot or a container without it.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if it does not.
    """
    if os.path.isdir(SYSTEMD):
        run.run(["systemctl", "daemon-reload"])
