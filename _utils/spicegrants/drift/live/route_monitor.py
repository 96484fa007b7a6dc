"""Listens to changes of rules of policy routing, of routes, and of links: the kernel tells netlink groups of each."""

from __future__ import annotations

import errno
import socket

from spicegrants.core.errors import SystemFault
from spicegrants.drift.route_events import GROUPS, Signs

_NETLINK_ROUTE = 0
_SO_RCVBUFFORCE = 33
_BUFFER = 4 * 1024 * 1024
_RECEIVED = 256 * 1024


class RouteChanges:
    """Hears of changes from now on."""

    def __init__(self) -> None:
        """Join the groups; raise :class:`~spicegrants.core.errors.SystemFault` if the kernel has none for us."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _NETLINK_ROUTE
        )
        try:
            self._socket.bind((0, GROUPS))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except OSError as error:
            self._socket.close()
            raise SystemFault(f"changes of routes cannot be noticed: {error}") from error
        self._signs = Signs()

    def heard(self) -> tuple[list[str], bool]:
        """Return what of ours, and which links, changed since the last call, and whether the kernel dropped some."""
        found: dict[str, None] = {}
        dropped = False
        while True:
            try:
                found.update(dict.fromkeys(self._signs.feed(self._socket.recv(_RECEIVED))))
            except BlockingIOError:
                return list(found), dropped
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise SystemFault(f"changes of routes are not noticed: {error}") from error
                dropped = True

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()
