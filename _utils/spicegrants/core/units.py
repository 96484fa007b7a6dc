"""Units of systemd that load something before the network is up."""

from __future__ import annotations

from spicegrants.core.entries import File
from spicegrants.core.paths import STORE

GUARD_SERVICE = "spice-grant.service"
# Covers interfaces that appear later.
UPLINKS_SERVICE = "spice-grant-uplinks.service"
# Ends and announces. The timer starts it at the next moment at which there is something to do: the clock itself arms
# that, it is no file. The other one starts it after each boot, and every hour in case that anything disarmed the first.
CLOCK_SERVICE = "spice-grant-clock.service"
CLOCK_TIMER = "spice-grant-clock.timer"
HOURLY_TIMER = "spice-grant-hourly.timer"

# Who loads a site's rules at the boot.
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


def unit(what: str, script: str, after: str = "") -> File:
    """Return a unit that runs a script before the network comes up, once the filesystems of ours are there.

    what
        Its description.

    after
        Units that come first, if they are started at all.
    """
    order = f"After={after}\n" if after else ""
    return File(_UNIT_TEXT.format(what=what, store=STORE, script=script, order=order).encode(), 0o644)
