"""What each layer of enforcement is to the engine: an object that plans, applies, reviews, closes and removes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

from spicegrants.core.changes import Change
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.state_file import Stored


class Plan(NamedTuple):
    """What a layer would do to hold the desired state.

    changes
        In words; none if it holds that already.

    desired
        The desired state.

    steps
        What the layer needs to do just that, in a form of its own.
    """

    changes: tuple[Change, ...]
    desired: DesiredState
    steps: Any


class Review(NamedTuple):
    """What people must know of a layer beside its changes, as sentences.

    refused
        Whether the plan cannot be applied; ``errors`` say why.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refused: bool = False


class Closed(NamedTuple):
    """What was taken away, in words, and why what is stored for the next boot could not be changed."""

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
        """Carry a plan out."""

    def review(self, plan: Plan) -> Review:
        """Look at what a plan does not show."""

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost: Collection[Door] | None, test: bool
    ) -> Closed:
        """Take away what may not be open any more, and give nothing. It needs little, so that little hinders it.

        desired
            What may be open at most; ``None`` for nothing.

        was
            What was held before; ``None`` if nobody knows.

        lost
            Where something may go; ``None`` says everywhere.

        test
            Whether only to say what would change.
        """

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Take everything of ours away; return that in words.

        test
            Whether only to say what would change.
        """
