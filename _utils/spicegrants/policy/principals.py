"""Resolution of grants to accounts: a name counts as far as it leads to one UID, and that back to it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from spicegrants.core import validation
from spicegrants.core.accounts import Account, Group
from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.policy.access import Access
from spicegrants.policy.facts import Inventory
from spicegrants.policy.loans_locks import Loan, is_loan
from spicegrants.policy.model import Grant

# Of how many names that nobody knows the nearest is sought: that takes a look at all that are known.
_SOUGHT = 20
# The primary group of an account that cannot be looked up; no group has it.
_UNKNOWN = -1
Standing = Mapping[str, "tuple[Access, ...]"]


def viewer_group(name: str, inventory: Inventory) -> None:
    """Raise :class:`~spicegrants.core.errors.PolicyError` if the viewer's group may be mistaken for another."""
    path = "spice:viewer:group"
    group = inventory.groups.get(name)
    if group is None:
        return
    if group.gid == 0:
        raise PolicyError([Finding(path, f"group {name!r} has GID 0: it must be a group of its own")])
    if str(group.gid) in inventory.numeric_names:
        message = (
            f"an account is named {str(group.gid)!r}, like the GID of {name!r}: tools would take one for the other"
        )
        raise PolicyError([Finding(path, message)])


def insiders(group: Group | None, users: Mapping[str, Account]) -> list[Finding]:
    """Report users who can start the viewer themselves, and cannot be taken out of its group as members can."""
    path = "spice:viewer:group"
    if group is None:
        return []
    twins = [
        Finding(path, f"group {quote(twin.name)} has the same GID as {group.name!r}: its members can start the viewer")
        for twin in group.twins
    ]
    mapping = [
        Finding(path, f"/etc/subgid lets user {quote(name)} have the GID of {group.name!r}: they can start the viewer")
        for name in group.mapping
    ]
    primary = [
        Finding(path, f"{group.name!r} is the primary group of user {name!r}: they can start the viewer")
        for name in group.members
        if name in users and users[name].gid == group.gid
    ]
    return twins + mapping + primary


def standing(grants: Mapping[str, Grant], before: Mapping[str, Grant], accesses: Iterable[Access]) -> Standing:
    """Return the accesses of the run before by grant and loan; none for a grant that means somebody else now."""
    found: dict[str, tuple[Access, ...]] = {}
    for access in accesses:
        for name in access.grants:
            if is_loan(name) or (name in grants and _meaning(grants[name]) == _meaning(before.get(name))):
                found[name] = (*found.get(name, ()), access)
    return found


def _meaning(grant: Grant | None) -> tuple[str | None, ...]:
    return () if grant is None else (grant.user, grant.group, grant.vm)


