"""Ends TCP connections that lost their grant: an idle one would stay open until its next packet."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from spicegrants import sessions
from spicegrants.errors import SystemFault
from spicegrants.host import run
from spicegrants.sessions import Connection


def connections() -> list[Connection]:
    """Return the TCP connections that are open on this machine."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="utf-8") as stream:
                found += sessions.parse(stream.read())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SystemFault(f"/proc/net/{name} cannot be read: {error}") from error
    return found


def hindrance() -> str | None:
    """Return why connections cannot be ended; ``None`` if they can."""
    return None if shutil.which("ss", path=run.SEARCH) else "ss is not installed"


def end(chosen: Iterable[Connection]) -> None:
    """End connections; those of other users stay.

    The kernel must be able to destroy sockets (``CONFIG_INET_DIAG_DESTROY``); without that, a session still ends at its
    next packet. Runs ``ss --kill``.
    """
    for connection in chosen:
        local, remote = (_filter(*place) for place in (connection.local, connection.remote))
        run.attempt(["ss", "--kill", "--tcp", "--numeric", "src", local, "dst", remote])


def _filter(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
