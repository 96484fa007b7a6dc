"""Names of users and vms as they are typed: Salt makes numbers and booleans of some, and people slip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from spicegrants.core.reader import chosen, name_for
from spicegrants.host import accounts
from spicegrants.policy.compiler import DesiredState

Read = Callable[[str], Any]


def any_user(word: Any, also: Iterable[str], read: Read) -> Any:
    """Return the user's name that a word stands for, as :func:`~spicegrants.core.reader.name_for` does.

    Accounts are asked for only if the word is no text.

    also
        Names of users besides those that have an account.
    """
    return word if isinstance(word, str) else name_for(word, {*also, *accounts.uids(None)}, read)


def vm(desired: DesiredState, word: Any, read: Read, failure: type[Exception]) -> str:
    """Return the vm of the policy that a word stands for; raise ``failure`` if there is none."""
    return chosen("vm", word, desired.policy.vms, read, failure, " in the policy of this minion")


def user(desired: DesiredState, word: Any, read: Read, failure: type[Exception]) -> str:
    """Return the user that a word stands for; raise ``failure`` if there is none.

    With a slip in the name, the answer would be that they may open nothing.
    """
    every = (*desired.accesses, *(access for access, _ in desired.locked))
    # Also who has something, if nobody can be asked for them.
    known = {*accounts.uids(word), *(access.user for access in (*every, *desired.previous))}
    known |= {grant.user for grant in desired.policy.grants.values() if grant.user}
    return chosen("user", word, known, read, failure, " on this machine")
