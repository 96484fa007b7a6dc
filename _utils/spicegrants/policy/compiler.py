"""Compiler: policy and inventory to the desired state, that is, who may open which console, and by whose right."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from spicegrants.core.accounts import Account
from spicegrants.core.errors import Finding, SystemFault
from spicegrants.policy import decision, principals
from spicegrants.policy.access import Access, Drain, Term, Times
from spicegrants.policy.facts import Inventory
from spicegrants.policy.loans_locks import NOTHING, Loan, Lock, Temporary, unended
from spicegrants.policy.model import Grant, Policy, Vm
from spicegrants.policy.state_file import Stored
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import FIRST, LAST, NEVER, contains


@dataclass(frozen=True)
class DesiredState:
    """The desired state: what the layers must hold. Each layer renders its own part from it.

    gid
        GID of the viewer's group; ``None`` while that group does not exist: then nobody can pass yet.

    accesses
        Sorted by user and vm; what is locked is not among them.

    findings
        Grants that are not enforced, and why: the run fails, the others hold.

    previous
        Accesses of the run before, to name the grants behind rules that must go.

    leaving, draining
        Places where open sessions may go on without a grant, and those of them with an open session, sorted.

    locked
        Accesses that a lock denies, with that lock.

    temporary
        Loans and locks.

    now
        The moment at which this was worked out, in seconds since 1970.

    day
        The day for which times are worked out; ``None`` as long as the clock was never set.
    """

    policy: Policy
    inventory: Inventory
    gid: int | None
    accesses: tuple[Access, ...]
    findings: tuple[Finding, ...] = ()
    previous: tuple[Access, ...] = ()
    leaving: tuple[Drain, ...] = ()
    draining: tuple[Drain, ...] = ()
    locked: tuple[tuple[Access, Lock], ...] = ()
    temporary: Temporary = NOTHING
    now: int = 0
    day: int | None = None

    # Many accesses share their times, and each layer asks for all.
    _times: dict[tuple, Times] = field(default_factory=dict, init=False, repr=False, compare=False)
    _results: dict[Callable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def times(self, access: Access) -> Times:
        """Return the windows of an access, as far as they are worked out."""
        key = access.terms, access.on_end, access.grace, access.within
        found = self._times.get(key)
        if found is None:
            stretch = None if self.day is None else decision.span(self.policy, self.day)
            found = self._times[key] = decision.times(self.policy, access, stretch)
        return found

    def open_now(self, access: Access) -> bool:
        """Tell whether sessions of an access may be open now."""
        found = self.times(access)
        return contains(found.opened, self.now) or contains(found.lasting, self.now)

    def once(self, make: Callable[[DesiredState], Any]) -> Any:
        """Return what a function makes of this state; the result is shared, and must not be altered."""
        if make not in self._results:
            self._results[make] = make(self)
        return self._results[make]

    @property
    def confined(self) -> bool:
        """Tell whether viewers run confined: the policy asks for it, or leaves it open, and this machine can."""
        return self.policy.viewer.confine is not False and not self.inventory.unconfinable

    @property
    def timed(self) -> bool:
        """Tell whether anything is open at some times only."""
        always = (Term(),)
        return any(access.terms != always * len(access.terms) or access.within is not None for access in self.accesses)

    def addresses(self, access: Access) -> tuple[str, ...]:
        """Return the addresses of an access's console."""
        return self.inventory.addresses[self.policy.vms[access.vm].server]

    def port(self, access: Access) -> int:
        """Return the TLS port of an access's console."""
        return self.policy.vms[access.vm].tls_port

    def viewers_gid(self) -> int:
        """Return the GID of the viewer's group; raise ``SystemFault`` while that does not exist."""
        if self.gid is None:
            raise SystemFault(f"the name service does not know group {self.policy.viewer.group}")
        return self.gid

    def vm_at(self, address: str, port: int) -> str | None:
        """Return the vm whose console is at an address and port; ``None`` if there is none."""
        return self.once(_consoles).get((address, port))

    def access(self, user: str | int, vm: str) -> tuple[Access | None, Lock | None]:
        """Return the access of a user (name or UID) to a vm and the lock on it, or ``None`` for what there is not."""
        return self.once(_by_user_and_vm).get((user, vm), (None, None))

    def lock_on(self, user: str, vm: str) -> Lock | None:
        """Return a lock that denies a user a vm, whether they have an access or not; ``None`` if there is none."""
        return self.once(_lock_on)(user, vm)

    def loan(self, name: str) -> Loan:
        """Return the loan of a name."""
        return self.once(_loans)[name]

    def grants_of(self, user: str | int | None, vm: str | None) -> tuple[str, ...]:
        """Return the grants behind a user's (name or UID) right to a vm, now or in the run before."""
        return self.once(_rights).get((user, vm), ())


