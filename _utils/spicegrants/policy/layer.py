"""Interface of a layer of enforcement to the engine: plan, apply, review, close, remove."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

from spicegrants.core.changes import Change
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.state_file import Stored


class Plan(NamedTuple):
    """Plan of a layer: what it would do to hold the desired state.

    changes
        In words; none if the layer holds the desired state already.

    desired
        The desired state.

    steps
        What the layer needs to carry out exactly these changes, in a form of its own.
    """

    changes: tuple[Change, ...]
    desired: DesiredState
    steps: Any


class Review(NamedTuple):
    """Review of a layer: errors and warnings besides its changes, as sentences.

    refused
        Whether the plan cannot be applied; ``errors`` say why.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refused: bool = False


class CloseResult(NamedTuple):
    """Changes made by closing, in words, and why what is stored for the next boot could not be changed."""

    changes: tuple[Change, ...] = ()
    unstored: tuple[str, ...] = ()


class Layer(Protocol):
    """A layer of enforcement. Each method needs root, and raises ``SpiceGrantError`` where it cannot do its work."""

    # As messages call it.
    name: str

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare the desired state with what the system holds, and change nothing.

        stored
            What the run before stored.
        """

    def apply(self, plan: Plan) -> None:
        """Carry out a plan."""

    def review(self, plan: Plan) -> Review:
        """Report errors and warnings that a plan does not show."""

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Take away what may no longer be open, and give nothing. It needs little, so that little hinders it.

        desired
            The desired state: the most that may be open; ``None`` for nothing.

        was
            What was held before; ``None`` if that is unknown.

        lost_doors
            Doors at which something may go; ``None`` for everywhere.

        test
            Whether only to report what would change.
        """

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Remove everything of ours; return the changes.

        test
            Whether only to report what would change.
        """
