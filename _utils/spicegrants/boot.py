"""The guard without Salt: rules that systemd loads before the network is up, and again after nftables.service.

What is stored is the very transaction that a run sends to the kernel, for ``nft -j -f``. No dependency on Salt, name
resolution or a master.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from spicegrants import nftables
from spicegrants.compile import Wanted
from spicegrants.files import Entry, File, Link, difference
from spicegrants.plan import Change

STORE = "/var/lib/spice-grant"
GUARD = f"{STORE}/guard.json"
CLOSED = f"{STORE}/closed.json"
UNITS = "/etc/systemd/system"
UNIT = f"{UNITS}/spice-grant.service"
ENABLED = f"{UNITS}/sysinit.target.wants/spice-grant.service"
DROP_IN = f"{UNITS}/nftables.service.d/spice-grant.conf"
PATHS = (GUARD, CLOSED, UNIT, DROP_IN, ENABLED)
# Text of ours alone: nothing from pillar is in it. If the grants cannot be loaded, all guarded ports are closed.
_LOAD = f"/bin/sh -c '/usr/sbin/nft -j -f {GUARD} || /usr/sbin/nft -j -f {CLOSED}'"
_UNIT_TEXT = f"""\
[Unit]
Description=Guard before the SPICE consoles
DefaultDependencies=no
RequiresMountsFor={STORE}
After=nftables.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={_LOAD}
ExecReload={_LOAD}

[Install]
WantedBy=sysinit.target
"""
# nftables.service flushes all tables whenever it starts, stops or reloads. The dash: whatever becomes of ours, the
# site's own firewall does not fail for it.
_DROP_IN_TEXT = f"""\
[Service]
ExecStartPost=-{_LOAD}
ExecReload=-{_LOAD}
ExecStopPost=-{_LOAD}
"""


def wanted_entries(wanted: Wanted) -> dict[str, Entry]:
    """Return the files that there must be, by path."""
    closed = replace(wanted, accesses=())
    return {
        GUARD: File(_transaction(wanted), 0o600),
        CLOSED: File(_transaction(closed), 0o600),
        UNIT: File(_UNIT_TEXT.encode(), 0o644),
        DROP_IN: File(_DROP_IN_TEXT.encode(), 0o644),
        ENABLED: Link(UNIT),
    }


def _transaction(wanted: Wanted) -> bytes:
    document = {"nftables": nftables.plan(wanted, None).commands}
    return (json.dumps(document, sort_keys=True) + "\n").encode()


def plan(wanted: Wanted, live: Mapping[str, Entry]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare what must be stored with what is; return changes in words, and the paths to write."""
    verbs = {path: difference(entry, live.get(path)) for path, entry in wanted_entries(wanted).items()}
    write = tuple(path for path, verb in verbs.items() if verb)
    changes = [f"{verb} {path}" for path, verb in verbs.items() if verb and path not in (GUARD, CLOSED)]
    if GUARD in write or CLOSED in write:
        changes.append("stores the rules for the next boot")
    return tuple(Change("firewall", what) for what in changes), write
