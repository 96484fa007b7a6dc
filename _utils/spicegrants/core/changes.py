"""Changes: differences between the desired state and the system, as sentences for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

LAYERS = ("policy", "firewall", "routing", "sudo", "viewer")


class Change(NamedTuple):
    """One change that applying a plan would make.

    layer
        One of :data:`LAYERS`.

    what
        A short sentence without a full stop, as ``opens 192.168.2.2 port 20002 to myself``.

    grants
        The grants that it concerns; none if it concerns the layer as a whole.
    """

    layer: str
    what: str
    grants: tuple[str, ...] = ()


def as_dict(changes: Iterable[Change]) -> dict[str, Any]:
    """Return changes in the form of Salt's reports: by grant and layer, or by layer where no grant is concerned.

    .. code-block:: python

        {"grants": {"myself-debianx": {"firewall": ["opens ..."]}}, "layers": {"viewer": ["creates group ..."]}}
    """
    report: dict[str, Any] = {}
    for change in changes:
        if change.grants:
            for grant in change.grants:
                layers = report.setdefault("grants", {}).setdefault(grant, {})
                layers.setdefault(change.layer, []).append(change.what)
        else:
            report.setdefault("layers", {}).setdefault(change.layer, []).append(change.what)
    return report


def union(*reports: dict[str, Any]) -> dict[str, Any]:
    """Return the union of reports made by :func:`as_dict`: each sentence once, sorted."""
    joined: dict[str, Any] = {}
    for report in reports:
        for grant, layers in report.get("grants", {}).items():
            found = joined.setdefault("grants", {}).setdefault(grant, {})
            for layer, sentences in layers.items():
                found[layer] = sorted({*found.get(layer, ()), *sentences})
        for layer, sentences in report.get("layers", {}).items():
            found = joined.setdefault("layers", {})
            found[layer] = sorted({*found.get(layer, ()), *sentences})
    return joined


def merge(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge reports of several layers, as made by :func:`as_dict`, into one."""
    merged: dict[str, Any] = {}
    for report in reports:
        for grant, layers in report.get("grants", {}).items():
            merged.setdefault("grants", {}).setdefault(grant, {}).update(layers)
        for layer, sentences in report.get("layers", {}).items():
            merged.setdefault("layers", {}).setdefault(layer, []).extend(sentences)
    return merged


def rule_words(want: list, have: list) -> str:
    """Describe how the rules of a chain differ from the desired ones."""
    foreign = sum(rule not in want for rule in have)
    missing = sum(rule not in have for rule in want)
    counted = [f"{foreign} rule(s) that do not belong there"] * bool(foreign)
    counted += [f"{missing} rule(s) missing"] * bool(missing)
    return ", ".join(counted) or "its rules were out of order or altered"
