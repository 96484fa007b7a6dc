"""Status of a minion: which policy it enforces, whether the layers hold it, and what the last run reported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.schedule import instants

IN_SYNC, DRIFTED, FAILED, NO_POLICY = "in sync", "drifted", "failed", "no policy"


@dataclass(frozen=True)
class Run:
    """Record of the last run that knew what is declared.

    at
        When it ended, in seconds since 1970.

    errors
        What it could not enforce, or what was wrong with the declaration; then it changed nothing.

    policy
        Fingerprint of the policy that is enforced since; ``None`` without one.

    since
        Since when runs have ended like this one and found nothing to change.

    notes
        What was worth knowing, and so is said already.
    """

    at: int
    errors: tuple[str, ...]
    policy: str | None
    since: int
    notes: tuple[str, ...] = ()


def after(
    before: Run | None,
    now: int,
    changed: bool,
    errors: tuple[str, ...],
    policy: str | None,
    notes: Iterable[str] = (),
) -> Run:
    """Return the record of a run; ``before`` is that of the run before it."""
    since = now
    if before is not None and (before.policy, bool(before.errors)) == (policy, bool(errors)) and not changed:
        since = before.since
    # A run with errors may not have looked at everything: what it does not note is not gone for that.
    said = before.notes if before is not None and errors else ()
    return Run(now, errors, policy, since, tuple(dict.fromkeys([*said, *notes])))


def unsaid(before: Run | None, notes: Iterable[str]) -> list[str]:
    """Return the notes that were not among those of the last run; all of them where that is not known."""
    said = frozenset(before.notes if before is not None else ())
    return [note for note in notes if note not in said]


def dump(run: Run) -> bytes:
    """Return a record as the content of a file."""
    return (json.dumps(asdict(run), sort_keys=True) + "\n").encode()


def load(content: bytes | None) -> Run | None:
    """Parse the content of the file; ``None`` stands for no file.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if it is not what :func:`dump` wrote.
    """
    if content is None:
        return None
    try:
        found = json.loads(content)
        run = Run(
            at=int(found["at"]),
            errors=tuple(map(str, found["errors"])),
            policy=found["policy"],
            since=int(found["since"]),
            # Former versions noted none.
            notes=tuple(map(str, found.get("notes", ()))),
        )
        if not isinstance(run.policy, (str, type(None))):
            raise TypeError("a fingerprint is text")
    except (ValueError, KeyError, TypeError) as error:
        raise LiveStateUnreadable(
            f"what the last run left is damaged ({error}): the next one writes it anew"
        ) from error
    return run


def status(
    policy: str | None, last: Run | None, drift: list[str], errors: list[str], locks: list[str], notes: list[str]
) -> dict[str, Any]:
    """Return the status of a minion, as plain data.

    policy
        Fingerprint of what is enforced; ``None`` without a policy.

    last
        Record of the last run; ``None`` if that is not known, as after a boot.

    drift
        What a plan would change now.

    errors
        What cannot be enforced, or read, now.

    locks
        What is locked, in words.

    notes
        What is worth knowing; runs say it once.
    """
    last_errors = list(last.errors) if last else []
    if last_errors or errors:
        state = FAILED
    elif policy is None:
        state = NO_POLICY
    else:
        state = DRIFTED if drift else IN_SYNC
    # Runs that succeed or fail say since when they do; nobody noted when drift began.
    since = last.since if last and last.policy == policy and (state == IN_SYNC or last_errors) else None
    return {
        "state": state,
        "policy": policy,
        "since": None if since is None else instants.iso(since),
        "last_run": {"at": instants.iso(last.at), "errors": last_errors} if last else None,
        "drift": drift,
        "errors": list(dict.fromkeys([*last_errors, *errors])),
        "locks": locks,
        "notes": notes,
    }


def joined(desk: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a machine that is a KVM host as well: the worse state, and what is said of either.

    desk, host
        Its status as each of them; policy and times are those of the former.
    """
    worse = min(desk["state"], host["state"], key=(FAILED, DRIFTED, NO_POLICY, IN_SYNC).index)
    both = {
        key: [*desk[key], *(f"host: {each}" for each in host[key])] for key in ("drift", "errors", "locks", "notes")
    }
    return {**desk, "state": worse, **both}
