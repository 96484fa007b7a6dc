"""Inventory: the facts about the system that the compiler needs, as accounts, addresses and certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spicegrants.core.accounts import NOTHING_UNASKED, Account, Group, Unasked
from spicegrants.core.errors import Finding


@dataclass(frozen=True)
class Inventory:
    """The system's answers at the time of compiling, as plain values.

    users, groups
        By name, without names that the system does not know or that could not be looked up.

    group_names
        Names of all groups that the name service enumerates.

    unasked
        Names that could not be looked up, and why.

    numeric_names
        Names of users and groups that consist of digits: nft, sudo and chown take such a name for the ID of
        somebody else.

    addresses
        By server: its declared or resolved addresses. A server without any is not in it.

    authorities
        By server: the PEM text that its consoles are verified with. Servers that declare no ``ca`` are not in it.

    passwords
        By vm: passwords from files on the minion.

    sessions
        UID, remote address and remote port of TCP connections, as far as they were looked up.

    unconfinable
        Why viewers cannot be confined on this machine; empty if they can.

    findings
        Facts that could not be found out, each with its path in pillar.

    sudo_rs
        Whether sudo is sudo-rs.

    sudo_opens_early
        Whether sudo ignores the NOTBEFORE of a rule that has a NOTAFTER as well.

    sudo_intercepts
        Whether sudo can intercept what its commands start, and so must be told not to.
    """

    users: Mapping[str, Account]
    groups: Mapping[str, Group]
    numeric_names: frozenset[str] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    authorities: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    sessions: frozenset[tuple[int, str, int]] = frozenset()
    unconfinable: str = "nobody has looked whether they can be"
    findings: tuple[Finding, ...] = ()
    unasked: Unasked = NOTHING_UNASKED
    sudo_rs: bool = False
    sudo_opens_early: bool = False
    sudo_intercepts: bool = False
    group_names: frozenset[str] = frozenset()
