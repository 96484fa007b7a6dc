"""Trial of a policy as the users themselves: every chosen user times every chosen vm."""

from __future__ import annotations

import functools
import pwd
from collections.abc import Callable, Iterable, Mapping

from spicegrants.audit.live import probe
from spicegrants.audit.verdict import UNREACHABLE, Attempt, connection
from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault
from spicegrants.firewall.guard import Key
from spicegrants.firewall.live import other_tables
from spicegrants.firewall.trace.tracer import Obstacle
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.sudo import commands
from spicegrants.sudo.live import tools

Refusals = Callable[[], Mapping[Key, int]]


def account(desired: DesiredState, name: str) -> Account:
    """Return a user's account; raise :class:`~spicegrants.core.errors.SystemFault` if there is none."""
    found, unasked = desired.inventory.users.get(name), desired.inventory.unasked
    if name in unasked.users:
        raise SystemFault(f"nobody can tell whether there is a user {name!r}: {unasked.why}")
    if found is None:
        raise SystemFault(f"no user {name!r} on this machine")
    return found


def everybody(desired: DesiredState) -> list[Account]:
    """Return the accounts with a grant, and one without: the first that looks like a person's, else ``nobody``'s.

    Nothing can be tried as a user who cannot be looked up; the policy's findings name them.
    """
    granted = {access.user for access in (*desired.accesses, *(access for access, _ in desired.locked))}
    granted -= desired.inventory.unasked.users
    others = [entry for entry in pwd.getpwall() if entry.pw_name not in granted and entry.pw_uid != 0]
    others.sort(key=lambda entry: (not 1000 <= entry.pw_uid < 65000, entry.pw_name != "nobody", entry.pw_uid))
    return [account(desired, name) for name in (*sorted(granted), *(entry.pw_name for entry in others[:1]))]


def attempts(desired: DesiredState, users: Iterable[Account], vms: Iterable[str], refusals: Refusals):
    """Make all attempts; yield user name, vm and :class:`~spicegrants.audit.verdict.Attempt`.

    refusals
        Returns how often the guard refused whom so far; asked before and after all connections.
    """
    policy, users, vms = desired.policy, list(users), list(vms)
    if desired.gid is None:
        raise SystemFault(f"there is no group {policy.viewer.group}: run state.apply spice")
    places = {
        vm: [
            (address, policy.vms[vm].tls_port) for address in desired.inventory.addresses.get(policy.vms[vm].server, ())
        ]
        for vm in vms
    }
    everywhere = [place for vm in vms for place in places[vm]]
    before = refusals()
    tried = {(user, gid): probe.connect(user, gid, everywhere) for user in users for gid in (desired.gid, user.gid)}
    after = refusals()

    tables = functools.cache(other_tables.read)

    def obstacles(user: Account, vm: str, ends: Mapping[str, tuple[str, bool]]) -> dict[str, tuple[Obstacle, ...]]:
        """Return other parties' chains in the way to the addresses that a granted user did not reach."""
        unreached = [address for address, end in ends.items() if connection(*end) == UNREACHABLE]
        if not unreached or not decide(desired, user.name, vm, desired.now).open:
            return {}
        found = other_tables.before(desired, user.name, vm, tables())
        return {address: found[address] for address in unreached if address in found}

    def outcomes(user: Account, gid: int, vm: str) -> dict[str, tuple[str, bool]]:
        found = {}
        for place in places[vm]:
            key = Key(user.uid, gid, *place)
            # What is kept of a refusal runs out after a while, and begins anew.
            found[place[0]] = (tried[user, gid][place], after.get(key, 0) not in (0, before.get(key, 0)))
        return found

    for user in users:
        starts = tuple(path for path in policy.viewer.paths if probe.starts(user, path))
        for vm in vms:
            answers, refusable = _ask_sudo(desired, user.name, vm)
            with_group, own = outcomes(user, desired.gid, vm), outcomes(user, user.gid, vm)
            in_the_way = obstacles(user, vm, with_group)
            yield user.name, vm, Attempt(with_group, own, answers, refusable, starts, in_the_way)


def _ask_sudo(desired: DesiredState, user: str, vm: str) -> tuple[dict[str, bool | None], dict[str, bool]]:
    """Ask sudo for the calls that a grant means and, while they are granted, for calls close to them."""
    rules = commands.calls(desired, user, vm)
    answers = {" ".join(rule.call): tools.answer(user, rule.call) for rule in rules}
    refusable = {}
    if decide(desired, user, vm, desired.now).open:
        other_port = 1 if desired.policy.vms[vm].tls_port != 1 else 2
        for rule in rules:
            for what, call in commands.mutants(rule, other_port):
                refusable[f"{what}: {' '.join(call)}"] = tools.allows(user, call)
    return answers, refusable
