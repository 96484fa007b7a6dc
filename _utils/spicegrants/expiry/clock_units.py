"""The clock without Salt: a program that warns users and ends idle sessions on time, and the units that start it.

The kernel closes windows by itself, and a session is then refused at its next packet. But an idle session sends none,
and nobody would be warned: only that is done here.
"""

from __future__ import annotations

from collections.abc import Mapping

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import CLOCK, STORE, UNITS
from spicegrants.core.units import CLOCK_SERVICE, CONFINEMENT, HOURLY_TIMER

_SERVICE, _NET = f"{UNITS}/{CLOCK_SERVICE}", f"{UNITS}/{HOURLY_TIMER}"
ENABLED = f"{UNITS}/timers.target.wants/{HOURLY_TIMER}"
PATHS = (CLOCK, _SERVICE, _NET, ENABLED)
# Messages outlive the run that sends them, as processes of their users: so only the main process is ever killed,
# nothing is private that leads to a desktop, and users write where users do. It runs as often as it is asked to, and
# again where systemd could not start it; what is wrong with what is stored, it says once.
_SERVICE_TEXT = f"""\
[Unit]
Description=Warns of the end of SPICE consoles' windows, and ends idle sessions at it
RequiresMountsFor={STORE} {CLOCK}
After=spice-grant.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -IS {CLOCK}
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=1
KillMode=process
TimeoutStartSec=300
RuntimeDirectory=spice-grant
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SETUID CAP_SETGID CAP_KILL
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=-/tmp -/run/user -/home
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
{CONFINEMENT}"""
# Not with the default dependencies: they have a timer with a date wait until the clock is synchronised, and the kernel,
# which closes the windows, does not wait.
_NET_TEXT = f"""\
[Unit]
Description=Sees to the end of SPICE consoles' windows after each boot, and every hour
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target
Before=timers.target shutdown.target
Conflicts=shutdown.target

[Timer]
OnBootSec=0
OnCalendar=hourly
Unit={CLOCK_SERVICE}

[Install]
WantedBy=timers.target
"""


def desired_entries(program: bytes) -> dict[str, Entry]:
    """Return the desired files, by path.

    program
        The clock's program text, see :func:`spicegrants.core.zipapp.archive`.
    """
    return {
        CLOCK: File(program, 0o644),
        _SERVICE: File(_SERVICE_TEXT.encode(), 0o644),
        _NET: File(_NET_TEXT.encode(), 0o644),
        ENABLED: Link(_NET),
    }


def plan_units(program: bytes, live: Mapping[str, Entry | None]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare the desired files with the present ones; return the changes in words, and the paths to write."""
    verbs = {path: difference(entry, live.get(path)) for path, entry in desired_entries(program).items()}
    write = tuple(path for path, verb in verbs.items() if verb)
    return tuple(Change("firewall", f"{verbs[path]} {path}") for path in write), write
