"""Trial of a policy as the users themselves: connections, sudo's answers, and the viewer without sudo."""

from __future__ import annotations

import functools
import itertools
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from spicegrants.audit.live import probe
from spicegrants.audit.sampling import Trials
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
# Takes what is done, how much of it is, and how much there is.
Progress = Callable[[str, int, int], None]
# Connections after which the guard is asked what it refused: it keeps, and the kernel hands over, only so much.
_BETWEEN = 4000
# Consoles that granted users did not reach, for which other parties' chains are followed.
_TRACED = 100


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


def attempts(
    desired: DesiredState,
    users: Iterable[Account],
    trials: Trials,
    refusals: Refusals,
    progress: Progress,
) -> Iterator[tuple[str, str, Attempt]]:
    """Make all attempts; yield user name, vm and :class:`~spicegrants.audit.verdict.Attempt`.

    refusals
        Returns how often the guard refused whom so far; asked before, between and after connections.
    """
    policy, users = desired.policy, list(users)
    if desired.gid is None:
        raise SystemFault(f"there is no group {policy.viewer.group}: run state.apply spice")
    gids = {user.name: (desired.gid, user.gid) for user in users}
    places = {
        vm.name: [(address, vm.tls_port) for address in desired.inventory.addresses.get(vm.server, ())]
        for vm in policy.vms.values()
    }
    tries = [
        probe.Try(user.uid, gid, *place)
        for user in users
        for vm in trials.connected[user.name]
        for gid in dict.fromkeys(gids[user.name])
        for place in places[vm]
    ]
    tried, refused = _connected(tries, refusals, progress)
    tables = functools.cache(other_tables.read)
    traced = itertools.count(1)

    def obstacles(user: Account, vm: str, ends: Mapping[str, tuple[str, bool]]) -> dict[str, tuple[Obstacle, ...]]:
        """Return other parties' chains in the way to the addresses that a granted user did not reach."""
        unreached = [address for address, end in ends.items() if connection(*end) == UNREACHABLE]
        if not unreached or not decide(desired, user.name, vm, desired.now).open or next(traced) > _TRACED:
            return {}
        found = other_tables.before(desired, user.name, vm, tables())
        return {address: found[address] for address in unreached if address in found}

    def outcomes(user: Account, gid: int, vm: str) -> dict[str, tuple[str, bool]]:
        made = {place[0]: probe.Try(user.uid, gid, *place) for place in places[vm]}
        return {address: (tried[each], each in refused) for address, each in made.items()}

    number = sum(map(len, trials.connected.values()))
    done = 0
    for user in users:
        entered = user.name in trials.entered
        starts = tuple(path for path in policy.viewer.paths if probe.starts(user, path)) if entered else ()
        for vm in trials.connected[user.name]:
            asked = (user.name, vm) in trials.asked
            answers, refusable = _ask_sudo(desired, user.name, vm) if asked else (None, {})
            with_group, own = outcomes(user, desired.gid, vm), outcomes(user, user.gid, vm)
            in_the_way = obstacles(user, vm, with_group)
            yield user.name, vm, Attempt(with_group, own, answers, refusable, starts, in_the_way)
            done += 1
        progress("users' attempts", done, number)


def _connected(
    tries: Sequence[probe.Try], refusals: Refusals, progress: Progress
) -> tuple[dict[probe.Try, str], set[probe.Try]]:
    """Connect as each; return the outcomes, and which of them the guard says that it refused."""
    tried: dict[probe.Try, str] = {}
    refused: set[probe.Try] = set()
    before = refusals()
    for start in range(0, len(tries), _BETWEEN):
        some = tries[start : start + _BETWEEN]
        progress("connections", start, len(tries))
        tried.update(zip(some, probe.connect(some)))
        after = refusals()
        # What is kept of a refusal runs out after a while, and begins anew.
        refused.update(each for each in some if after.get(Key(*each), 0) not in (0, before.get(Key(*each), 0)))
    return tried, refused


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
