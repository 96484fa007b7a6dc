"""The layers of enforcement, in the order in which they are applied: the guard first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spicegrants.accounting.live.layer import Accounting
from spicegrants.core import packages
from spicegrants.core.changes import Change, as_dict
from spicegrants.core.errors import SpiceGrantError, kept, programs_of, together
from spicegrants.expiry.live.layer import Expiry
from spicegrants.firewall.live.layer import Firewall
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import Layer, Plan, Review
from spicegrants.policy.state_file import Stored
from spicegrants.routing.live.layer import Routing
from spicegrants.sudo.live.layer import Sudo
from spicegrants.viewer.live.layer import Viewer

FIREWALL, EXPIRY, ROUTING, VIEWER, SUDO = Firewall(), Expiry(), Routing(), Viewer(), Sudo()
ACCOUNTING = Accounting()
# What is reported under one name is applied together.
ALL: tuple[Layer, ...] = (FIREWALL, EXPIRY, ROUTING, VIEWER, SUDO, ACCOUNTING)
Plans = dict[Layer, Plan]


def planned(desired: DesiredState, stored: Stored, layers: Iterable[Layer] = ALL) -> Plans:
    """Return the plan of each layer."""
    return {layer: layer.plan(desired, stored) for layer in layers}


def looked_at(desired: DesiredState, stored: Stored) -> tuple[Plans, dict[Layer, Review]]:
    """Return the plan and the review of each layer.

    Raises what hinders any of them, all of it together, and with it all other errors: who installs what is missing has
    it in one look.
    """
    plans: Plans = {}
    reviews: dict[Layer, Review] = {}
    faults: list[SpiceGrantError] = []
    for layer in ALL:
        with kept(faults):
            plans[layer] = layer.plan(desired, stored)
            reviews[layer] = layer.review(plans[layer])
    if faults:
        errors = [each for review in reviews.values() for each in review.errors]
        # What installs the programs goes before what may be long: a comment is cut to fit a screen.
        raise together(faults, [*packages.advice(programs_of(faults)), *errors, *map(str, desired.findings)])
    return plans, reviews


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
