"""End TCP connections that have lost their grant: an idle one would stay open until its next packet."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from spicegrants.core.errors import SystemFault
from spicegrants.firewall import connections as firewall_connections
from spicegrants.firewall.connections import Connection
from spicegrants.host import run

# Connections that one run of ss ends: a user may have thousands, and nobody else's lock is to wait for them one by one.
# The kernel takes a filter of 64 KiB, which holds several times as many.
_AT_ONCE = 200


def connections() -> list[Connection]:
    """Return the TCP connections that are open on this machine."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="utf-8") as stream:
                found += firewall_connections.parse_connections(stream.read())
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
    # Where a filter names an address of IPv6, ss looks at nothing of IPv4.
    versions: dict[bool, list[list[str]]] = {}
    for connection in chosen:
        versions.setdefault(":" in connection.local[0], []).append(_filter(connection))
    for filters in versions.values():
        for start in range(0, len(filters), _AT_ONCE):
            first, *others = filters[start : start + _AT_ONCE]
            words = [*first, *(word for each in others for word in ("or", *each))]
            run.attempt(["ss", "--kill", "--tcp", "--numeric", *words])


def _filter(connection: Connection) -> list[str]:
    return ["(", "src", _place(*connection.local), "dst", _place(*connection.remote), ")"]


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
