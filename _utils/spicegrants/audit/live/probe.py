"""Probes made as the users themselves: connect, and start the viewer. Reading rules proves nothing."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault

# Outcomes of a connection, before it is known who refused.
CONNECTED, REFUSED, UNANSWERED, NO_ROUTE = "connected", "refused", "unanswered", "no route"
# Open sockets at a time, as far as the limit of root's processes goes, and file descriptors that something else needs.
_AT_ONCE, _SPARE = 4096, 64
# Seconds that the attempts of one process may take altogether.
_PATIENCE = 120.0


class Try(NamedTuple):
    """A connection to be tried: UID and GID of who makes it, address and port."""

    uid: int
    gid: int
    address: str
    port: int


def connect(tries: Sequence[Try], timeout: float = 3.0, patience: float = _PATIENCE) -> list[str]:
    """Connect as many users to many places, all at once; return the outcomes in the order of the tries.

    One process makes all sockets. The kernel knows the owner of a packet by the file system IDs of whoever made its
    socket, and the process takes on those of each user; nobody can signal or trace it meanwhile, for its real UID stays
    root's. Nothing is sent beyond the handshake. ``no route`` says that no packet left this machine's IP layer.

    timeout
        Seconds that a connection may take.

    patience
        Seconds that all may take altogether.
    """
    return _in_child(lambda: _connect_all(tries, timeout), patience, "no connection could be tried")


def _connect_all(tries: Sequence[Try], timeout: float) -> list[str]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _AT_ONCE if limit == resource.RLIM_INFINITY else min(_AT_ONCE, limit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))
    os.setgroups([])
    room = most - _SPARE
    outcomes: list[str] = []
    for start in range(0, len(tries), room):
        outcomes += _connect_some(tries[start : start + room], timeout)
    return outcomes


def _connect_some(tries: Sequence[Try], timeout: float) -> list[str]:
    outcomes = [UNANSWERED] * len(tries)
    poll = select.poll()
    waiting: dict[int, tuple[int, socket.socket]] = {}
    for number, (uid, gid, address, port) in enumerate(tries):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        os.setegid(gid)
        os.seteuid(uid)
        try:
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = connection.connect_ex((address, port))
        finally:
            os.seteuid(0)
            os.setegid(0)
        if code == errno.EINPROGRESS:
            waiting[connection.fileno()] = (number, connection)
            poll.register(connection, select.POLLOUT)
        else:
            outcomes[number] = _outcome(code, NO_ROUTE)
            connection.close()
    deadline = time.monotonic() + timeout
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            number, connection = waiting.pop(descriptor)
            poll.unregister(connection)
            outcomes[number] = _outcome(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), UNANSWERED)
            connection.close()
    for _, connection in waiting.values():
        connection.close()
    return outcomes


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

    def become() -> Any:
        os.initgroups(account.name, account.gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(account.uid, account.uid, account.uid)
        return attempt()

    return _in_child(become, _PATIENCE, f"no attempt could be made as {account.name} with GID {gid}")


def _in_child(attempt: Callable[[], Any], patience: float, failure: str) -> Any:
    """Call a function in a child process; return its result, passed on as JSON.

    Raises :class:`~spicegrants.core.errors.SystemFault` with ``failure`` if there is none within ``patience`` seconds.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            result = json.dumps(attempt())
            with open(writing, "w", encoding="ascii") as stream:
                stream.write(result)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    answer = _read_all(reading, patience)
    if answer is None:
        # The child may belong to the user, who may have stopped it.
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status or answer is None:
        raise SystemFault(failure)
    return json.loads(answer)


def _read_all(descriptor: int, patience: float) -> str | None:
    """Return what comes through a pipe until its end; ``None`` if that takes longer than ``patience`` seconds."""
    deadline = time.monotonic() + patience
    chunks: list[bytes] = []
    with open(descriptor, "rb", buffering=0) as stream:
        while (remaining := deadline - time.monotonic()) > 0:
            if select.select([stream], [], [], remaining)[0]:
                chunk = stream.read(65536)
                if not chunk:
                    return b"".join(chunks).decode("ascii")
                chunks.append(chunk)
    return None
