"""Search for users' processes that have the viewer's group but are no viewer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spicegrants.viewer import search

_IDS = re.compile(rb"^(Name|Uid|Gid|Groups):[\t ]*(.*)$", re.MULTILINE)


def strange(gid: int, viewers: Iterable[str]) -> list[dict[str, Any]]:
    """Return ``pid``, ``uid`` and ``name`` of each such process; processes that end meanwhile are left out.

    gid
        GID of the viewer's group: real, effective, saved or supplementary.

    viewers
        Paths of the programs that may have it. A program that is gone is not among them.
    """
    allowed = [os.stat(path) for path in viewers]
    found: dict[int, dict[str, Any]] = {}
    for thread in sorted(Path("/proc").glob("[0-9]*/task/[0-9]*"), key=lambda path: int(path.name)):
        # Each thread has its own rights, and the first one may have ended before the others.
        try:
            fields = dict(_IDS.findall(Path(thread, "status").read_bytes()))
            uid = int(fields[b"Uid"].split()[0])
            has_it = str(gid).encode() in (*fields[b"Gid"].split(), *fields[b"Groups"].split())
            if uid and has_it and not any(os.path.samestat(os.stat(thread / "exe"), each) for each in allowed):
                pid = int(thread.parts[2])
                found.setdefault(pid, {"pid": pid, "uid": uid, "name": search.quoted(fields[b"Name"])})
        except (OSError, KeyError, IndexError):
            continue
    return [found[pid] for pid in sorted(found)]
