"""Files of a KVM host: what is loaded before the network comes up, who may ask, and what answers. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from spicegrants.core import units
from spicegrants.core.entries import Directory, Entry, File, Link
from spicegrants.core.paths import (
    HOST_ASK,
    HOST_HOME,
    HOST_LOAD,
    HOST_PORTS,
    HOST_STORE,
    HOST_TICKETS,
    UNITS,
)
from spicegrants.hypervisor import port_table
from spicegrants.policy.model import Desk, Policy, PortRange, port_words

PORTS_SERVICE, TICKETS_SERVICE = "spice-host-ports.service", "spice-host.service"
_LINKS = {
    f"{UNITS}/sysinit.target.wants/{PORTS_SERVICE}": f"{UNITS}/{PORTS_SERVICE}",
    f"{UNITS}/multi-user.target.wants/{TICKETS_SERVICE}": f"{UNITS}/{TICKETS_SERVICE}",
}
KEYS = f"{HOST_HOME}/.ssh/authorized_keys"
# In the order in which they are made; removed the other way round.
DIRECTORIES = (HOST_HOME, f"{HOST_HOME}/.ssh")
PATHS = (
    HOST_PORTS,
    HOST_LOAD,
    HOST_ASK,
    HOST_TICKETS,
    KEYS,
    f"{UNITS}/{PORTS_SERVICE}",
    f"{UNITS}/{TICKETS_SERVICE}",
    *_LINKS,
)
_LOAD_TEXT = """\
#!/bin/sh
# Shuts the ports of SPICE consoles before the network comes up; made by spice_host.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
nft -j -f {stored} && nft list chain inet {table} input >/dev/null || nft '{shut}'
"""
# If the stored rules do not load, or load without shutting the ports, they are shut to all: they stand here.
_SHUT_CHAIN = "chain {hook} {{ type filter hook {hook} priority -5; tcp dport {{ {ports} }} reject with tcp reset; }};"
_TICKETS_TEXT = f"""\
[Unit]
Description=Gives tickets for SPICE consoles
RequiresMountsFor={HOST_STORE} {HOST_TICKETS}
After={PORTS_SERVICE} libvirtd.service virtqemud.socket
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/python3 -IS {HOST_TICKETS}
Restart=always
RestartSec=2
LimitNOFILE=65536
RuntimeDirectory=spice-host
RuntimeDirectoryPreserve=yes
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
{units.CONFINEMENT}
[Install]
WantedBy=multi-user.target
"""


def entries(policy: Policy, ports: Iterable[PortRange], gid: int | None, ask: bytes, give: bytes) -> dict[str, Entry]:
    """Return the desired files and directories by path, parents first.

    ports
        Ports that are guarded.

    gid
        Group of the desks' account; ``None`` while there is none.

    ask, give
        The program that sshd starts, and the one that gives tickets.
    """
    ports = [*ports]
    stored = json.dumps({"nftables": port_table.fresh(ports)}, sort_keys=True) + "\n"
    chains = [_SHUT_CHAIN.format(hook=hook, ports=port_words(ports)) for hook in ("input", "forward")]
    shut = f"table inet {port_table.TABLE} {{ {' '.join(chains)} }}"
    script = _LOAD_TEXT.format(stored=HOST_PORTS, table=port_table.TABLE, shut=shut)
    return {
        HOST_PORTS: File(stored.encode(), 0o600),
        HOST_LOAD: File(script.encode(), 0o755),
        f"{UNITS}/{PORTS_SERVICE}": units.unit("Shuts the ports of SPICE consoles", HOST_LOAD, units.AFTER, HOST_STORE),
        HOST_ASK: File(ask, 0o755),
        HOST_TICKETS: File(give, 0o755),
        f"{UNITS}/{TICKETS_SERVICE}": File(_TICKETS_TEXT.encode(), 0o644),
        **{directory: Directory(0o750, gid) for directory in DIRECTORIES},
        KEYS: File(authorized_keys(policy.desks).encode(), 0o640, gid),
        **{path: Link(target) for path, target in _LINKS.items()},
    }


def authorized_keys(desks: Mapping[str, Desk]) -> str:
    """Return the file by which sshd knows the desks; each can do nothing but ask, and only from its own addresses.

    sshd(8), AUTHORIZED_KEYS FILE FORMAT.
    """
    lines = []
    for desk in desks.values():
        options = f'restrict,from="{",".join(desk.addresses)}",command="{HOST_ASK} {desk.name}"'
        lines.append(f"{options} {desk.key}\n")
    return "".join(sorted(lines))
