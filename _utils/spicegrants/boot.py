"""The guard without Salt: rules that systemd loads before the network is up, and again after nftables.service.

What is stored is the very transaction that a run sends to the kernel, for ``nft -j -f``. No dependency on Salt, name
resolution or a master.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from spicegrants import nftables
from spicegrants.compile import Wanted
from spicegrants.files import Entry, File, Link, difference
from spicegrants.model import port_words
from spicegrants.plan import Change

STORE = "/var/lib/spice-grant"
GUARD = f"{STORE}/guard.json"
UNITS = "/etc/systemd/system"
UNIT = f"{UNITS}/spice-grant.service"
ENABLED = f"{UNITS}/sysinit.target.wants/spice-grant.service"
DROP_IN = f"{UNITS}/nftables.service.d/spice-grant.conf"
PATHS = (GUARD, UNIT, DROP_IN, ENABLED)
# If the stored rules do not load, or load without leaving a guard (an empty file does), everything guarded is closed:
# that needs no file, the ports stand in the unit. Numbers are all that comes from pillar.
_LOAD = (
    "/bin/sh -c '/usr/sbin/nft -j -f {guard} && /usr/sbin/nft list chain inet {table} output >/dev/null"
    ' || /usr/sbin/nft "{closed}"\''
)
_CLOSED = (
    "chain {hook} {{ type filter hook {hook} priority {priority}; tcp dport {{ {ports} }} reject with tcp reset; }};"
)
_UNIT_TEXT = """\
[Unit]
Description=Guard before the SPICE consoles
DefaultDependencies=no
RequiresMountsFor={store}
After=nftables.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={load}
ExecReload={load}

[Install]
WantedBy=sysinit.target
"""
# nftables.service flushes all tables whenever it starts, stops or reloads. The dash: whatever becomes of ours, the
# site's own firewall does not fail for it.
_DROP_IN_TEXT = """\
[Service]
ExecStartPost=-{load}
ExecReload=-{load}
ExecStopPost=-{load}
"""


def wanted_entries(wanted: Wanted) -> dict[str, Entry]:
    """Return the files that there must be, by path."""
    ports = port_words(wanted.policy.guarded_ports())
    chains = [_CLOSED.format(hook=hook, priority=nftables.PRIORITY, ports=ports) for hook in ("output", "forward")]
    closed = f"table inet {nftables.TABLE} {{ {' '.join(chains)} }}"
    load = _LOAD.format(guard=GUARD, table=nftables.TABLE, closed=closed)
    return {
        GUARD: File(_transaction(wanted), 0o600),
        UNIT: File(_UNIT_TEXT.format(store=STORE, load=load).encode(), 0o644),
        DROP_IN: File(_DROP_IN_TEXT.format(load=load).encode(), 0o644),
        ENABLED: Link(UNIT),
    }


def _transaction(wanted: Wanted) -> bytes:
    document = {"nftables": nftables.plan(wanted, None).commands}
    return (json.dumps(document, sort_keys=True) + "\n").encode()


def plan(wanted: Wanted, live: Mapping[str, Entry]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare what must be stored with what is; return changes in words, and the paths to write."""
    verbs = {path: difference(entry, live.get(path)) for path, entry in wanted_entries(wanted).items()}
    write = tuple(path for path, verb in verbs.items() if verb)
    changes = [f"{verb} {path}" for path, verb in verbs.items() if verb and path != GUARD]
    if GUARD in write:
        changes.append("stores the rules for the next boot")
    return tuple(Change("firewall", what) for what in changes), write
