"""What a KVM host stores: the policy by which it gives tickets, and which domain is behind each console. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from spicegrants.core.errors import LiveStateUnreadable, SpiceGrantError, SystemFault
from spicegrants.core.paths import HOST_STATE
from spicegrants.policy import pillar, state_file
from spicegrants.policy.loans_locks import NOTHING, Temporary
from spicegrants.policy.model import Policy, to_pillar

_FORMAT = 1


@dataclass(frozen=True)
class Stored:
    """Content of the host's file.

    minion
        Id of this minion, as servers name it.

    policy
        The policy, with the desks that may ask; ``None`` before the first run.

    uuids
        By vm: UUID of the domain that is behind its console.

    temporary
        Loans and locks of this host.
    """

    minion: str = ""
    policy: Policy | None = None
    uuids: Mapping[str, str] = field(default_factory=dict)
    temporary: Temporary = NOTHING

    @property
    def the_policy(self) -> Policy:
        """Return the policy; raise ``SystemFault`` if there is none."""
        if self.policy is None:
            raise SystemFault("no policy has been applied on this host yet: run state.apply spice.host")
        return self.policy


def dump(stored: Stored) -> bytes:
    """Return the file's content."""
    document = {
        "format": _FORMAT,
        "minion": stored.minion,
        "policy": to_pillar(stored.policy) if stored.policy else None,
        "uuids": dict(stored.uuids),
        "loans": stored.temporary.loans,
        "locks": stored.temporary.locks,
    }
    return (json.dumps(document, sort_keys=True) + "\n").encode()


def load(content: bytes | None) -> Stored:
    """Parse the file's content; ``None`` stands for no file.

    Raises :class:`~spicegrants.core.errors.LiveStateUnreadable` if it is not what :func:`dump` wrote.
    """
    if content is None:
        return Stored()
    try:
        document = json.loads(content)
        if document["format"] != _FORMAT:
            raise LiveStateUnreadable(f"{HOST_STATE} has format {document['format']!r}, this version reads {_FORMAT}")
        return Stored(
            minion=_text(document["minion"]),
            policy=pillar.parse_policy(document["policy"], "policy", lambda name: None) if document["policy"] else None,
            uuids={name: _text(uuid) for name, uuid in document["uuids"].items()},
            temporary=state_file.temporary_in(document),
        )
    except LiveStateUnreadable:
        raise
    except (SpiceGrantError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LiveStateUnreadable(
            f"{HOST_STATE} is damaged ({error}); remove it, and the next run writes it anew"
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where text belongs")
    return value
