"""The guard for interfaces that appear later: a program that covers them, its unit, and a udev rule that starts it.

A table of the family netdev names each interface, and nft can make no rule for one that does not exist. So it is kept
out of the rules stored for the boot: a missing interface would keep all of them from loading.
"""

from __future__ import annotations

from collections.abc import Mapping

from spicegrants.core.changes import Change
from spicegrants.core.entries import Directory, Entry, File, difference
from spicegrants.core.paths import CLOCK, STORE, UNITS, UPLINKS
from spicegrants.core.units import CONFINEMENT, UPLINKS_SERVICE
from spicegrants.policy.compiler import DesiredState

# Only where udev is: without it, what appears is covered by the next run.
RULES = "/etc/udev/rules.d"
_SERVICE, _RULE = f"{UNITS}/{UPLINKS_SERVICE}", f"{RULES}/90-spice-grant.rules"
PATHS = (UPLINKS, _SERVICE, _RULE)
# The clock's program holds what this needs.
_PROGRAM_TEXT = f"""\
#!/usr/bin/python3 -I
# Guards SPICE consoles on network interfaces that have appeared; made by spice_firewall.
import sys

sys.path.insert(0, "{CLOCK}")

from spicegrants.firewall.live.egress import main

sys.exit(main())
"""
# While a system boots, systemd may fail to put its mounts in order (seen: status 226). What the program itself says
# against a start it says once.
_SERVICE_TEXT = f"""\
[Unit]
Description=Guards SPICE consoles on network interfaces that have appeared
DefaultDependencies=no
RequiresMountsFor={STORE} {UPLINKS}
After=spice-grant.service
Conflicts=shutdown.target
Before=shutdown.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {UPLINKS}
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=1
TimeoutStartSec=150
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
{CONFINEMENT}"""
# udev tells of the interfaces of this machine's own network, not of those of containers. Started anew for each: what
# appears while it runs would not be seen otherwise, and it leaves nothing half done.
_RULE_TEXT = f"""\
# Guards SPICE consoles on an interface that appears; made by spice_firewall.
SUBSYSTEM=="net", ACTION=="add|move", ENV{{INTERFACE}}!="lo", RUN+="/bin/systemctl --no-block restart {UPLINKS_SERVICE}"
"""


def desired_entries(desired: DesiredState, live: Mapping[str, Entry | None]) -> dict[str, Entry]:
    """Return the desired files, by path; none if no interface is guarded.

    live
        Present files by path, including :data:`RULES`.
    """
    if desired.policy.firewall.uplinks == ():
        return {}
    rule = {_RULE: File(_RULE_TEXT.encode(), 0o644)} if isinstance(live.get(RULES), Directory) else {}
    program, service = File(_PROGRAM_TEXT.encode(), 0o644), File(_SERVICE_TEXT.encode(), 0o644)
    return {UPLINKS: program, _SERVICE: service, **rule}


def plan_hotplug(desired: DesiredState, live: Mapping[str, Entry | None]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare the desired files with the present ones; return changes in words, and the paths to write or remove."""
    entries = desired_entries(desired, live)
    verbs = {path: difference(entry, live.get(path)) for path, entry in entries.items()}
    verbs.update({path: "removes" for path in PATHS if path not in entries and live.get(path) is not None})
    paths = tuple(path for path, verb in verbs.items() if verb)
    return tuple(Change("firewall", f"{verbs[path]} {path}") for path in paths), paths
