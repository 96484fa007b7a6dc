"""The layers of enforcement, in the order in which they are applied: the guard first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spicegrants.core.changes import Change, as_dict
from spicegrants.core.errors import SpiceGrantError
from spicegrants.expiry.live.layer import Expiry
from spicegrants.firewall.live.layer import Firewall
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import Layer, Plan
from spicegrants.policy.state_file import Stored
from spicegrants.routing.live.layer import Routing
from spicegrants.sudo.live.layer import Sudo
from spicegrants.viewer.live.layer import Viewer

FIREWALL, EXPIRY, ROUTING, VIEWER, SUDO = Firewall(), Expiry(), Routing(), Viewer(), Sudo()
# What is reported under one name is applied together.
ALL: tuple[Layer, ...] = (FIREWALL, EXPIRY, ROUTING, VIEWER, SUDO)
Plans = dict[Layer, Plan]


def planned(desired: DesiredState, stored: Stored, layers: Iterable[Layer] = ALL) -> Plans:
    """Return the plan of each layer."""
    return {layer: layer.plan(desired, stored) for layer in layers}


def changes(plans: Plans) -> dict[str, Any]:
    """Return the changes of plans in words, as Salt reports them."""
    return as_dict(change for plan in plans.values() for change in plan.changes)


def removed(layers: Iterable[Layer], stored: Stored, test: bool) -> tuple[dict[str, Any], list[str]]:
    """Remove layers, the last first; return the changes, and what hindered the rest."""
    found: list[Change] = []
    errors: list[str] = []
    for layer in reversed([*layers]):
        try:
            found += layer.remove(stored, test)
        except SpiceGrantError as error:
            errors.append(f"{layer.name}: {error}")
    return as_dict(found), errors
