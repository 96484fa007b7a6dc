"""What runs add to the record: changes of the policy, loans and locks, and the repair of what somebody altered."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spicegrants.core.errors import SpiceGrantError
from spicegrants.engine import context
from spicegrants.policy import happenings, merge
from spicegrants.policy.fingerprint import fingerprint
from spicegrants.policy.model import Audit
from spicegrants.policy.state_file import Stored
from spicegrants.record import events
from spicegrants.record.live import event_log

_LOGIN = "/proc/self/loginuid"
# Who has the runs of this process done, where Salt says so.
_named: list[str] = []


@contextlib.contextmanager
def run_by(who: str | None) -> Iterator[None]:
    """Name who has the runs within done; ``None`` for whoever is logged in."""
    _named.append(who or "")
    try:
        yield
    finally:
        _named.pop()


def note(before: Stored, report: dict[str, Any]) -> None:
    """Record what a run has changed. What hinders that is added to the report's errors where a record is required.

    before
        What was stored before it.

    report
        Its report.
    """
    changes = merge.sentences(report["changes"])
    if not changes:
        return
    after = Stored()
    with contextlib.suppress(SpiceGrantError):
        after = context.stored(before.policy)
    policy = after.policy or before.policy
    settings, zone = (policy.audit, policy.time.zone) if policy else (Audit(), None)
    now, by = int(time.time()), _named[-1] if _named and _named[-1] else _caller()
    prints = [fingerprint(stored.policy) if stored.policy else None for stored in (before, after)]
    found = [
        events.event(kind, now, zone, **fields, by=by)
        for kind, fields in happenings.of_run(before, after, (prints[0], prints[1]), changes)
    ]
    try:
        event_log.append(found, settings)
    except SpiceGrantError as error:
        report["errors" if settings.required else "warnings"].append(f"audit: {error}")


def _caller() -> str:
    """Return who started this process: who used sudo, or is logged in; else the account that it runs as."""
    name = os.environ.get("SUDO_USER", "")
    if name:
        return name
    with contextlib.suppress(OSError, ValueError, KeyError, OverflowError), open(_LOGIN, encoding="ascii") as stream:
        # (uid_t) -1 is nobody's, as of services.
        return pwd.getpwuid(int(stream.read())).pw_name
    return "root"


def job(options: Mapping[str, Any], loads: Callable[[bytes], Any], broken: type[Exception]) -> str | None:
    """Return who has this process' job done, and its id, as the minion has it; ``None`` if it is no job.

    options
        Salt's ``__opts__``.

    loads, broken
        Salt's function that parses what a minion writes of a job, and what it raises where that is just being written.
    """
    if not options.get("cachedir"):
        return None
    directory = os.path.join(options["cachedir"], "proc")
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, broken):
                with open(os.path.join(directory, name), "rb") as stream:
                    data = loads(stream.read())
                if data.get("pid") == os.getpid():
                    return f"{data.get('user') or 'root'}, job {data.get('jid')}"
    return None
