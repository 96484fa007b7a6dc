"""Policy and inventory to what each layer must hold: who may open which console, with whose right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from spicegrants import names
from spicegrants.errors import Finding, PolicyError
from spicegrants.inventory import Account, Group, Inventory
from spicegrants.model import Grant, Policy, Vm
from spicegrants.reader import shown


@dataclass(frozen=True)
class Access:
    """One user may open the console of one vm, by one grant or several."""

    user: str
    uid: int
    vm: str
    grants: tuple[str, ...]
    nopasswd: bool = False
    on_end: str = "cut"


@dataclass(frozen=True, order=True)
class Drain:
    """A place that a user may not open any more, but where what he has open may go on."""

    user: str
    uid: int
    address: str
    port: int
    vm: str
    grants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What the layers must hold. Each layer renders its own part from it.

    gid
        Of the viewer's group; ``None`` while that group does not exist: then nobody can pass yet.

    accesses
        Sorted by user and vm.

    findings
        Grants that are not enforced, and why: the run is red, the others hold.

    previous
        Accesses of the run before, to name the grants behind rules that must go.

    leaving, draining
        Places where open sessions may go on without a grant, and those of them where somebody has one, sorted.
    """

    policy: Policy
    inventory: Inventory
    gid: int | None
    accesses: tuple[Access, ...]
    findings: tuple[Finding, ...] = ()
    previous: tuple[Access, ...] = ()
    leaving: tuple[Drain, ...] = ()
    draining: tuple[Drain, ...] = ()

    def addresses(self, access: Access) -> tuple[str, ...]:
        """Return the addresses at which an access's console is."""
        return self.inventory.addresses[self.policy.vms[access.vm].server]

    def port(self, access: Access) -> int:
        """Return the TLS port of an access's console."""
        return self.policy.vms[access.vm].tls_port

    def vm_at(self, address: str, port: int) -> str | None:
        """Return the vm whose console is at an address and port."""
        for vm in self.policy.vms.values():
            if vm.tls_port == port and address in self.inventory.addresses.get(vm.server, ()):
                return vm.name
        return None

    def grants_of(self, user: str | int | None, vm: str | None) -> tuple[str, ...]:
        """Return the grants that stand, or stood in the run before, behind a user's (name or UID) right to a vm."""
        for access in (*self.accesses, *self.previous, *self.leaving):
            if access.vm == vm and user in (access.user, access.uid):
                return access.grants
        return ()


def compile_policy(
    policy: Policy, inventory: Inventory, previous: Iterable[Access] = (), leaving: Iterable[Drain] = ()
) -> Wanted:
    """Work out who may open what. Pure: the same input gives the same result.

    previous
        Accesses of the run before.

    leaving
        Places where an open session may go on if nobody may open one there any more.

    A grant of an account that is unknown, is root's or could pass with any program is left out and reported in
    ``findings``, as are all grants of a server without an address or certificate: they cost nobody else anything.

    Raises :class:`~spicegrants.errors.PolicyError` when the viewer's group itself cannot be told from another.
    """
    group = inventory.groups.get(policy.viewer.group)
    if group is not None:
        _usable_group(group.name, group.gid, inventory)
    findings = [*inventory.findings, *_insiders(group, inventory)]
    usable = _usable_vms(policy, inventory, findings)
    merged: dict[tuple[str, str], Access] = {}
    for grant in policy.grants.values():
        if grant.vm not in usable:
            continue
        for account in _accounts(grant, inventory, group.gid if group else None, findings):
            known = merged.get((account.name, grant.vm))
            merged[account.name, grant.vm] = Access(
                account.name,
                account.uid,
                grant.vm,
                tuple(sorted((*known.grants, grant.name))) if known else (grant.name,),
                grant.nopasswd or bool(known and known.nopasswd),
                "cut" if known and known.on_end == "cut" else grant.on_end,
            )
    accesses = tuple(merged[key] for key in sorted(merged))
    gid = group.gid if group else None
    made = Wanted(policy, inventory, gid, accesses, tuple(findings), tuple(previous), tuple(leaving))
    return replace(made, draining=_draining(made))


