"""Listener for changes of policy routing rules, routes and links: the kernel reports each to netlink groups."""

from __future__ import annotations

from spicegrants.core.errors import SystemFault
from spicegrants.drift.route_events import GROUPS, Signs
from spicegrants.host import netlink_socket

_BUFFER = 4 * 1024 * 1024


class RouteChanges:
    """Subscription to changes of rules, routes and links, from now on."""

    def __init__(self) -> None:
        """Join the groups; raise :class:`~spicegrants.core.errors.SystemFault` if the kernel refuses."""
        try:
            self._socket = netlink_socket.open_socket(netlink_socket.ROUTE, GROUPS, _BUFFER, patience=0)
        except OSError as error:
            raise SystemFault(f"changes of routes cannot be noticed: {error}") from error
        self._signs = Signs()

    def receive(self) -> tuple[list[str], bool]:
        """Return what changed since the last call, and whether the kernel had to drop some.

        It is reported in words: our rules and routes, and links.
        """
        found: dict[str, None] = {}
        dropped = False
        try:
            for received in netlink_socket.received(self._socket):
                if received is None:
                    dropped = True
                else:
                    found.update(dict.fromkeys(self._signs.feed(received)))
        except OSError as error:
            raise SystemFault(f"changes of routes are not noticed: {error}") from error
        return list(found), dropped

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()
