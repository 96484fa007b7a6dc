"""Check of a server's name as a viewer makes it: its connection file has the name, whatever addresses are declared."""

from __future__ import annotations

import socket
from collections.abc import Collection

from spicegrants.core import validation


def attempt(host: str, addresses: Collection[str]) -> dict[str, list[str]]:
    """Return why a viewer would not find a server, and what may lead it elsewhere: ``wrong`` and ``unknown``.

    host
        Name or address, as the connection file has it.

    addresses
        The server's addresses.
    """
    if validation.address(host) is not None:
        return {"wrong": [], "unknown": []}
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return {"wrong": [f"viewers do not find it: the name {host} does not resolve here ({error})"], "unknown": []}
    found = {str(validation.address(str(answer[4][0]))) for answer in answers}
    others = sorted(found - set(addresses))
    if found.isdisjoint(addresses):
        return {"wrong": [f"viewers go elsewhere: the name {host} resolves to {', '.join(others)} here"], "unknown": []}
    led = [f"the name {host} resolves to {', '.join(others)} as well, where viewers are refused"] if others else []
    return {"wrong": [], "unknown": led}
