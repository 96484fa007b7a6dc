"""Watch list: the files and directories that layers rest on, where a change may be drift."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from spicegrants.accounting import recorder_units
from spicegrants.core.paths import LAUNCHER, LOAD_GUARD, STORE
from spicegrants.expiry import clock_units
from spicegrants.firewall import backstop
from spicegrants.firewall import boot as firewall_boot
from spicegrants.firewall.nft import hotplug
from spicegrants.policy.state_file import Stored
from spicegrants.routing import boot as routing_boot
from spicegrants.viewer import desk
from spicegrants.viewer import files as viewer_files

# What others may write as well: by directory the names that matter.
_SHARED = (
    # Another sudo may want another form of our file.
    "/usr/bin/sudo",
    "/etc/alternatives/sudo",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/passwd",
    "/etc/group",
    "/etc/gshadow",
    "/etc/subgid",
    "/etc/permissions.local",
    "/var/lib/dpkg/statoverride",
    LAUNCHER,
    *desk.PATHS,
    *firewall_boot.PATHS,
    *routing_boot.PATHS,
    *clock_units.PATHS,
    *recorder_units.PATHS,
    *hotplug.PATHS,
    *backstop.PATHS,
)
# Whatever changes in them matters.
_WHOLE = ("/etc/sudoers.d", STORE, posixpath.dirname(LOAD_GUARD), *viewer_files.DIRECTORIES)
# By directory: names, or None for all of them.
Places = Mapping[str, "frozenset[str] | None"]


def places(stored: Stored) -> dict[str, frozenset[str] | None]:
    """Return the directories to watch, and in each the names that matter; ``None`` for all."""
    policy = stored.policy
    files = [*_SHARED, *_WHOLE]
    if policy is not None:
        files += policy.viewer.paths
        files += [server.ca for server in policy.servers.values() if server.ca and server.ca.startswith("/")]
    found: dict[str, set[str]] = {}
    for path in files:
        directory, name = posixpath.split(path)
        found.setdefault(directory, set()).add(name)
    return {**{directory: frozenset(names) for directory, names in found.items()}, **dict.fromkeys(_WHOLE)}


def joined(one: Iterable[str] | None, other: Iterable[str] | None) -> frozenset[str] | None:
    """Return the names of both; ``None`` stands for all names."""
    return None if one is None or other is None else frozenset((*one, *other))
