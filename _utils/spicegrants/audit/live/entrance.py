"""Trial of a granted user's call up to the viewer: the account, sudo, the opener and its sandbox, the certificate."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from spicegrants.audit.live import certificate, probe
from spicegrants.core.accounts import Account
from spicegrants.core.errors import CommandFailed
from spicegrants.core.paths import PYTHON
from spicegrants.host import run
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.decision import decide
from spicegrants.sudo import sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.live import pam
from spicegrants.viewer.live import opener

_LOCKED = ("!", "*")


class TrialReport(NamedTuple):
    """Sentences about what keeps a user out, and about what could not be tried."""

    differences: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()


def users(desired: DesiredState, accounts: Iterable[Account], vms: Iterable[str]) -> TrialReport:
    """Try what depends on the user, once for each of them, on the first of some consoles that is open to them."""
    differences: list[str] = []
    unproven: list[str] = []
    chosen = set(vms)
    for account in accounts:
        rules = _rules(desired, account, chosen)
        if not rules:
            continue
        try:
            differences += [f"{account.name}: {what}" for what in _refusals(account, rules[0])]
        except CommandFailed as error:
            unproven.append(f"{account.name}: {error}")
        if not rules[0].nopasswd and _password_is_locked(account):
            unproven.append(f"{account.name}: sudo asks for a password, and the account's is locked")
    return TrialReport(tuple(differences), tuple(unproven))


def consoles(desired: DesiredState, accounts: Iterable[Account], vms: Iterable[str]) -> TrialReport:
    """Check each console's certificate as the viewer of the first user who may open it now."""
    differences: list[str] = []
    unproven: list[str] = []
    accounts = list(accounts)
    for name in vms:
        vm = desired.policy.vms[name]
        authority = desired.inventory.authorities.get(vm.server)
        account = next((each for each in accounts if decide(desired, each.name, name, desired.now).open), None)
        if authority is None or account is None:
            continue
        host = desired.policy.servers[vm.server].host
        for address in desired.inventory.addresses.get(vm.server, ()):
            attempt = partial(certificate.attempt, (address, vm.tls_port), host, authority, vm.host_subject)
            answer = probe.as_user(account, desired.viewers_gid(), attempt)
            differences += [f"{name}: {address}: {what}" for what in answer["wrong"]]
            unproven += [f"{name}: {address}: {what}" for what in answer["unknown"]]
    return TrialReport(tuple(differences), tuple(unproven))


def refusal(user: str) -> str:
    """Return why PAM refuses an account to sudo; empty if it does not."""
    result = run.attempt([PYTHON, "-IS", pam.__file__, user])
    return _line(result.stdout or result.stderr) if result.returncode else ""


def slow() -> list[str]:
    """Return why sudo's answers may take seconds."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return [f"nobody knows this machine's own name, {name}: sudo's answers may take seconds (see /etc/hosts)"]
    return []


def _rules(desired: DesiredState, account: Account, vms: set[str]) -> list[SudoRule]:
    """Return the rules of the first console that is open to a user now."""
    for access in desired.accesses:
        if (
            access.user == account.name
            and access.vm in vms
            and decide(desired, access.user, access.vm, desired.now).open
        ):
            return sudoers.rules_for(desired, access)
    return []


def _refusals(account: Account, rule: SudoRule) -> list[str]:
    """Say why a user's call opens nothing; made as they make it if sudo asks for no password, else step by step.

    Without a desktop the opener does all but start the viewer.
    """
    refused = "" if rule.confined and rule.nopasswd else refusal(account.name)
    if refused:
        return [f"sudo refuses the account: {refused}"]
    if not rule.confined:
        return []
    if rule.nopasswd:
        code, output = probe.as_user(account, account.gid, partial(_as_they_call_it, rule))
    else:
        # As sudo would start it.
        result = run.attempt(["env", f"SUDO_UID={account.uid}", f"SUDO_USER={account.name}", *rule.command])
        code, output = result.returncode, result.stderr
    return (
        [] if code == opener.NO_DESKTOP else [f"{rule.argument} does not open: {_line(output) or f'exit code {code}'}"]
    )


def _as_they_call_it(rule: SudoRule) -> tuple[int, str]:
    result = run.attempt(["sudo", "-n", *rule.call])
    return result.returncode, result.stderr


def _password_is_locked(account: Account) -> bool:
    """Tell whether no password can be right for an account, as far as this machine's own sources say."""
    entry = run.attempt(["getent", "shadow", account.name]).stdout.split(":")
    return len(entry) > 1 and entry[1].startswith(_LOCKED)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
