"""The backstop: a second nftables table, owned by the process that holds it, that guards ports while the guard is gone.

Only its owner can change it. A flush of the whole ruleset takes the guard away and leaves the backstop. It knows groups
and ports only, so it hardly ever changes: a process without the viewer's group reaches no guarded port, and a process
that has the group has it from sudo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import BACKSTOP, STORE, UNITS
from spicegrants.core.units import AFTER, CONFINEMENT
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
{CONFINEMENT}
[Install]
WantedBy=sysinit.target
"""


class Table(NamedTuple):
    """The table to hold: its name, and its content as nft reads it."""

    name: str
    body: str


class Plan(NamedTuple):
    """Changes in words, files to write by path, paths to remove, and whether the service must look again."""

    changes: tuple[Change, ...] = ()
    written: Mapping[str, Entry] = {}
    removed: tuple[str, ...] = ()
    in_force: bool = True


def table(desired: DesiredState, program: bytes) -> Table:
    """Return the desired table.

    program
        The holder's program. Another program holds another table, so that it takes over from the one before.

    The table's name is derived from its content, so a listing of names shows whether it is there: nobody but its owner
    can change it. Numbers and addresses are all that comes from pillar.
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
    """Return the first words of the rules: one entry for all destinations, or one for each IP version's servers."""
    if not guards_servers(desired):
        return [""]
    known = [(ip, server_addresses(desired, version)) for ip, version in (("ip", 4), ("ip6", 6))]
    return [f"{ip} daddr {{ {', '.join(addresses)} }} " for ip, addresses in known if addresses]


def desired_entries(wanted: Table, program: bytes) -> dict[str, Entry]:
    """Return the desired files, by path."""
    document = {"table": wanted.name, "body": wanted.body}
    return {
        STORED: File((json.dumps(document, sort_keys=True) + "\n").encode(), 0o600),
        BACKSTOP: File(program, 0o644),
        _SERVICE: File(_SERVICE_TEXT.encode(), 0o644),
        _ENABLED: Link(_SERVICE),
    }


def plan_backstop(wanted: Table | None, program: bytes, live: Mapping[str, Entry | None], owned: bool) -> Plan:
    """Compare the desired files and table with those on the machine.

    wanted
        The desired table; ``None`` for no backstop.

    live
        Files, by path.

    owned
        Whether the kernel holds the table, and a process owns it.
    """
    if wanted is None:
        there = tuple(path for path in PATHS if live.get(path) is not None)
        changes = [Change("firewall", "removes the backstop")] if there else []
        return Plan(tuple(changes), removed=there)
    verbs = {path: difference(entry, live.get(path)) for path, entry in desired_entries(wanted, program).items()}
    written = {path: entry for path, entry in desired_entries(wanted, program).items() if verbs[path]}
    changes = [Change("firewall", f"{verbs[path]} {path}") for path in written if path != STORED]
    if not owned:
        changes.append(Change("firewall", "keeps all but the viewer from the guarded ports, whatever is flushed"))
    elif STORED in written:
        changes.append(Change("firewall", "stores the backstop for the next boot"))
    return Plan(tuple(changes), written, (), owned)
