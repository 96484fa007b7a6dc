"""Verdicts on what was tried as the users themselves, by the policy. Pure: the attempts are made elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spicegrants.firewall.trace.tracer import Obstacle

OPEN, DENIED, UNREACHABLE, NOT_STOPPED = "open", "denied", "unreachable", "not stopped"
NOT_ASKED = "not asked"
# How a connection of a granted user ends where the KVM host opens its port only with a ticket.
NEEDS_TICKET = "needs a ticket"
# What a KVM host says of a ticket.
GRANTED, REFUSED, NO_ANSWER = "granted", "refused", "no answer"


class HostAnswer(NamedTuple):
    """A KVM host's answer to the question for a ticket, and why, in a sentence."""

    answer: str
    why: str


NOBODY = HostAnswer(NOT_ASKED, "")


def connection(outcome: str, refused_by_guard: bool) -> str:
    """Return the verdict on a connection.

    outcome
        What connecting gave: ``connected``, ``refused``, ``unanswered`` or ``no route``.

    refused_by_guard
        Whether the guard counted a refusal of just this UID, GID, address and port meanwhile.

    Returns ``open``; ``denied`` only if the guard says that it was the guard; ``unreachable`` if no packet could leave
    or the server did not take it. :func:`cell` calls the latter ``not stopped`` where the guard should have refused.
    """
    if outcome == "connected":
        return OPEN
    return DENIED if refused_by_guard else UNREACHABLE


@dataclass(frozen=True)
class Attempt:
    """Results of one user's attempts to open one vm.

    viewer_group, own_group
        By address: how the connection ended with the viewer's group, and with the user's own; pairs of
        outcome and whether the guard refused.

    calls
        By granted call, as a text: whether sudo lets the user make it; ``None`` if sudo did not answer. ``None``
        instead of all if sudo was not asked.

    mutants
        By what differs from a granted call: whether sudo lets the user make it.

    starts
        Viewers that the user can start without sudo.

    obstacles
        By address that the user may reach and did not: other parties' chains that stop them, or may.
    """

    viewer_group: Mapping[str, tuple[str, bool]]
    own_group: Mapping[str, tuple[str, bool]]
    calls: Mapping[str, bool | None] | None
    mutants: Mapping[str, bool] = field(default_factory=dict)
    starts: tuple[str, ...] = ()
    obstacles: Mapping[str, tuple[Obstacle, ...]] = field(default_factory=dict)


def cell(
    granted: bool, attempt: Attempt, by_sudo: bool | None = None, host: HostAnswer | None = None
) -> dict[str, Any]:
    """Return one cell of the matrix: what each layer did, and how that differs from the policy.

    by_sudo
        The answer expected of sudo, where that is not what is granted at the moment, as its rules have no times.

    host
        Where the KVM host gives tickets: what it said, or :data:`NOBODY`. A port that is open to a granted user then is
        a difference: no ticket was made.
    """
    expected = granted if by_sudo is None else by_sudo
    calls = attempt.calls or {}
    differences: list[str] = []
    with_group = _connections(attempt.viewer_group, granted, "with the viewer's group", differences)
    if host is not None and granted:
        with_group = _with_ticket(with_group, host, differences)
    for address, obstacles in sorted(attempt.obstacles.items()):
        differences += [f"{address} is {UNREACHABLE} with the viewer's group: {obstacle}" for obstacle in obstacles]
    without_group = _connections(attempt.own_group, False, "with a program of their own", differences)
    unproven = [host.why] if host is not None and granted and host.answer == NO_ANSWER else []
    unproven += [f"sudo does not answer root: sudo {call}" for call, answer in sorted(calls.items()) if answer is None]
    for call, allowed in sorted(calls.items()):
        if allowed not in (None, expected):
            differences.append(f"sudo {'lets' if allowed else 'refuses'}: sudo {call}")
    for what, allowed in sorted(attempt.mutants.items()):
        if allowed:
            differences.append(f"sudo lets a call that is not granted: {what}")
    for program in attempt.starts:
        differences.append(f"starts {program} without sudo")
    return {
        "granted": granted,
        "viewer group": with_group,
        "own program": without_group,
        "sudo": NOT_ASKED if attempt.calls is None else _by_sudo(calls.values()),
        **({"host": host.answer} if host is not None and granted else {}),
        "differences": differences,
        "unproven": unproven,
    }


def _with_ticket(word: str, host: HostAnswer, differences: list[str]) -> str:
    """Return the word for a granted user's connections to a console that opens with a ticket, and none was made."""
    if word == OPEN:
        differences.append("the KVM host's port is open without a ticket")
    if host.answer == REFUSED:
        differences.append(f"the KVM host gives no ticket: {host.why}")
    return NEEDS_TICKET if word == UNREACHABLE else word


def _by_sudo(answers: Collection[bool | None]) -> str:
    if None in answers:
        return "no answer"
    return "allowed" if answers and all(answers) else "refused"


def undecided(granted: bool) -> dict[str, Any]:
    """Return the cell of a user for whom a window began or ended during the trial, which then proves nothing."""
    return {"granted": granted, "skipped": "a window began or ended during the trial", "differences": []}


def _connections(outcomes: Mapping[str, tuple[str, bool]], may: bool, how: str, differences: list[str]) -> str:
    """Return one word for all addresses of a vm; the worst decides."""
    words = set()
    for address, (outcome, by_guard) in sorted(outcomes.items()):
        word = connection(outcome, by_guard)
        if not may and word == UNREACHABLE and outcome != "no route":
            # The guard would have refused at once; somebody else did, or nobody.
            word = NOT_STOPPED
        words.add(word)
        if (may and word == DENIED) or (not may and word in (OPEN, NOT_STOPPED)):
            differences.append(f"{address} is {word} {how}")
    order = (DENIED, UNREACHABLE, OPEN) if may else (OPEN, NOT_STOPPED, UNREACHABLE, DENIED)
    return next((word for word in order if word in words), UNREACHABLE)


def matrix(cells: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the matrix by user and vm, with lists of all differences and of all that is unproven.

    ``ok`` is ``None`` where nothing differs, and no granted user could be seen to reach any console.
    """
    rows: dict[str, dict[str, Any]] = {}
    differences, unproven = [], []
    proven = 0
    for user, vm, found in cells:
        differences += [f"{user} x {vm}: {what}" for what in found["differences"]]
        unproven += [f"{user} x {vm}: {what}" for what in found.get("unproven", ())]
        if found["granted"] and found.get("viewer group") == UNREACHABLE:
            unproven.append(f"{user} x {vm}: the console is {UNREACHABLE}")
        elif found["granted"]:
            proven += found.get("host", GRANTED) == GRANTED
        rows.setdefault(user, {})[vm] = {
            key: value for key, value in found.items() if key not in ("differences", "unproven")
        }
    ok = False if differences else None if unproven and not proven else True
    return {"ok": ok, "differences": differences, "unproven": unproven, "matrix": rows}
