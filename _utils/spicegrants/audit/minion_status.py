"""How a minion stands: which policy it enforces, whether the layers hold it, and what the last run said."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.policy.model import Policy, to_pillar
from spicegrants.schedule import instants

IN_STEP, DRIFTED, FAILED, NO_POLICY = "in step", "drifted", "failed", "no policy"


@dataclass(frozen=True)
class Run:
    """What the last run that was told what is declared left behind.

    at
        When it ended, in seconds since 1970.

    errors
        What it could not enforce, or what was wrong with what is declared; then it changed nothing.

    policy
        Fingerprint of the policy that is enforced since; ``None`` without one.

    since
        From when on runs ended like this one and found nothing to change.
    """

    at: int
    errors: tuple[str, ...]
    policy: str | None
    since: int


def fingerprint(policy: Policy) -> str:
    """Return a short name of a policy: two policies that mean the same have the same, on any machine.

    Of a password it says only that there is one: a name of this kind could be used to try passwords.
    """
    data = to_pillar(policy)
    vms = {name: {**vm, "password": "password" in vm} for name, vm in data["vms"].items()}
    text = json.dumps({**data, "vms": vms}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def after(before: Run | None, now: int, changed: bool, errors: tuple[str, ...], policy: str | None) -> Run:
    """Return what a run leaves behind; ``before`` is what the one before it left."""
    since = now
    if before is not None and (before.policy, bool(before.errors)) == (policy, bool(errors)) and not changed:
        since = before.since
    return Run(now, errors, policy, since)


def dump(run: Run) -> bytes:
    """Return the content of a file."""
    return (json.dumps(asdict(run), sort_keys=True) + "\n").encode()


def load(content: bytes | None) -> Run | None:
    """Read it back; ``None`` says that there is no file.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if it is not what :func:`dump` wrote.
    """
    if content is None:
        return None
    try:
        found = json.loads(content)
        run = Run(int(found["at"]), tuple(map(str, found["errors"])), found["policy"], int(found["since"]))
        if not isinstance(run.policy, (str, type(None))):
            raise TypeError("a fingerprint is text")
    except (ValueError, KeyError, TypeError) as error:
        raise LiveStateUnreadable(
            f"what the last run left is damaged ({error}): the next one writes it anew"
        ) from error
    return run


def status(
    policy: str | None, last: Run | None, drift: list[str], errors: list[str], locks: list[str]
) -> dict[str, Any]:
    """Say how a minion stands, as plain data.

    policy
        Fingerprint of what is enforced; ``None`` without a policy.

    last
        What the last run left; ``None`` if that is not known, as after a boot.

    drift
        What a plan would change now.

    errors
        What cannot be enforced, or read, now.

    locks
        What is locked, in words.
    """
    said = list(last.errors) if last else []
    if said or errors:
        state = FAILED
    elif policy is None:
        state = NO_POLICY
    else:
        state = DRIFTED if drift else IN_STEP
    # Green and red runs say since when; when drift began nobody noted.
    since = last.since if last and last.policy == policy and (state == IN_STEP or said) else None
    return {
        "state": state,
        "policy": policy,
        "since": None if since is None else instants.iso(since),
        "last_run": {"at": instants.iso(last.at), "errors": said} if last else None,
        "drift": drift,
        "errors": list(dict.fromkeys([*said, *errors])),
        "locks": locks,
    }
