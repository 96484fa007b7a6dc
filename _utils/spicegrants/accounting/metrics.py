"""Figures for monitoring, in the text format of Prometheus. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/ has the format.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.fingerprint import fingerprint
from spicegrants.record.events import OPENED, REFUSED, REPAIR
from spicegrants.schedule.intervals import DAY

Labels = tuple[tuple[str, str], ...]
Counts = dict[Labels, int]


class LastRun(NamedTuple):
    """When the last run ended, and how many errors it had; ``None`` where there was none since the boot."""

    at: int
    errors: int


class Totals:
    """What has happened since the beginning of the record."""

    def __init__(self) -> None:
        self.sessions: collections.Counter[Labels] = collections.Counter()
        self.refusals: collections.Counter[Labels] = collections.Counter()
        self.repairs = 0

    def take(self, found: Iterable[Mapping[str, Any]]) -> None:
        """Count events."""
        for event in found:
            vm = str(event.get("vm") or "")
            if event["event"] == OPENED:
                self.sessions[("vm", vm),] += 1
            elif event["event"] == REFUSED:
                count = event.get("count", 1)
                self.refusals[("by", str(event.get("by"))), ("vm", vm)] += count if type(count) is int else 1
            elif event["event"] == REPAIR:
                self.repairs += 1


def text(desired: DesiredState, now_open: Iterable[str | None], totals: Totals, last_run: LastRun | None) -> str:
    """Return the content of the file.

    desired
        What is enforced.

    now_open
        The vm of each session that is open.
    """
    one: Labels = ()
    opened: Counts = {(("vm", vm),): 0 for vm in desired.policy.vms}
    for vm in now_open:
        opened[("vm", vm or ""),] = opened.get((("vm", vm or ""),), 0) + 1
    families: list[tuple[str, str, str, Mapping[Labels, int]]] = [
        ("policy_info", "gauge", "The policy that is enforced.", {(("policy", fingerprint(desired.policy)),): 1}),
        ("grants", "gauge", "Grants of the policy.", {one: len(desired.policy.grants)}),
        ("accesses", "gauge", "Pairs of a user and a vm that are not locked.", {one: len(desired.accesses)}),
        ("locks", "gauge", "Locks that hold.", {one: len(desired.temporary.locks)}),
        (
            "sessions_open",
            "gauge",
            "Sessions that are open.",
            opened,
        ),
        ("sessions_total", "counter", "Sessions in the record.", totals.sessions),
        ("refusals_total", "counter", "Refusals in the record.", totals.refusals),
        ("repairs_total", "counter", "Runs in the record that restored what was altered.", {one: totals.repairs}),
    ]
    if desired.day is not None:
        end = desired.day + desired.policy.time.horizon * DAY
        families.append(("horizon_end_timestamp_seconds", "gauge", "Until when times are worked out.", {one: end}))
    if last_run is not None:
        families.append(("last_run_timestamp_seconds", "gauge", "When the last run ended.", {one: last_run.at}))
        families.append(("last_run_errors", "gauge", "Errors of the last run.", {one: last_run.errors}))
    return "".join(line for family in families for line in _family(*family))


def _family(name: str, kind: str, meaning: str, values: Mapping[Labels, int]) -> list[str]:
    lines = [f"# HELP spice_grant_{name} {meaning}\n", f"# TYPE spice_grant_{name} {kind}\n"]
    for labels, value in sorted(values.items()):
        spelled = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels)
        lines.append(f"spice_grant_{name}{f'{{{spelled}}}' if spelled else ''} {value}\n")
    return lines


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