def _consoles(desired: DesiredState) -> dict[tuple[str, int], str]:
    """Return the vms by address and port of their consoles."""
    found: dict[tuple[str, int], str] = {}
    for vm in desired.policy.vms.values():
        for address in desired.inventory.addresses.get(vm.server, ()):
            found.setdefault((address, vm.tls_port), vm.name)
    return found


def _rights(desired: DesiredState) -> dict[tuple[str | int | None, str | None], tuple[str, ...]]:
    """Return grants by the user, as name and as UID, and the vm that they are for; those of now go first."""
    places: tuple[Access | Drain, ...] = (*desired.accesses, *desired.previous, *desired.leaving)
    found: dict[tuple[str | int | None, str | None], tuple[str, ...]] = {}
    for place in places:
        for user in (place.user, place.uid):
            found.setdefault((user, place.vm), place.grants)
    return found


def _by_user_and_vm(desired: DesiredState) -> dict[tuple[str | int, str], tuple[Access, Lock | None]]:
    every = [*((access, None) for access in desired.accesses), *desired.locked]
    return {(user, access.vm): (access, lock) for access, lock in every for user in (access.user, access.uid)}


def _lock_on(desired: DesiredState) -> Callable[[str, str], Lock | None]:
    return desired.temporary.denying()


def _loans(desired: DesiredState) -> dict[str, Loan]:
    return {loan.name: loan for loan in desired.temporary.loans}


def compile_policy(
    policy: Policy,
    inventory: Inventory,
    previous: Iterable[Access] = (),
    leaving: Iterable[Drain] = (),
    temporary: Temporary = NOTHING,
    now: int = instants.EARLIEST,
    day: int | None = instants.EARLIEST,
    before: Mapping[str, Grant] = MappingProxyType({}),
) -> DesiredState:
    """Work out who may open what, and when. Pure: the same input gives the same result.

    previous
        Accesses of the run before.

    leaving
        Places where an open session may go on if nobody may open a new one there.

    temporary
        Loans and locks of this machine.

    now, day
        The moment, and the day for which times are worked out: ``None`` as long as the clock was never set.

    before
        Grants of the run before. Where the name service cannot be asked, accesses by an unchanged grant stay; nothing
        new is opened.

    A grant of an account that is unknown, is root's or could pass with any program is left out and reported in
    ``findings``, as are all grants of a server without an address or certificate: nobody else loses anything by them.

    Raises :class:`~spicegrants.core.errors.PolicyError` if the viewer's group itself cannot be distinguished from
    another.
    """
    group = inventory.groups.get(policy.viewer.group)
    principals.viewer_group(policy.viewer.group, inventory)
    findings = [*inventory.findings, *principals.insiders(group, inventory.users)]
    people = principals.People(inventory, group, principals.standing(policy.grants, before, previous))
    usable = _usable_vms(policy, inventory, findings)
    merged: dict[tuple[str, str], Access] = {}
    temporary = unended(temporary, day or 0)
    rights: tuple[Grant | Loan, ...] = (*policy.grants.values(), *temporary.loans)
    for grant in rights:
        # Looked up in any case: who is missing is to be said together with what else is.
        for account in people.accounts_of(grant, findings):
            if grant.vm not in usable:
                break
            merged[account.name, grant.vm] = joined(merged.get((account.name, grant.vm)), access_by(account, grant))
    lock_on = temporary.denying()
    denied = {key: lock for key in sorted(merged) if (lock := lock_on(*key)) is not None}
    accesses = tuple(merged[key] for key in sorted(merged) if key not in denied)
    locked = tuple((merged[key], lock) for key, lock in denied.items())
    if now < instants.EARLIEST:
        message = f"it says {instants.iso(now)}, so it was never set: what has times is closed until it is"
        findings.append(Finding("clock", message))
    gid = group.gid if group else None
    places = going_on(leaving, temporary, now)
    state = DesiredState(
        policy=policy,
        inventory=inventory,
        gid=gid,
        accesses=accesses,
        findings=tuple(findings),
        previous=tuple(previous),
        leaving=places,
        draining=(),
        locked=locked,
        temporary=temporary,
        now=now,
        day=day,
    )
    return replace(state, draining=draining(state))