def _draining(wanted: Wanted) -> tuple[Drain, ...]:
    """Return the places where something of the same account is open that nobody may open anew."""
    granted = {
        (access.uid, address, wanted.port(access)) for access in wanted.accesses for address in wanted.addresses(access)
    }
    open_now = wanted.inventory.sessions - granted
    users = wanted.inventory.users
    found = [
        drain
        for drain in wanted.leaving
        if (drain.uid, drain.address, drain.port) in open_now
        and drain.user in users
        and users[drain.user].uid == drain.uid
    ]
    return tuple(sorted({(drain.uid, drain.address, drain.port): drain for drain in found}.values()))


def _usable_group(name: str, gid: int, inventory: Inventory) -> None:
    path = "spice:viewer:group"
    if gid == 0:
        raise PolicyError([Finding(path, f"group {name!r} has GID 0: it must be a group of its own")])
    if str(gid) in inventory.numeric_names:
        message = f"an account is named {str(gid)!r}, like the GID of {name!r}: tools would take one for the other"
        raise PolicyError([Finding(path, message)])


def _insiders(group: Group | None, inventory: Inventory) -> list[Finding]:
    """Report users whose primary group is the viewer's: unlike other members they cannot be taken out of it."""
    names = group.members if group else ()
    return [
        Finding("spice:viewer:group", f"{group.name!r} is the primary group of user {name!r}: he can start the viewer")
        for name in names
        if name in inventory.users and inventory.users[name].gid == group.gid
    ]


def _usable_vms(policy: Policy, inventory: Inventory, findings: list[Finding]) -> dict[str, Vm]:
    """Return the vms whose server has an address, and its certificate if it declares one, not shared with another vm.

    The inventory itself reports a server without address or certificate.
    """
    ready = {
        vm.name: vm
        for vm in policy.vms.values()
        if inventory.addresses.get(vm.server)
        and (policy.servers[vm.server].ca is None or vm.server in inventory.authorities)
    }
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


def _accounts(grant: Grant, inventory: Inventory, gid: int | None, findings: list[Finding]) -> list[Account]:
    """Return the accounts that a grant means; note why one is left out."""
    if grant.user is not None:
        path, members = f"spice:grants:{grant.name}:user", (grant.user,)
    else:
        path = f"spice:grants:{grant.name}:group"
        group = inventory.groups.get(grant.group)
        if group is None:
            findings.append(Finding(path, f"no group {grant.group!r} on this machine"))
            return []
        members = group.members
    accounts = []
    for name in members:
        account = inventory.users.get(name)
        complaint = _complaint(name, account, inventory, gid)
        if complaint:
            findings.append(Finding(path, complaint))
        else:
            accounts.append(account)
    return accounts


def _complaint(name: str, account: Account | None, inventory: Inventory, gid: int | None) -> str | None:
    if account is None:
        return f"no user {name!r} on this machine"
    unusable = names.account_name(name)
    if unusable:
        return f"user {shown(name)} {unusable}"
    if account.uid == 0:
        return f"user {name!r} has UID 0: no client can hold root back"
    if account.gid == gid:
        return f"the viewer's group is the primary group of user {name!r}: any program of his would pass"
    if str(account.uid) in inventory.numeric_names:
        return f"an account is named {str(account.uid)!r}, like the UID of {name!r}: tools would take one for the other"
    return None


def by_user(accesses: Iterable[Access]) -> Mapping[int, tuple[Access, ...]]:
    """Group accesses by UID."""
    grouped: dict[int, list[Access]] = {}
    for access in accesses:
        grouped.setdefault(access.uid, []).append(access)
    return {uid: tuple(members) for uid, members in grouped.items()}
