"""What the compiler must know of the system, as plain values: accounts, addresses, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spicegrants.core.accounts import NOTHING_UNASKED, Account, Group, Unasked
from spicegrants.core.errors import Finding


@dataclass(frozen=True)
class Inventory:
    """What the system says at the time of compiling.

    users, groups
        By name; a name that the system does not know is not in it, nor one that nobody could be asked for.

    unasked
        Those names, and why.

    numeric_names
        Names of users and groups that consist of digits: nft, sudo and chown take such a name for the ID of
        somebody else.

    addresses
        By server: the declared or resolved ones. A server that is not in it has none.

    authorities
        By server: the PEM text that its consoles are verified with. Servers that declare no ``ca`` are not in it.

    passwords
        By vm: those that stand in files on the minion.

    sessions
        UID, remote address and remote port of TCP connections, as far as somebody asked for them.

    unconfinable
        Why viewers cannot be confined on this machine; nothing if they can.

    findings
        What could not be found out, and for what pillar path.

    sudo_rs
        Whether sudo is sudo-rs.

    sudo_opens_early
        Whether it heeds no NOTBEFORE of a rule that has a NOTAFTER as well.

    sudo_intercepts
        Whether it can look at what its commands start, and so is to be told not to.
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
