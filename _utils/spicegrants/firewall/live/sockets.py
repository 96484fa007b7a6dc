"""End TCP connections that have lost their grant: an idle one would stay open until its next packet."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

from spicegrants.core.errors import SystemFault
from spicegrants.firewall import connections as firewall_connections
from spicegrants.firewall.connections import Connection
from spicegrants.host import run

# Connections that one run of ss ends: a user may have thousands, and nobody else's lock is to wait for them one by one.
# The kernel takes a filter of 64 KiB, which holds several times as many.
_AT_ONCE = 200


def connections() -> list[Connection]:
    """Return the TCP connections that are open on this machine."""
    return [found for text in _tables() for found in firewall_connections.parse_connections(text)]


def listeners() -> list[tuple[str, int]]:
    """Return the addresses and ports on which somebody listens on this machine, by TCP."""
    return [found for text in _tables() for found in firewall_connections.parse_listeners(text)]


def _tables() -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="utf-8") as stream:
                yield stream.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SystemFault(f"/proc/net/{name} cannot be read: {error}") from error


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


def end_surely(chosen: Iterable[Connection]) -> None:
    """End connections; raise :class:`~spicegrants.core.errors.SystemFault` if any goes on."""
    chosen = [*chosen]
    gone = {(each.local, each.remote) for each in chosen}
    if not gone:
        return
    end(chosen)
    left = [each for each in connections() if (each.local, each.remote) in gone]
    if left:
        raise SystemFault(f"ss does not end {len(left)} of {len(gone)} connections: the kernel may not let it")


def _filter(connection: Connection) -> list[str]:
    return ["(", "src", _place(*connection.local), "dst", _place(*connection.remote), ")"]


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
