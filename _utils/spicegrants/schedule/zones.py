"""Time zones from the system's own data: the same for Salt's Python, the opener and the clock.

A Python may bring zones of its own that the system's Python lacks. And a system may leave out old names: since Debian
13 and Ubuntu 24.04 they are in a package of their own. The file tzdata.zi still says what they stand for.
"""

from __future__ import annotations

import datetime
import functools
import re

DIRECTORIES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
# Needs no data.
_UTC = ("UTC", "Etc/UTC")
# zic(8): a line of a link is "L TARGET NAME", the first of a zone "Z NAME ...".
_DATA = "tzdata.zi"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")


class Unknown(LookupError):
    """The system has no such zone."""


@functools.lru_cache(maxsize=256)
def zone(name: str) -> datetime.tzinfo:
    """Return a zone; raise :class:`Unknown` if the system has none of that name."""
    if name in _UTC:
        return datetime.timezone.utc
    found = (_read(name) or _read(_links().get(name, ""))) if _NAME.fullmatch(name) else None
    if found is None:
        raise Unknown(name)
    return found


def known(name: str) -> bool:
    """Tell whether the system has a zone of that name."""
    try:
        zone(name)
    except Unknown:
        return False
    return True


def _read(name: str) -> datetime.tzinfo | None:
    import zoneinfo  # Only where something has times: a user waits for the opener.

    for directory in DIRECTORIES if name else ():
        try:
            with open(f"{directory}/{name}", "rb") as stream:
                return zoneinfo.ZoneInfo.from_file(stream, key=name)
        except (OSError, ValueError):
            continue
    return None


def names() -> tuple[str, ...]:
    """Return the names of the zones in the system's data; none if it has no list of them."""
    zones = (fields[1] for fields in _lines() if fields[0] == "Z" and len(fields) > 1)
    return (*zones, *_links())


@functools.lru_cache(maxsize=1)
def _links() -> dict[str, str]:
    """Return the targets of links between names of zones, by the link's name."""
    return {fields[2]: fields[1] for fields in _lines() if fields[0] == "L" and len(fields) == 3}


def _lines() -> list[list[str]]:
    """Return the words of those lines of the data that name a zone or a link."""
    for directory in DIRECTORIES:
        try:
            with open(f"{directory}/{_DATA}", encoding="ascii", errors="replace") as stream:
                return [line.split() for line in stream if line.startswith(("L ", "Z "))]
        except OSError:
            continue
    return []
