"""Trial of a granted user's call up to the viewer: account, sudo, opener and sandbox, server's name, certificate."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from spicegrants.audit.live import certificate, probe, server_name
from spicegrants.audit.live.trial import Progress
from spicegrants.audit.sampling import Trials
from spicegrants.core.accounts import Account
from spicegrants.core.errors import CommandFailed
from spicegrants.core.paths import PYTHON
from spicegrants.host import run
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.sudo import sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.live import pam
from spicegrants.viewer.live import opener

_LOCKED = ("!", "*")
# Accounts about which one process asks PAM.
_TOGETHER = 200


class TrialReport(NamedTuple):
    """Sentences about what keeps a user out, and about what could not be tried."""

    differences: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()


def users(desired: DesiredState, accounts: Iterable[Account], trials: Trials, progress: Progress) -> TrialReport:
    """Try what depends on the user, on the first console that is open to them.

    PAM is asked about each; the call is made as far as the viewer for those of the sample.
    """
    differences: list[str] = []
    unproven: list[str] = []
    first = _first_rules(desired, accounts, trials)
    calling = {account for account, rule in first.items() if rule.confined and account.name in trials.entered}
    refused = refusals([account.name for account, rule in first.items() if account not in calling or not rule.nopasswd])
    for done, (account, rule) in enumerate(first.items(), 1):
        name, why = account.name, refused.get(account.name)
        if why:
            differences.append(f"{name}: sudo refuses the account: {why}")
        elif account in calling:
            try:
                differences += [f"{name}: {what}" for what in _does_not_open(account, rule)]
            except CommandFailed as error:
                unproven.append(f"{name}: {error}")
            progress("users' calls", done, len(first))
        if not rule.nopasswd and name in trials.entered and _password_is_locked(account):
            unproven.append(f"{name}: sudo asks for a password, and the account's is locked")
    return TrialReport(tuple(differences), tuple(unproven))


def servers(desired: DesiredState, accounts: Iterable[Account], trials: Trials, progress: Progress) -> TrialReport:
    """Look for servers by their names, each as the viewer of the first user who may open a console there now."""
    differences: list[str] = []
    unproven: list[str] = []
    known = {account.name: account for account in accounts}
    viewing: dict[str, Account] = {}
    for access in _open_now(desired):
        if access.user in known and access.vm in trials.connected.get(access.user, ()):
            viewing.setdefault(desired.policy.vms[access.vm].server, known[access.user])
    for done, (name, account) in enumerate(sorted(viewing.items()), 1):
        attempt = partial(server_name.attempt, desired.policy.servers[name].host, desired.inventory.addresses[name])
        answer = probe.as_user(account, desired.viewers_gid(), attempt)
        differences += [f"server {name}: {what}" for what in answer["wrong"]]
        unproven += [f"server {name}: {what}" for what in answer["unknown"]]
        progress("servers' names", done, len(viewing))
    return TrialReport(tuple(differences), tuple(unproven))


def consoles(desired: DesiredState, accounts: Iterable[Account], trials: Trials, progress: Progress) -> TrialReport:
    """Check consoles' certificates, each as the viewer of the first user who may open it now."""
    differences: list[str] = []
    unproven: list[str] = []
    known = {account.name: account for account in accounts}
    viewing: dict[str, Account] = {}
    for access in _open_now(desired):
        # Where it takes a ticket, nothing is to be seen without.
        seen = access.vm in trials.certificates and not desired.policy.gives_tickets(access.vm)
        if access.user in known and seen:
            viewing.setdefault(access.vm, known[access.user])
    for done, (name, account) in enumerate(sorted(viewing.items()), 1):
        vm = desired.policy.vms[name]
        authority = desired.inventory.authorities.get(vm.server)
        if authority is None:
            continue
        host = desired.policy.servers[vm.server].host
        for address in desired.inventory.addresses.get(vm.server, ()):
            attempt = partial(certificate.attempt, (address, vm.tls_port), host, authority, vm.host_subject)
            answer = probe.as_user(account, desired.viewers_gid(), attempt)
            differences += [f"{name}: {address}: {what}" for what in answer["wrong"]]
            unproven += [f"{name}: {address}: {what}" for what in answer["unknown"]]
        progress("certificates", done, len(viewing))
    return TrialReport(tuple(differences), tuple(unproven))


def refusals(users: Sequence[str]) -> dict[str, str]:
    """Return why PAM refuses accounts to sudo, by name; those that it does not refuse are left out."""
    found: dict[str, str] = {}
    for start in range(0, len(users), _TOGETHER):
        some = users[start : start + _TOGETHER]
        result = run.attempt([PYTHON, "-IS", pam.__file__, *some])
        if result.returncode == 0:
            found.update(run.as_json(result.stdout, "the question to PAM"))
        elif len(some) > 1:
            # What breaks is a module of the site's, for one account perhaps.
            found.update(item for user in some for item in refusals([user]).items())
        else:
            found[some[0]] = result.stderr or result.stdout
    return {user: _line(why) for user, why in found.items() if why}


def slow() -> list[str]:
    """Return why sudo's answers may take seconds."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return [f"nobody knows this machine's own name, {name}: sudo's answers may take seconds (see /etc/hosts)"]
    return []


def _open_now(desired: DesiredState) -> Iterator[Access]:
    return filter(lambda access: decide(desired, access.user, access.vm, desired.now).open, desired.accesses)


def _first_rules(desired: DesiredState, accounts: Iterable[Account], trials: Trials) -> dict[Account, SudoRule]:
    """Return a rule of the first console, of those that are tried, that is open to each user now."""
    first: dict[str, SudoRule] = {}
    tried = {(user, vm) for user, vms in trials.connected.items() for vm in vms}
    for access in _open_now(desired):
        if access.user not in first and (access.user, access.vm) in tried:
            first.update((access.user, rule) for rule in sudoers.rules_for(desired, access)[:1])
    return {account: first[account.name] for account in accounts if account.name in first}


def _does_not_open(account: Account, rule: SudoRule) -> list[str]:
    """Say why a user's call opens nothing; made as they make it if sudo asks for no password, else as sudo would.

    Without a desktop the opener does all but start the viewer.
    """
    if rule.nopasswd:
        code, output = probe.as_user(account, account.gid, partial(_as_they_call_it, rule))
    else:
        result = run.attempt(["env", f"SUDO_UID={account.uid}", f"SUDO_USER={account.name}", *rule.command])
        code, output = result.returncode, result.stderr
    if code == opener.NO_DESKTOP:
        return []
    return [f"{rule.argument} does not open: {_line(output) or f'exit code {code}'}"]


def _as_they_call_it(rule: SudoRule) -> tuple[int, str]:
    result = run.attempt(["sudo", "-n", *rule.call])
    return result.returncode, result.stderr


def _password_is_locked(account: Account) -> bool:
    """Tell whether no password can be right for an account, as far as this machine's own sources say."""
    entry = run.attempt(["getent", "shadow", account.name]).stdout.split(":")
    return len(entry) > 1 and entry[1].startswith(_LOCKED)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
