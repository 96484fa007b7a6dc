"""systemd units that load rules before the network is up, and names of units."""

from __future__ import annotations

from spicegrants.core.entries import File
from spicegrants.core.paths import STORE

GUARD_SERVICE = "spice-grant.service"
# Covers interfaces that appear later.
UPLINKS_SERVICE = "spice-grant-uplinks.service"
# The clock ends sessions and warns users. It arms its timer for the next deadline itself, so that timer is no file. The
# hourly one starts the clock after each boot, and every hour in case anything disarmed the first timer.
CLOCK_SERVICE = "spice-grant-clock.service"
CLOCK_TIMER = "spice-grant-clock.timer"
HOURLY_TIMER = "spice-grant-hourly.timer"
# Records sessions.
RECORDER_SERVICE = "spice-grant-recorder.service"

# What none of our services needs: systemd.exec(5).
CONFINEMENT = """\
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
"""
# Services that load a site's rules at boot.
AFTER = "nftables.service netfilter-persistent.service iptables.service ip6tables.service"
_UNIT_TEXT = """\
[Unit]
Description={what}
DefaultDependencies=no
RequiresMountsFor={store} {script}
{order}Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {script}
ExecReload=/bin/sh {script}

[Install]
WantedBy=sysinit.target
"""


def unit(what: str, script: str, after: str = "", store: str = STORE) -> File:
    """Return a unit that runs a script before the network comes up, once our filesystems are mounted.

    what
        Its description.

    after
        Units that it is ordered after, if they are started at all.

    store
        Directory in which lies what it loads.
    """
    order = f"After={after}\n" if after else ""
    return File(_UNIT_TEXT.format(what=what, store=store, script=script, order=order).encode(), 0o644)
