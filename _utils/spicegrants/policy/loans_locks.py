"""Loans and locks: rights that were lent or denied on this machine itself, besides what pillar declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from spicegrants.core import validation
from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.policy.model import Policy
from spicegrants.schedule import instants

USER, VM, ALL = "user", "vm", "all"


_LOAN = "loan:"


def is_loan(name: str) -> bool:
    """Tell whether a name behind an access is that of a loan, not of a grant."""
    return name.startswith(_LOAN)


class Loan(NamedTuple):
    """A loan: a user may open the console of a vm until ``end``, whatever pillar says.

    Both moments are in seconds since 1970. ``uid`` is that of the account that the loan was made to: another of the
    same name does not get it. A KVM host need not know any account, and lends to a name.
    """

    user: str
    vm: str
    start: int
    end: int
    reason: str | None = None
    nopasswd: bool = False
    uid: int | None = None

    @property
    def name(self) -> str:
        """Return its name in reports; no grant can have such a name."""
        return f"{_LOAN}{self.user}:{self.vm}"


class Lock(NamedTuple):
    """A lock: it denies a user, a vm or everything, whatever grants and loans say, until it is taken away.

    ``about`` is ``user``, ``vm`` or ``all``; ``name`` is that of the user or vm.
    """

    about: str
    name: str = ""
    reason: str | None = None
    since: int = 0

    @property
    def words(self) -> str:
        """Return whom it covers, for people."""
        return "everything" if self.about == ALL else f"{self.about} {self.name}"


class Temporary(NamedTuple):
    """All loans and locks of this machine."""

    loans: tuple[Loan, ...] = ()
    locks: tuple[Lock, ...] = ()

    def lock_on(self, user: str, vm: str) -> Lock | None:
        """Return a lock that denies a user a vm; ``None`` if there is none."""
        return self.denying()(user, vm)

    def denying(self) -> Callable[[str, str], Lock | None]:
        """Return :meth:`lock_on` as a function that many are asked with, however many locks there are."""
        known = {(lock.about, lock.name): lock for lock in self.locks}
        everything = known.get((ALL, ""))

        def lock_on(user: str, vm: str) -> Lock | None:
            return everything or known.get((USER, user)) or known.get((VM, vm))

        return lock_on


NOTHING = Temporary()


def about(user: object, vm: object, everything: object) -> tuple[str, object] | None:
    """Return what a lock is about, and the name; ``None`` unless just one of three words of a command line is given."""
    chosen = [(kind, name) for kind, name in ((USER, user), (VM, vm)) if name is not None]
    chosen += [(ALL, "")] if everything is True else []
    return chosen[0] if len(chosen) == 1 else None


def lend(
    temporary: Temporary,
    policy: Policy,
    known: Mapping[str, int | None],
    now: int,
    user: str,
    vm: str,
    duration: object,
    reason: str | None,
    nopasswd: bool,
) -> Temporary:
    """Return loans and locks with one more loan, which replaces one of the same user and vm.

    user, vm, reason, nopasswd
        Words from a command line, which may be of any type: their types are checked.

    known
        UIDs of all users by name; ``None`` where a name is all that there is.

    duration
        Such as ``2h`` or ``1h30m``, not longer than the policy's longest loan.

    Raises :class:`~spicegrants.core.errors.PolicyError` with all findings.
    """
    findings = [*_user_complaints(user, known), *_reason_complaints(reason), *_vm_complaints(policy, vm)]
    longest = policy.time.longest_loan
    seconds = instants.duration(duration)
    if not longest:
        findings.append(Finding("duration", "nothing may be lent here: pillar says 'longest_loan: 0s'"))
    elif seconds is None:
        findings.append(Finding("duration", f"{quote(duration)} is no duration, as 2h or 1h30m"))
    elif not 0 < seconds <= longest:
        limit = instants.spell_duration(longest)
        message = f"{quote(duration)} is not between 1s and {limit}, pillar's spice:time:longest_loan"
        findings.append(Finding("duration", message))
    if user == "root":
        findings.append(Finding("user", "root needs no loan: no client can hold root back"))
    if not isinstance(nopasswd, bool):
        findings.append(Finding("nopasswd", f"must be true or false, not {quote(nopasswd)}"))
    if now < instants.EARLIEST:
        findings.append(Finding("clock", f"it says {instants.iso(now)}: set it first"))
    if findings or seconds is None:
        raise PolicyError(findings)
    others = without_loan(temporary, user, vm)
    loan = Loan(user=user, vm=vm, start=now, end=now + seconds, reason=reason, nopasswd=nopasswd, uid=known[user])
    return others._replace(loans=tuple(sorted((*others.loans, loan))))


def end_loan(temporary: Temporary, user: object, vm: object) -> Temporary:
    """Return loans and locks without one loan; raise :class:`~spicegrants.core.errors.PolicyError` if there is none."""
    if not any((loan.user, loan.vm) == (user, vm) for loan in temporary.loans):
        loans = ", ".join(f"{loan.vm} to {loan.user}" for loan in temporary.loans) or "nothing"
        raise PolicyError([Finding("loan", f"{quote(vm)} is not lent to {quote(user)}; lent is {loans}")])
    return without_loan(temporary, user, vm)


def without_loan(temporary: Temporary, user: object, vm: object) -> Temporary:
    """Return loans and locks without one loan."""
    return temporary._replace(loans=tuple(loan for loan in temporary.loans if (loan.user, loan.vm) != (user, vm)))


def lock(temporary: Temporary, policy: Policy, known: Collection[str], now: int, new: Lock) -> Temporary:
    """Return loans and locks with one more lock, which replaces one about the same for another reason.

    known
        Names of all users: a lock with a misspelt name would lock nothing.

    Raises :class:`~spicegrants.core.errors.PolicyError`.
    """
    findings = _reason_complaints(new.reason)
    if new.about == USER:
        findings += _user_complaints(new.name, known)
    elif new.about == VM:
        findings += _vm_complaints(policy, new.name)
    if findings:
        raise PolicyError(findings)
    if any(lock._replace(since=0) == new for lock in temporary.locks):
        return temporary
    others = _without_lock(temporary, new)
    return others._replace(locks=tuple(sorted((*others.locks, new._replace(since=now)))))


def unended(temporary: Temporary, moment: int) -> Temporary:
    """Return loans and locks without the loans that have ended by a moment."""
    return temporary._replace(loans=tuple(loan for loan in temporary.loans if loan.end > moment))


def unlock(temporary: Temporary, policy: Policy, known: Collection[str], target: Lock) -> Temporary:
    """Return loans and locks without the lock about the same, if there is one.

    known
        Names of all users: with a misspelt name something would stay locked.

    Raises :class:`~spicegrants.core.errors.PolicyError`.
    """
    locked = [lock.name for lock in temporary.locks if lock.about == target.about]
    if target.name not in locked:
        findings = []
        if target.about == USER:
            findings = _user_complaints(target.name, {*known, *locked})
        elif target.about == VM and target.name not in policy.vms:
            hint = did_you_mean(target.name, [*policy.vms, *locked])
            findings = [Finding("vm", f"no vm {quote(target.name)}{hint}")]
        if findings:
            raise PolicyError(findings)
    return _without_lock(temporary, target)


def _without_lock(temporary: Temporary, target: Lock) -> Temporary:
    rest = tuple(lock for lock in temporary.locks if (lock.about, lock.name) != (target.about, target.name))
    return temporary._replace(locks=rest)


def _user_complaints(user: object, known: Collection[str]) -> list[Finding]:
    complaint = validation.account_name(user) if isinstance(user, str) else "must be text"
    if complaint:
        return [Finding("user", f"{quote(user)} {complaint}")]
    return [] if user in known else [Finding("user", f"no user {quote(user)}{did_you_mean(str(user), known)}")]


def _reason_complaints(reason: object) -> list[Finding]:
    if reason is None:
        return []
    complaint = validation.line(reason) if isinstance(reason, str) else "must be text"
    return [Finding("reason", f"{quote(reason)} {complaint}")] if complaint else []


def _vm_complaints(policy: Policy, vm: object) -> list[Finding]:
    if isinstance(vm, str) and vm in policy.vms:
        return []
    return [Finding("vm", f"no vm {quote(vm)}{did_you_mean(str(vm), policy.vms)}")]