def going_on(leaving: Iterable[Drain], temporary: Temporary, now: int) -> tuple[Drain, ...]:
    """Return the places where open sessions may go on from now on, without those that a lock denies."""
    lock_on = temporary.denying()
    return tuple(
        drain._replace(until=now + drain.grace) if drain.until is None and drain.grace is not None else drain
        for drain in leaving
        if lock_on(drain.user, drain.vm) is None
    )


def access_by(account: Account, grant: Grant | Loan) -> Access:
    """Return the access that one grant or loan gives one account."""
    if isinstance(grant, Loan):
        return Access(account.name, account.uid, grant.vm, (grant.name,), grant.nopasswd, terms=(term(grant),))
    return Access(
        user=account.name,
        uid=account.uid,
        vm=grant.vm,
        grants=(grant.name,),
        nopasswd=grant.nopasswd,
        on_end=grant.on_end,
        grace=grant.grace,
        warn=grant.warn,
        terms=(term(grant),),
    )


def term(grant: Grant | Loan) -> Term:
    """Return the times of a grant or loan."""
    if isinstance(grant, Loan):
        return Term((), grant.start, grant.end)
    return Term(
        grant.schedules,
        FIRST if grant.valid_from is None else grant.valid_from,
        LAST if grant.valid_until is None else grant.valid_until,
    )


def joined(one: Access | None, other: Access) -> Access:
    """Return the access that two grants give together."""
    if one is None:
        return other
    names, terms = zip(*sorted(zip((*one.grants, *other.grants), (*one.terms, *other.terms))))
    graces = [access.grace for access in (one, other) if access.grace is not None]
    return one._replace(
        grants=names,
        terms=terms,
        nopasswd=one.nopasswd or other.nopasswd,
        on_end="cut" if "cut" in (one.on_end, other.on_end) else "drain",
        grace=min(graces, default=None),
        warn=tuple(sorted({*one.warn, *other.warn}, reverse=True)),
    )


def draining(desired: DesiredState) -> tuple[Drain, ...]:
    """Return the places with an open session of the same account that nobody may open anew."""
    if not desired.leaving:
        return ()
    granted = {
        (access.uid, address, desired.port(access))
        for access in desired.accesses
        if desired.times(access) != Times(NEVER)
        for address in desired.addresses(access)
    }
    open_now = desired.inventory.sessions - granted
    users = desired.inventory.users
    found = [
        drain
        for drain in desired.leaving
        if (drain.uid, drain.address, drain.port) in open_now
        and drain.user in users
        and users[drain.user].uid == drain.uid
        and (drain.until is None or drain.until > desired.now)
    ]
    return tuple(sorted({(drain.uid, drain.address, drain.port): drain for drain in found}.values(), key=_order))


