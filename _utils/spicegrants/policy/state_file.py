"""State file: the minion's own copy of what was declared and enforced, so that nothing later needs a master."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from spicegrants.core.errors import LiveStateUnreadable, SpiceGrantError, SystemFault
from spicegrants.core.paths import STATE
from spicegrants.policy import decision, pillar
from spicegrants.policy.access import Access, Drain, Term
from spicegrants.policy.loans_locks import ALL, NOTHING, USER, VM, Loan, Lock, Temporary
from spicegrants.policy.model import WARN, Policy, to_pillar
from spicegrants.schedule import weekly, zones
from spicegrants.schedule.intervals import Windows

_FORMAT = 1
_NO_POLICY = "no policy has been applied on this minion yet: run state.apply spice"


@dataclass(frozen=True)
class Stored:
    """Content of the state file: what is kept between runs.

    policy
        The policy that is enforced; ``None`` before the first run.

    addresses
        By server: its addresses in the last run, for when its name does not resolve.

    accesses
        Who could open what after the last run.

    group
        Name of the viewer's group once we manage it: its members are drift then.

    made_group
        Whether we made that group, and so may remove it.

    originals
        By path of a viewer: ``[uid, gid, mode]`` from before the first run.

    left
        Groups that we made for viewers and that are no longer the viewer's: to be removed.

    draining
        Places that a user may no longer open, but where they had a session open after the last run.

    temporary
        Loans and locks of this machine.

    day
        The day for which times were worked out; ``None`` if nothing has times, or the clock was never set.
    """

    policy: Policy | None = None
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accesses: tuple[Access, ...] = ()
    group: str | None = None
    made_group: bool = False
    originals: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    draining: tuple[Drain, ...] = ()
    temporary: Temporary = NOTHING
    day: int | None = None

    @property
    def the_policy(self) -> Policy:
        """Return the policy; raise ``SystemFault`` if there is none."""
        if self.policy is None:
            raise SystemFault(_NO_POLICY)
        return self.policy


def dump(stored: Stored) -> bytes:
    """Return the file's content."""
    document: dict[str, Any] = {
        "format": _FORMAT,
        "policy": to_pillar(stored.policy) if stored.policy else None,
        "addresses": {name: list(found) for name, found in stored.addresses.items()},
        # Records are lists of their fields, in order.
        "accesses": stored.accesses,
        "draining": stored.draining,
        "loans": stored.temporary.loans,
        "locks": stored.temporary.locks,
        "day": stored.day,
        "windows": _windows(stored),
        "group": stored.group,
        "made_group": stored.made_group,
        "originals": {path: list(owner) for path, owner in stored.originals.items()},
        "left": list(stored.left),
    }
    return (json.dumps(document, sort_keys=True) + "\n").encode()


# The content that was read last, and what it says: one run asks several times.
_last: dict[bytes, Stored] = {}


def load(content: bytes | None, known: Policy | None = None) -> Stored:
    """Parse the file's content; ``None`` stands for no file.

    known
        A policy that was parsed already. Mostly it is the one that is stored, which is then not parsed again.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if it is not what :func:`dump` wrote.
    """
    if content is None:
        return Stored()
    if content not in _last:
        found = _read(content, known)
        _last.clear()
        _last[content] = found
    return _last[content]


def load_one(content: bytes | None, user: str, vm: str) -> Stored:
    """Parse only what concerns one user and one vm: no grants, drains and accesses of others.

    These are most of the file, and a user waits. Raises as :func:`load` does.
    """
    return Stored() if content is None else _read(content, None, (user, vm))


def _narrowed(document: Mapping[str, Any], user: str, vm: str) -> dict[str, Any]:
    accesses = [values for values in document["accesses"] if (values[0], values[2]) == (user, vm)]
    behind = {name for values in accesses for name in values[3]}
    policy = document["policy"]
    if policy:
        grants = {name: grant for name, grant in policy["grants"].items() if name in behind}
        policy = {**policy, "grants": grants}
    return {**document, "policy": policy, "accesses": accesses, "draining": []}


