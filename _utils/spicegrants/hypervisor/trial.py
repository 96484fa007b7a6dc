"""What a KVM host must say to each way of trying a console, and how that differs from what it said. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from spicegrants.hypervisor.spice_link import DENIED, OPEN

REFUSED = "refused"
WITHOUT, ELSEWHERE, GUESSED, DEFINED, TICKET, AGAIN = (
    "without a ticket",
    "ticket, from another address",
    "guessed password",
    "password of its definition",
    "ticket",
    "ticket, once its session has ended",
)
# The port, the console itself, or nothing, is what stops it.
_EXPECTED = {
    WITHOUT: REFUSED,
    ELSEWHERE: REFUSED,
    GUESSED: DENIED,
    DEFINED: DENIED,
    TICKET: OPEN,
    AGAIN: REFUSED,
}


def differences(vm: str, found: Mapping[str, str]) -> list[str]:
    """Return what is otherwise than it must be, as sentences; ways that were not tried say nothing.

    found
        By way: ``open``, ``denied``, ``refused``, or what happened in words.
    """
    return [
        f"{vm}: {way}: {found[way]}, and should be {expected}"
        for way, expected in _EXPECTED.items()
        if found.get(way, expected) != expected
    ]


def verdict(differences: list[str], proven: int) -> bool | None:
    """Return ``False`` if anything differs, ``None`` if nothing could be opened by a ticket, else ``True``."""
    return False if differences else True if proven else None
