"""The recorder's program, and the unit by which systemd runs it. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import METRICS, RECORDER, STORE, UNITS
from spicegrants.core.units import CONFINEMENT, RECORDER_SERVICE

_SERVICE = f"{UNITS}/{RECORDER_SERVICE}"
ENABLED = f"{UNITS}/multi-user.target.wants/{RECORDER_SERVICE}"
PATHS = (RECORDER, _SERVICE, ENABLED)
LAYER = "audit"
# It changes nothing but the record and its own notes. Without ProtectKernelTunables and ProtectControlGroups: in a
# container either shows the host's boot for its own, and journalctl then finds nothing.
_SERVICE_TEXT = f"""\
[Unit]
Description=Records who opens and ends SPICE consoles
RequiresMountsFor={STORE} {RECORDER} /var/log
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/bin/python3 -IS {RECORDER}
Restart=always
RestartSec=2
RuntimeDirectory=spice-grant
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run {STORE} /var/log -{posixpath.dirname(METRICS)}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
{CONFINEMENT}
[Install]
WantedBy=multi-user.target
"""


def desired_entries(program: bytes, enabled: bool) -> dict[str, File | Link]:
    """Return the desired files, by path; none where nothing is recorded.

    program
        The recorder's program text, see :func:`spicegrants.core.zipapp.archive`.
    """
    if not enabled:
        return {}
    return {
        RECORDER: File(program, 0o644),
        _SERVICE: File(_SERVICE_TEXT.encode(), 0o644),
        ENABLED: Link(_SERVICE),
    }


def plan_units(
    desired: Mapping[str, File | Link], live: Mapping[str, Entry | None]
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare the desired files with the present ones; return the changes in words, and the paths that differ."""
    verbs = {path: _verb(desired.get(path), live.get(path)) for path in PATHS}
    changed = tuple(path for path, verb in verbs.items() if verb)
    return tuple(Change(LAYER, f"{verbs[path]} {path}") for path in changed), changed


def _verb(desired: Entry | None, live: Entry | None) -> str | None:
    """Return what is to be done, in a word; nothing for no difference."""
    if desired is None:
        return None if live is None else "removes"
    return difference(desired, live)