def _order(drain: Drain) -> tuple[str, str, int]:
    return drain.user, drain.address, drain.port


def _usable_vms(policy: Policy, inventory: Inventory, findings: list[Finding]) -> dict[str, Vm]:
    """Return the vms that can be opened: with an address and all that they declare, and a console of their own.

    Declared may be the server's certificate, a password, tickets and confinement. The inventory itself reports a server
    without address or certificate, and a password that cannot be read.
    """
    if policy.viewer.confine and inventory.unconfinable:
        message = f"viewers cannot be confined: {inventory.unconfinable}; nothing is opened"
        findings.append(Finding("spice:viewer:confine", message))
        return {}
    if inventory.sudo_rs and (policy.viewer.confine is False or inventory.unconfinable):
        why = inventory.unconfinable or "pillar has them run in the direct form"
        message = f"with sudo-rs viewers must run confined, as it holds no rule to a time: {why}; nothing is opened"
        findings.append(Finding("spice:viewer:confine", message))
        return {}
    ready = {
        vm.name: vm
        for vm in policy.vms.values()
        if inventory.addresses.get(vm.server)
        and (policy.servers[vm.server].ca is None or vm.server in inventory.authorities)
        and (vm.password_file is None or vm.name in inventory.passwords)
    }
    for vm in list(ready.values()):
        if vm.secret and inventory.unconfinable:
            message = f"it would not be kept from users, as viewers cannot be confined: {inventory.unconfinable}"
            findings.append(Finding(f"spice:vms:{vm.name}:password", f"{message}; its console stays closed"))
            del ready[vm.name]
        elif policy.gives_tickets(vm.name) and inventory.unconfinable:
            message = f"users could read its tickets, as viewers cannot be confined: {inventory.unconfinable}"
            findings.append(Finding(f"spice:vms:{vm.name}", f"{message}; its console stays closed"))
            del ready[vm.name]
    owner: dict[tuple[str, int], str] = {}
    shared: set[str] = set()
    for vm in ready.values():
        for address in inventory.addresses[vm.server]:
            other = owner.setdefault((address, vm.tls_port), vm.name)
            if other != vm.name:
                for name, twin in ((other, vm.name), (vm.name, other)):
                    message = f"{address} port {vm.tls_port} is also the console of vm {twin!r}: neither is opened"
                    findings.append(Finding(f"spice:vms:{name}", message))
                shared |= {vm.name, other}
    return {name: vm for name, vm in ready.items() if name not in shared}


def by_user(accesses: Iterable[Access]) -> Mapping[int, tuple[Access, ...]]:
    """Group accesses by UID."""
    grouped: dict[int, list[Access]] = {}
    for access in accesses:
        grouped.setdefault(access.uid, []).append(access)
    return {uid: tuple(members) for uid, members in grouped.items()}


def recalled(stored: Stored, gid: int | None, now: int) -> DesiredState:
    """Return the state enforced at a moment, from what is stored alone, without accounts, names and locked accesses.

    gid
        GID of the viewer's group.

    now
        Seconds since 1970. Drains that ended before then are left out.
    """
    return DesiredState(
        stored.the_policy,
        Inventory({}, {}, addresses=stored.addresses),
        gid,
        stored.accesses,
        draining=tuple(drain for drain in stored.draining if drain.until is None or drain.until > now),
        temporary=stored.temporary,
        now=now,
        day=stored.day,
    )


def guards_servers(desired: DesiredState) -> bool:
    """Tell whether the guard covers the servers' addresses only.

    As long as one of them is not known, it covers every destination.
    """
    known = desired.inventory.addresses
    return desired.policy.firewall.guard == "servers" and all(known.get(name) for name in desired.policy.servers)


def server_addresses(desired: DesiredState, version: int) -> list[str]:
    """Return the addresses of all servers in one IP version, sorted."""
    found = {address for addresses in desired.inventory.addresses.values() for address in addresses}
    return sorted(address for address in found if ipaddress.ip_address(address).version == version)