def _read(content: bytes, known: Policy | None, only: tuple[str, str] | None = None) -> Stored:
    try:
        document = json.loads(content)
        if document["format"] != _FORMAT:
            raise LiveStateUnreadable(f"{STATE} has format {document['format']!r}, this version reads {_FORMAT}")
        if only is not None:
            document = _narrowed(document, *only)
        return Stored(
            policy=_policy(document, known) if document["policy"] else None,
            addresses={name: tuple(found) for name, found in document["addresses"].items()},
            accesses=tuple(_access(*values) for values in document["accesses"]),
            group=document["group"],
            made_group=document["made_group"],
            originals={path: tuple(owner) for path, owner in document["originals"].items()},
            left=tuple(document.get("left", ())),
            draining=tuple(_drain(*values) for values in document.get("draining", ())),
            temporary=temporary_in(document),
            day=_typed(document.get("day"), int, type(None)),
        )
    except LiveStateUnreadable:
        raise
    except (SpiceGrantError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LiveStateUnreadable(
            f"{STATE} is damaged ({error}); remove it, and the next run writes it anew"
        ) from error


def _policy(document: Mapping[str, Any], known: Policy | None) -> Policy:
    """Parse the policy; a schedule whose zone the system has lost keeps the windows that were worked out."""
    data, worked = document["policy"], document.get("windows", {})
    if known is not None and to_pillar(known) == data:
        return known
    policy = pillar.parse_policy(data, "policy", lambda name: None)
    zoneless = {name: each for name, each in policy.schedules.items() if not zones.known(each.zone)}
    with_windows = {name: each._replace(worked=_spans(worked.get(name, ()))) for name, each in zoneless.items()}
    return replace(policy, schedules={**policy.schedules, **with_windows}) if with_windows else policy


def _windows(stored: Stored) -> dict[str, Windows]:
    """Return the windows of schedules, as far as they are worked out on the stored day."""
    if stored.policy is None or stored.day is None:
        return {}
    stretch = decision.span(stored.policy, stored.day)
    return {name: weekly.windows(each, *stretch) for name, each in stored.policy.schedules.items()}


def _spans(found: Iterable[Iterable[int]]) -> Windows:
    return tuple((_typed(start, int), _typed(end, int)) for start, end in found)


def _access(
    user, uid, vm, grants, nopasswd=False, on_end="cut", grace=None, warn=WARN, terms=None, within=None
) -> Access:
    found = tuple(Term(tuple(schedules), *limits) for schedules, *limits in terms or [[()]] * len(grants))
    limits = None if within is None else _spans(within)
    return Access(
        user=user,
        uid=uid,
        vm=vm,
        grants=tuple(grants),
        nopasswd=nopasswd,
        on_end=on_end,
        grace=grace,
        warn=tuple(warn),
        terms=found,
        within=limits,
    )


def _drain(user, uid, address, port, vm, grants=(), until=None, grace=None, warn=WARN) -> Drain:
    return Drain(
        user=user,
        uid=uid,
        address=address,
        port=port,
        vm=vm,
        grants=tuple(grants),
        until=until,
        grace=grace,
        warn=tuple(warn),
    )


def temporary_in(document: Mapping[str, Any]) -> Temporary:
    """Return the loans and locks of a document; raise ``TypeError`` or ``ValueError`` for what is none."""
    return Temporary(
        tuple(_loan(*values) for values in document.get("loans", ())),
        tuple(_lock(*values) for values in document.get("locks", ())),
    )


def _loan(user, vm, start, end, reason=None, nopasswd=False, uid=None) -> Loan:
    _typed(reason, str, type(None))
    _typed(uid, int, type(None))
    limits = _typed(start, int), _typed(end, int)
    return Loan(_typed(user, str), _typed(vm, str), *limits, reason, _typed(nopasswd, bool), uid)


def _lock(about, name="", reason=None, since=0) -> Lock:
    if about not in (ALL, USER, VM):
        raise ValueError(f"a lock of {about!r}")
    return Lock(about, _typed(name, str), _typed(reason, str, type(None)), _typed(since, int))


def _typed(value: Any, *kinds: type) -> Any:
    """Return a value, or raise TypeError if it is of another kind: what denies something is never guessed at."""
    if type(value) not in kinds:
        raise TypeError(f"{value!r} where {kinds[0].__name__} belongs")
    return value


def leaving(stored: Stored) -> tuple[Drain, ...]:
    """Return the places where open sessions may go on once they are no longer granted."""
    found = list(stored.draining)
    for access in stored.accesses:
        vm = stored.the_policy.vms[access.vm]
        if access.on_end == "drain":
            limits = (None, access.grace, access.warn)
            found += [
                Drain(access.user, access.uid, address, vm.tls_port, access.vm, access.grants, *limits)
                for address in stored.addresses.get(vm.server, ())
            ]
    return tuple(found)
