"""Reload systemd after changes of units."""

from __future__ import annotations

import os

from spicegrants.core.paths import SYSTEMD
from spicegrants.host import run


def reload() -> None:
    """Reload systemd's units, where it runs: not in a chroot or a container without it.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if that fails.
    """
    if os.path.isdir(SYSTEMD):
        run.run(["systemctl", "daemon-reload"])
