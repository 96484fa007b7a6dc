"""The program that sshd starts for a desk: it hands two words on to what gives tickets, and the answer back.

It has no rights but to speak with that program. The desk's name comes from the host's own file of keys.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

from spicegrants.core.paths import HOST_SOCKET
from spicegrants.policy import ticket_protocol
from spicegrants.policy.ticket_protocol import Answer

# Seconds that a desk has to ask, and that a ticket may take to be made.
_ASKING, _MAKING = 10.0, 20.0


def main() -> int:
    """Ask for one ticket; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: ask-ticket DESK, by sshd", file=sys.stderr)
        return 2
    request = os.environ.get("SSH_ORIGINAL_COMMAND", "") or ticket_protocol.OPEN
    if request not in ticket_protocol.REQUESTS:
        return _answer(_failed("what was asked is nothing that is known here"))
    said = ticket_protocol.question(_line(0, time.monotonic() + _ASKING))
    if said is None:
        return _answer(_failed("what was asked is no user and vm"))
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_MAKING)
            connection.connect(HOST_SOCKET)
            connection.sendall(f"{request} {sys.argv[1]} {said.user} {said.vm}\n".encode())
            with connection.makefile("rb") as stream:
                line = stream.readline(ticket_protocol.LONGEST_ANSWER).decode("ascii", "replace")
        line = line or _failed("what gives tickets there has ended meanwhile")
    except OSError as error:
        line = _failed(f"what gives tickets there does not answer: {error.strerror or error}")
    return _answer(line)


def _line(descriptor: int, deadline: float) -> bytes:
    """Read one line, not longer than a question, and not for longer than until a moment."""
    found = b""
    while b"\n" not in found and len(found) < ticket_protocol.LONGEST_QUESTION:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            break
        more = os.read(descriptor, ticket_protocol.LONGEST_QUESTION - len(found))
        if not more:
            break
        found += more
    return found.partition(b"\n")[0]


def _failed(why: str) -> str:
    return ticket_protocol.spelled(Answer(refusal=ticket_protocol.FAILED, why=why))


def _answer(line: str) -> int:
    sys.stdout.write(line)
    sys.stdout.flush()
    return 0
