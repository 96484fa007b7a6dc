"""Open TCP connections to guarded ports, and those among them that no grant covers any more."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from spicegrants.core import netlink
from spicegrants.core.changes import Change
from spicegrants.policy.compiler import DesiredState, guards_servers

# States of /proc/net/tcp in which data can still flow: established, both FIN_WAITs, CLOSE_WAIT; linux/tcp_states.h.
_OPEN = ("01", "04", "05", "08")
_LISTENING = "0A"


class Connection(NamedTuple):
    """One line of /proc/net/tcp or /proc/net/tcp6; see proc(5).

    ``owned`` tells whether a process has it; without one the kernel still has data to send.
    """

    local: tuple[str, int]
    remote: tuple[str, int]
    uid: int
    owned: bool = True

    @property
    def door(self) -> tuple[int, str, int]:
        """UID, remote address and port."""
        return self.uid, *self.remote


def parse_connections(text: str) -> list[Connection]:
    """Return the open connections in the text of /proc/net/tcp or tcp6.

    Included are those that belong to somebody or still have data to send.
    """
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        # Without an inode it is nobody's any more: the kernel only sees it off. But with much left to send, slowly, it
        # would go on for hours, and no packet of it has an owner.
        unsent, owned = int(fields[4].partition(":")[0], 16), fields[9] != "0"
        if fields[3] in _OPEN and (owned or unsent):
            found.append(Connection(_place(fields[1]), _place(fields[2]), int(fields[7]), owned))
    return found


def parse_listeners(text: str) -> list[tuple[str, int]]:
    """Return addresses and ports on which somebody listens, in the text of /proc/net/tcp or tcp6."""
    lines = (line.split() for line in text.splitlines()[1:])
    return [_place(fields[1]) for fields in lines if fields[3] == _LISTENING]


def ended_at(message: bytes) -> set[int]:
    """Return the local ports of the TCP sockets that have ended, in a message of the kernel's; linux/inet_diag.h."""
    bodies = (body for _, body in netlink.messages(message))
    # A socket's family, state, timer and retransmissions come before its ports.
    return {struct.unpack_from("!H", body, 4)[0] for body in bodies if len(body) >= 6}


def _place(text: str) -> tuple[str, int]:
    """Read ``0202A8C0:4E22``: words of 32 bits in the machine's own order, then the port."""
    address, port = text.split(":")
    raw = b"".join(struct.pack("=I", int(address[start : start + 8], 16)) for start in range(0, len(address), 8))
    parsed = ipaddress.ip_address(raw)
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return str(mapped or parsed), int(port, 16)


def stray(desired: DesiredState, connections: Iterable[Connection]) -> list[Connection]:
    """Return the connections to guarded ports whose user has no grant there at the moment.

    The kernel does not report with which group a connection was made. One that a granted user made with another program
    ends at its next packet.
    """
    servers = {address for found in desired.inventory.addresses.values() for address in found}
    ranges = desired.policy.guarded_ports()
    everywhere = not guards_servers(desired)
    guarded = [
        connection
        for connection in connections
        if any(low <= connection.remote[1] <= high for low, high in ranges)
        and (everywhere or connection.remote[0] in servers)
    ]
    if not guarded:
        return []
    stay = {(drain.uid, drain.address, drain.port) for drain in desired.draining}
    for access in filter(desired.open_now, desired.accesses):
        stay |= {(access.uid, address, desired.port(access)) for address in desired.addresses(access)}
    return [connection for connection in guarded if connection.door not in stay]


def changes(
    desired: DesiredState, strays: Iterable[Connection], users: Mapping[int, str], hindrance: str | None
) -> list[Change]:
    """Return the changes in words for the connections to end.

    users
        Names by UID.

    hindrance
        Why connections cannot be ended; ``None`` if they can.
    """
    hint = f" ({hindrance})" if hindrance else ""
    found = []
    for uid, address, port in sorted({connection.door for connection in strays}):
        what = f"ends what {users.get(uid, f'UID {uid}')} has open at {address} port {port}{hint}"
        found.append(Change("firewall", what, desired.grants_of(uid, desired.vm_at(address, port))))
    return found
