"""How this machine stands as a KVM host: its last run, loans and locks, consoles, service and sessions."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from spicegrants.audit import access_report, minion_status
from spicegrants.core import errors
from spicegrants.core.changes import as_dict
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import HOST_LAST_RUN, HOST_UNSTORED
from spicegrants.host import disk, lock, run
from spicegrants.hypervisor import rights
from spicegrants.hypervisor.consoles import Console
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import closing, enforcement, notice, ports, tickets
from spicegrants.policy import merge
from spicegrants.policy.fingerprint import fingerprint
from spicegrants.schedule import instants

# Seconds that a program may take.
_PATIENCE = 20


@contextlib.contextmanager
def noted(test: bool, failures: tuple[type[Exception], ...]) -> Iterator[list[dict[str, Any]]]:
    """Record how the run within ends, even one that changes nothing because something is wrong.

    test, failures
        As for :func:`spicegrants.engine.last_run.noted`.

    Yields a list that takes the run's report.
    """
    reports: list[dict[str, Any]] = []
    try:
        yield reports
    except failures as error:
        if not test:
            # The error itself is raised; that it cannot be recorded as well is less important.
            with contextlib.suppress(SystemFault):
                _note(False, tuple(str(error).splitlines()))
        raise
    for report in () if test else reports:
        try:
            _note(bool(report["changes"]), tuple(report["errors"]))
        except SystemFault as error:
            report["errors"].append(f"status: {error}")


def _note(changed: bool, failed: tuple[str, ...]) -> None:
    policy, before = None, None
    with contextlib.suppress(SystemFault):
        policy = _fingerprint(tickets.stored())
    with contextlib.suppress(SystemFault):
        before = _last_run()
    directory = os.path.dirname(HOST_LAST_RUN)
    if not isinstance(disk.read(directory), Directory):
        disk.make_directory(directory, Directory(0o700))
    record = minion_status.after(before, int(time.time()), changed, failed, policy)
    disk.write(HOST_LAST_RUN, File(minion_status.dump(record), 0o600))


def _last_run() -> minion_status.Run | None:
    return minion_status.load(disk.read_text(HOST_LAST_RUN))


def _fingerprint(kept: Stored) -> str | None:
    return fingerprint(kept.policy) if kept.policy else None


def loans() -> list[dict[str, Any]]:
    """Return the loans of this host that have not ended."""
    kept = tickets.stored()
    return access_report.loans(kept.temporary, kept.the_policy.time.zone, int(time.time()))


def locks() -> list[dict[str, Any]]:
    """Return the locks of this host."""
    kept = tickets.stored()
    return access_report.locks(kept.temporary, kept.the_policy.time.zone)


def status() -> dict[str, Any]:
    """Return how this machine stands as a KVM host, as plain data; what cannot be read hinders nothing else."""
    run.as_root()
    faults: list[SpiceGrantError] = []
    kept, last, planned, sessions = Stored(), None, enforcement.Plan((), (), ()), []
    run.afresh()
    with lock.run_lock():
        with errors.kept(faults):
            last = _last_run()
        with errors.kept(faults):
            kept = tickets.stored()
    with run.patience(_PATIENCE):
        if kept.policy is not None:
            planned = enforcement.plan(kept.policy, kept.minion, kept)
            faults += planned.faults
    with errors.kept(faults):
        sessions = closing.known()
    serving = notice.tell()
    failed = [sentence for fault in faults for sentence in fault.sentences] + [*planned.errors]
    if disk.read(HOST_UNSTORED) is not None:
        failed.append("policy: what is to hold could not be stored, and holds until the next boot only")
    failed += [] if serving or kept.policy is None else ["ssh: the service that gives tickets does not answer"]
    drift = merge.sentences(as_dict(step.change for step in planned.steps))
    locked = [each.words for each in kept.temporary.locks]
    stand = minion_status.status(_fingerprint(kept), last, drift, failed, locks=locked, notes=[*planned.warnings])
    zone = kept.policy.time.zone if kept.policy else None
    return {
        **stand,
        "service": "runs" if serving else "does not answer",
        "ports": _ports(kept),
        "consoles": _consoles(kept, planned.judged),
        "desks": sorted(kept.policy.desks) if kept.policy else [],
        "sessions": [
            f"{each.user} has {each.vm} at {each.desk} since {instants.words(each.since, zone)}" for each in sessions
        ],
    }


def _ports(kept: Stored) -> str:
    """Say whether the consoles' ports are shut, as the kernel holds it."""
    if kept.policy is None:
        return "not known: nothing is stored that says which they are"
    try:
        said = ports.differences(rights.guarded(kept.policy, kept.minion))
    except SpiceGrantError as error:
        return f"not known: {error}"
    return f"not as they must be: a run {'; '.join(said)}" if said else "shut"


def _consoles(kept: Stored, judged: Mapping[str, Console]) -> dict[str, str]:
    """Say of each console whether it can be opened, and if not, why."""
    found = {}
    for name in sorted(kept.policy.consoles_of(kept.minion) if kept.policy else ()):
        console = judged.get(name)
        denied = kept.temporary.lock_on("", name)
        if console is None:
            found[name] = "not known: libvirt cannot be read"
        elif console.wrong:
            found[name] = f"shut: {'; '.join(console.wrong)}"
        elif denied:
            found[name] = f"locked: {denied.words}"
        else:
            found[name] = "off" if console.domain is None or console.domain.now is None else "opens with a ticket"
    return found
