"""Reader of gshadow(5): users who can obtain a group besides the members that /etc/group lists."""

from __future__ import annotations

from typing import NamedTuple

from spicegrants.host import disk

PATH = "/etc/gshadow"


class Shadow(NamedTuple):
    """A group's entry, which newgrp(1) and gpasswd(1) go by.

    members
        Members according to newgrp.

    administrators
        Users who may add anybody to the group, themselves too.

    password
        Whether there is a password with which anybody gets the group.
    """

    members: tuple[str, ...] = ()
    administrators: tuple[str, ...] = ()
    password: bool = False


def read(group: str) -> Shadow:
    """Return the entry of a group; an empty one where there is no such file, or no line."""
    for line in (disk.read_site(PATH) or b"").decode(errors="surrogateescape").splitlines():
        name, *fields = line.split(":")
        if name == group and len(fields) == 3:
            password, administrators, members = fields
            return Shadow(_names(members), _names(administrators), usable(password))
    return Shadow()


def usable(password: str) -> bool:
    """Tell whether a field holds a password that somebody may know."""
    return password not in ("", "x") and password[0] not in "!*"


def _names(field: str) -> tuple[str, ...]:
    return tuple(name for name in field.split(",") if name)