class People:
    """The accounts of an inventory, as far as they can be granted anything.

    group
        The viewer's group.

    stood
        What :func:`standing` returns.
    """

    def __init__(self, inventory: Inventory, group: Group | None, before: Standing):
        self._inventory = inventory
        self._gid = group.gid if group else None
        self._insiders = {name for twin in group.twins for name in twin.members} if group else set()
        self._mapping = frozenset(group.mapping) if group else frozenset()
        self._standing = before
        self._sought = 0
        # A name may be another's in a different spelling.
        accounts = {account.name: account for account in inventory.users.values()}
        counted = Counter(account.uid for account in accounts.values())
        several = {uid for uid, count in counted.items() if count > 1}
        self._namesakes: dict[int, list[str]] = {uid: [] for uid in several}
        for name in sorted(accounts) if several else ():
            if accounts[name].uid in several:
                self._namesakes[accounts[name].uid].append(name)

    def accounts_of(self, grant: Grant | Loan, findings: list[Finding]) -> list[Account]:
        """Return the accounts that a grant or loan means; note why one is left out or could not be looked up."""
        known, unasked = self._inventory.users, self._inventory.unasked
        path, members = self._members(grant, findings)
        found: dict[str, Account] = {}
        for name in members:
            account = known.get(name)
            if account is None and name in unasked.users:
                found.update(self._remembered(path, name, grant.name, findings))
            elif complaint := self._complaint(name, account) or _moved(grant, account):
                findings.append(Finding(path, complaint))
            elif account is not None:
                found[account.name] = account
        if isinstance(grant, Grant) and grant.group in unasked.groups:
            for access in self._standing.get(grant.name, ()):
                account = known.get(access.user)
                if access.user in grant.left_out:
                    continue
                if access.user not in found and account is not None:
                    if account.uid == access.uid and not self._complaint(access.user, account):
                        found[access.user] = account
                elif access.user not in found and access.user in unasked.users:
                    found.update(self._remembered(path, access.user, grant.name, findings))
        return list(found.values())

    def _members(self, grant: Grant | Loan, findings: list[Finding]) -> tuple[str, tuple[str, ...]]:
        """Return a grant's path, and the names of those whom it means; note if these cannot all be known."""
        if isinstance(grant, Loan):
            return grant.name, (grant.user,)
        if grant.user is not None:
            return f"spice:grants:{grant.name}:user", (grant.user,)
        path = f"spice:grants:{grant.name}:group"
        group, unasked = self._inventory.groups.get(grant.group or ""), self._inventory.unasked
        if grant.group in unasked.groups:
            message = f"nobody can tell who is in group {grant.group!r} ({unasked.why}): who had this grant keeps it"
            findings.append(Finding(path, message))
        elif group is None:
            hint = self._nearest(grant.group, self._inventory.group_names)
            findings.append(Finding(path, f"no group {grant.group!r} on this machine{hint}"))
        members = group.members if group else ()
        return path, tuple(name for name in members if name not in grant.left_out)

    def _remembered(self, path: str, name: str, grant: str, findings: list[Finding]) -> dict[str, Account]:
        """Return the earlier account of a name that cannot be looked up; note what is made of it.

        It needs a grant that it had before, and counts only as long as nobody else is seen to have its UID.
        """
        unasked = self._inventory.unasked
        doubt = f"nobody can tell whether there is a user {quote(name)} ({unasked.why})"
        access = next((access for access in self._standing.get(grant, ()) if access.user == name), None)
        if access is None:
            findings.append(Finding(path, f"{doubt}: nothing is opened to them"))
            return {}
        account = Account(name, access.uid, _UNKNOWN)
        holder = unasked.holders.get(access.uid, name)
        complaint = self._complaint(name, account)
        if holder != name:
            complaint = f"UID {access.uid} is that of user {quote(holder)} now"
        findings.append(Finding(path, f"{doubt}: {complaint or 'what they had stays as it was'}"))
        return {} if complaint else {name: account}

    def _nearest(self, name: str | None, known: Iterable[str]) -> str:
        self._sought += 1
        return did_you_mean(name, known) if self._sought <= _SOUGHT else ""

    def _complaint(self, name: str, account: Account | None) -> str | None:
        if account is None:
            return f"no user {name!r} on this machine{self._nearest(name, self._inventory.users)}"
        # What goes into rules is the account's own name, not the one that was asked for.
        unusable = validation.account_name(name) or validation.account_name(account.name)
        if unusable:
            return f"user {quote(name)} {unusable}"
        if not _same(name, account.name):
            return f"asked for user {name!r} the name service tells of {account.name!r}: it is not believed"
        if account.uid == 0:
            return f"user {name!r} has UID 0: no client can hold root back"
        if account.gid == self._gid:
            return f"the viewer's group is the primary group of user {name!r}: any program of theirs would pass"
        if name in self._insiders or account.name in self._insiders:
            return f"user {name!r} is in a group with the GID of the viewer's: any program of theirs would pass"
        if account.name in self._mapping:
            return f"the viewer's group is a subordinate one of user {name!r}: any program of theirs would pass"
        if str(account.uid) in self._inventory.numeric_names:
            uid = str(account.uid)
            return f"an account is named {uid!r}, like the UID of {name!r}: tools would take one for the other"
        others = [other for other in self._namesakes.get(account.uid, ()) if other != account.name]
        if others:
            return f"user {name!r} has the UID of {', '.join(map(quote, others))}: nothing can tell one from the other"
        return None


def _same(one: str, another: str) -> bool:
    """Tell whether two names are the same but for case, or for a domain that one of them lacks."""
    (name, _, domain), (other, _, others) = one.casefold().partition("@"), another.casefold().partition("@")
    return name == other and (not domain or not others or domain == others)


def _moved(grant: Grant | Loan, account: Account | None) -> str | None:
    """Say that a loan was made to another account of that name; ``None`` if it was not."""
    if not isinstance(grant, Loan) or account is None or grant.uid in (None, account.uid):
        return None
    return f"user {account.name!r} has UID {account.uid} now; it was lent to the account with UID {grant.uid}"
