"""Ends TCP connections that lost their grant: an idle one would stay open until its next packet."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import NamedTuple

from spicegrants.errors import SystemFault
from spicegrants.guard import Key
from spicegrants.host import run


class Connection(NamedTuple):
    """One line of /proc/net/tcp or tcp6: proc(5)."""

    local: tuple[str, int]
    remote: tuple[str, int]
    uid: int


def _place(text: str) -> tuple[str, int]:
    """Read ``0202A8C0:4E22``: words of 32 bits in the machine's own order, then the port."""
    address, port = text.split(":")
    raw = b"".join(struct.pack("=I", int(address[start : start + 8], 16)) for start in range(0, len(address), 8))
    parsed = ipaddress.ip_address(raw)
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return str(mapped or parsed), int(port, 16)


def parse(text: str) -> list[Connection]:
    """Read the text of /proc/net/tcp or tcp6, listening sockets left out."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] != "0A":
            found.append(Connection(_place(fields[1]), _place(fields[2]), int(fields[7])))
    return found


def end(closed: Iterable[Key]) -> list[Connection]:
    """End the connections of each key's UID to its address and port, and return them; those of other users stay.

    The kernel must be able to destroy sockets (``CONFIG_INET_DIAG_DESTROY``); without that, a session still ends at its
    next packet. Runs ``ss --kill``.
    """
    gone = {(key.uid, (key.address, key.port)) for key in closed}
    ended: list[Connection] = []
    for connection in _connections() if gone else ():
        if (connection.uid, connection.remote) in gone:
            local, remote = (_filter(*place) for place in (connection.local, connection.remote))
            run.attempt(["ss", "--kill", "--tcp", "--numeric", "src", local, "dst", remote])
            ended.append(connection)
    return ended


def sessions() -> frozenset[tuple[int, str, int]]:
    """Return UID, remote address and remote port of all TCP connections."""
    return frozenset((connection.uid, *connection.remote) for connection in _connections())


def _connections() -> list[Connection]:
    found = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as stream:
                found += parse(stream.read())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SystemFault(f"/proc/net/{name} cannot be read: {error}") from error
    return found


def _filter(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
