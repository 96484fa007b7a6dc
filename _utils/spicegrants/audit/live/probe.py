"""Probes made as the users themselves: connect, and start the viewer. Reading rules proves nothing."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault

# Outcomes of a connection, before it is known who refused.
CONNECTED, REFUSED, UNANSWERED, NO_ROUTE = "connected", "refused", "unanswered", "no route"
_AT_ONCE = 256
# Seconds that one user's attempts may take altogether.
_PATIENCE = 120.0

Place = tuple[str, int]


def connect(account: Account, gid: int, places: Iterable[Place], timeout: float = 3.0) -> dict[Place, str]:
    """Connect to addresses and ports as a user with a given GID; return each outcome.

    Nothing is sent beyond the handshake. ``no route`` says that no packet left this machine's IP layer.
    """
    chosen = sorted(set(places))

    def attempt() -> list[str]:
        outcomes: list[str] = []
        for start in range(0, len(chosen), _AT_ONCE):
            outcomes += _connect_all(chosen[start : start + _AT_ONCE], timeout)
        return outcomes

    return dict(zip(chosen, as_user(account, gid, attempt)))


def _connect_all(places: list[Place], timeout: float) -> list[str]:
    outcomes = dict.fromkeys(places, UNANSWERED)
    poll, waiting = select.poll(), {}
    for place in places:
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = connection.connect_ex(place)
        if code == errno.EINPROGRESS:
            waiting[connection.fileno()] = (place, connection)
            poll.register(connection, select.POLLOUT)
        else:
            outcomes[place] = _outcome(code, NO_ROUTE)
            connection.close()
    deadline = time.monotonic() + timeout
    while waiting and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(remaining * 1000):
            place, connection = waiting.pop(descriptor)
            poll.unregister(connection)
            outcomes[place] = _outcome(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), UNANSWERED)
            connection.close()
    return [outcomes[place] for place in places]


def _outcome(code: int, otherwise: str) -> str:
    return {0: CONNECTED, errno.ECONNREFUSED: REFUSED}.get(code, otherwise)


def starts(account: Account, program: str) -> bool:
    """Tell whether a user can start a program without sudo: try it, with ``--version`` and an empty environment."""

    def attempt() -> bool:
        child = os.fork()
        if child == 0:
            try:
                nothing = os.open(os.devnull, os.O_RDWR)
                for descriptor in range(3):
                    os.dup2(nothing, descriptor)
                # Whatever the calling process has open is none of the user's business.
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                os.execve(program, [program, "--version"], {})
            finally:
                os._exit(126)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) != 126

    return as_user(account, account.gid, attempt)


def as_user(account: Account, gid: int, attempt: Callable[[], Any]) -> Any:
    """Call a function in a child process that has become the user; return its result, passed on as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.initgroups(account.name, account.gid)
            os.setresgid(gid, gid, gid)
            os.setresuid(account.uid, account.uid, account.uid)
            result = json.dumps(attempt())
            with open(writing, "w", encoding="ascii") as stream:
                stream.write(result)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    answer = _read_all(reading)
    if answer is None:
        # The child belongs to the user, who may have stopped it.
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status or answer is None:
        raise SystemFault(f"no attempt could be made as {account.name} with GID {gid}")
    return json.loads(answer)


def _read_all(descriptor: int) -> str | None:
    """Return what comes through a pipe until its end; ``None`` if that takes longer than :data:`_PATIENCE`."""
    deadline = time.monotonic() + _PATIENCE
    chunks: list[bytes] = []
    with open(descriptor, "rb", buffering=0) as stream:
        while (remaining := deadline - time.monotonic()) > 0:
            if select.select([stream], [], [], remaining)[0]:
                chunk = stream.read(65536)
                if not chunk:
                    return b"".join(chunks).decode("ascii")
                chunks.append(chunk)
    return None
