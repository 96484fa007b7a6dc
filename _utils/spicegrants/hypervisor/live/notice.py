"""What a run has to say to the service that gives tickets: look again, or give none."""

from __future__ import annotations

import contextlib
import os
import socket

from spicegrants.core.paths import HOST_SOCKET

# Said to have what is stored looked at, and answered with the same.
AGAIN = b"again\n"
# Seconds that the service may take to answer.
_PATIENCE = 5.0


def tell() -> bool:
    """Have the service look at what is stored now; return whether it answers, that is, whether it runs."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(HOST_SOCKET)
            connection.sendall(AGAIN)
            return connection.recv(len(AGAIN)) == AGAIN
    except OSError:
        return False


def silence() -> None:
    """Have nobody ask for tickets any more, until the service is started again."""
    with contextlib.suppress(OSError):
        os.unlink(HOST_SOCKET)
