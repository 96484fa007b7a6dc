"""What a run has to say to the service that gives tickets: look again, or give none."""

from __future__ import annotations

import contextlib
import os
import socket

from spicegrants.core.paths import HOST_SOCKET
from spicegrants.policy import ticket_protocol
from spicegrants.policy.ticket_protocol import Answer

# Said to have what is stored looked at, and answered with the same.
AGAIN = b"again\n"
# Said, with the name of a vm, to have a ticket made for this host itself.
TRIAL = b"try"
# Seconds that the service may take to answer, and to make a ticket.
_PATIENCE, _MAKING = 5.0, 20.0


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


def trial(vm: str, source: str) -> Answer | None:
    """Have the service give this host itself a ticket; return its answer, ``None`` if it gives none.

    source
        Address of this host from which it is tried.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_MAKING)
            connection.connect(HOST_SOCKET)
            connection.sendall(TRIAL + f" {vm} {source}\n".encode())
            with connection.makefile("rb") as stream:
                return ticket_protocol.answer(
                    stream.readline(ticket_protocol.LONGEST_ANSWER).decode("ascii", "replace")
                )
    except OSError:
        return None


def silence() -> None:
    """Have nobody ask for tickets any more, until the service is started again."""
    with contextlib.suppress(OSError):
        os.unlink(HOST_SOCKET)
