"""The core of saltext-spice-grant: pillar to policy, policy to rules, rules to a plan.

Only the standard library is imported. What reads or changes the system stands in the packages ``host`` and ``engine``,
and in each ``live``; all else is pure: no clock, no input or output.
"""

from __future__ import annotations

import os


def _signature() -> tuple[tuple[str, int, int], ...]:
    found = []
    for top, _, names in os.walk(os.path.dirname(__file__)):
        for path in (os.path.join(top, name) for name in names if name.endswith(".py")):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            found.append((path, status.st_mtime_ns, status.st_size))
    return tuple(sorted(found))


_LOADED = _signature()


def stale() -> bool:
    """Tell whether the files of this package changed since it was imported.

    A Salt minion forks its jobs: what its parent imported stays for ever. The loader files drop a stale package
    first, so that newly synced code runs in the next job.
    """
    return _signature() != _LOADED
