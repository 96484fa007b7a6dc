"""The backstop: a second table, which only the process that holds it can change, for as long as the guard is gone.

Whoever flushes the ruleset takes the guard with it. What remains knows groups and ports alone, so it hardly ever
changes: who has not the viewer's group reaches no guarded port. Who has it, has it from sudo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import BACKSTOP, STORE, UNITS
from spicegrants.core.units import AFTER
from spicegrants.firewall import guard
from spicegrants.firewall.nft import guard_table
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses
from spicegrants.policy.model import port_words

FAMILY = "inet"
# What the names of such tables begin with; the program knows it as well.
PREFIX = "spice_grant_backstop_"
# Behind the guard, which logs and counts what it refuses: as long as that stands, there is nothing left to refuse.
PRIORITY = guard_table.PRIORITY + 1
STORED = f"{STORE}/backstop.json"
SERVICE = "spice-grant-backstop.service"
_SERVICE = f"{UNITS}/{SERVICE}"
_ENABLED = f"{UNITS}/sysinit.target.wants/{SERVICE}"
PATHS = (STORED, BACKSTOP, _SERVICE, _ENABLED)
# After those who load a site's rules: a listing that was saved as such has this table in it, and could not be loaded
# while somebody owns that. What systemd could not start is started again. What the program says itself it says once.
_SERVICE_TEXT = f"""\
[Unit]
Description=Keeps what is not the viewer from SPICE consoles, whatever is flushed
DefaultDependencies=no
RequiresMountsFor={STORE} {BACKSTOP}
After={AFTER}
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/python3 -IS {BACKSTOP}
ExecReload=/usr/bin/python3 -IS {BACKSTOP} $MAINPID
Restart=always
RestartSec=0.2
RestartPreventExitStatus=1
OOMScoreAdjust=-900
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=sysinit.target
"""


class Table(NamedTuple):
    """The table to hold: its name, and what is in it as nft reads it."""

    name: str
    body: str


class Plan(NamedTuple):
    """Changes in words; files to write, by path, and those to remove; whether the service has to look again."""

    changes: tuple[Change, ...] = ()
    written: Mapping[str, Entry] = {}
    removed: tuple[str, ...] = ()
    held: bool = True


def table(desired: DesiredState, program: bytes) -> Table:
    """Return the table that there must be.

    program
        What holds it: another one holds another table, so that it takes over from the one before.

    Its name is that of what is in it. So a listing of tables says whether it is there: nobody but its owner can change
    it. Numbers and addresses are all that comes from pillar.
    """
    ports = f"tcp dport {{ {port_words(desired.policy.guarded_ports())} }}"
    # The sign, in quotes, is for nft, which would look for a group of that name first.
    others = "" if desired.gid is None else f'meta skgid != "{guard.number(desired.gid)}" '
    chains = []
    for hook, whom in (("output", others), ("forward", "")):
        rules = " ".join(f"{towards}{ports} {whom}reject with tcp reset;" for towards in _towards(desired))
        chains.append(f"chain {hook} {{ type filter hook {hook} priority {PRIORITY}; {rules} }};")
    body = " ".join(chains)
    return Table(PREFIX + hashlib.sha256(body.encode() + program).hexdigest()[:16], body)


def _towards(desired: DesiredState) -> list[str]:
    """Return what begins the rules: one for all destinations, or one for the servers' of each IP version."""
    if not guards_servers(desired):
        return [""]
    known = [(ip, server_addresses(desired, version)) for ip, version in (("ip", 4), ("ip6", 6))]
    return [f"{ip} daddr {{ {', '.join(addresses)} }} " for ip, addresses in known if addresses]


def desired_entries(kept: Table, program: bytes) -> dict[str, Entry]:
    """Return the files that there must be, by path."""
    document = {"table": kept.name, "body": kept.body}
    return {
        STORED: File((json.dumps(document, sort_keys=True) + "\n").encode(), 0o600),
        BACKSTOP: File(program, 0o644),
        _SERVICE: File(_SERVICE_TEXT.encode(), 0o644),
        _ENABLED: Link(_SERVICE),
    }


def plan(kept: Table | None, program: bytes, live: Mapping[str, Entry | None], owned: bool) -> Plan:
    """Compare what must be there with what is.

    kept
        The table; ``None`` where there is to be no backstop.

    live
        Files, by path.

    owned
        Whether the kernel holds the table, and a process owns it.
    """
    if kept is None:
        there = tuple(path for path in PATHS if live.get(path) is not None)
        changes = [Change("firewall", "removes the backstop")] if there else []
        return Plan(tuple(changes), removed=there)
    verbs = {path: difference(entry, live.get(path)) for path, entry in desired_entries(kept, program).items()}
    written = {path: entry for path, entry in desired_entries(kept, program).items() if verbs[path]}
    changes = [Change("firewall", f"{verbs[path]} {path}") for path in written if path != STORED]
    if not owned:
        changes.append(Change("firewall", "keeps all but the viewer from the guarded ports, whatever is flushed"))
    elif STORED in written:
        changes.append(Change("firewall", "stores the backstop for the next boot"))
    return Plan(tuple(changes), written, (), owned)
