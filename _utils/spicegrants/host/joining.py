"""Ways into a group beside membership: its password, newgrp(1), and its administrators, gpasswd(1)."""

from __future__ import annotations

import contextlib
import grp

from spicegrants.errors import SystemFault
from spicegrants.host import run

_SHADOW = "/etc/gshadow"
# What stands in place of a password: no such word is one.
_NONE = ("", "x")
_LOCKED = ("!", "*")


def open_to_others(group: str) -> bool:
    """Tell whether somebody who is no member could join a group, by its password or as its administrator.

    Reads /etc/group and /etc/gshadow. Raises :class:`~spicegrants.errors.SystemFault` if the latter cannot be read.
    """
    words = []
    with contextlib.suppress(KeyError):
        words.append(grp.getgrnam(group).gr_passwd)
    administrators = ""
    try:
        with open(_SHADOW, encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                name, _, rest = line.rstrip("\n").partition(":")
                if name == group:
                    word, _, rest = rest.partition(":")
                    words.append(word)
                    administrators = rest.partition(":")[0]
    except FileNotFoundError:
        # Some systems have none.
        pass
    except OSError as error:
        raise SystemFault(f"{_SHADOW} cannot be read: {error}") from error
    return bool(administrators) or any(word not in _NONE and not word.startswith(_LOCKED) for word in words)


def shut(group: str) -> None:
    """Take a group's password and administrators away. Runs ``groupmod`` and ``gpasswd``."""
    run.run(["groupmod", "--password", "!", group])
    run.run(["gpasswd", "--administrators", "", group])
