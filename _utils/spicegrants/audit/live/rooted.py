"""Users whom sudo makes as good as root, by its own answers: no grant holds them back."""

from __future__ import annotations

from collections.abc import Iterable

from spicegrants.core.errors import SystemFault
from spicegrants.policy.compiler import DesiredState
from spicegrants.sudo import bypasses, sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.live import privileges, tools
from spicegrants.sudo.other_rules import ADMIN


def users(desired: DesiredState, names: Iterable[str]) -> set[str]:
    """Return those of some users whom a rule of any of sudo's sources lets do anything as root.

    Those whom pillar names as admins are among them.

    Raises :class:`~spicegrants.core.errors.SystemFault` if sudo cannot be asked, or its list of somebody be read.
    """
    site = privileges.site(desired)
    if desired.inventory.sudo_rs:
        everything = {f"{what} as root" for what in (bypasses.ANYTHING, bypasses.SHELL)}
        return {name for name in names if not everything.isdisjoint(privileges.answers(name, site))}
    tree, granted = tools.tree(), _granted(desired)
    found = set()
    for name in names:
        rules = privileges.excess_rules(name, granted.get(name, ()), site, tree)
        if rules is None:
            raise SystemFault(f"what sudo lets {name} do cannot be read from sudo -ll -U {name}")
        if any(each.rule.kind == ADMIN for each in rules):
            found.add(name)
    return found


def _granted(desired: DesiredState) -> dict[str, list[SudoRule]]:
    """Return our own rules by user."""
    found: dict[str, list[SudoRule]] = {}
    for access in desired.accesses:
        found.setdefault(access.user, []).extend(sudoers.rules_for(desired, access))
    return found
