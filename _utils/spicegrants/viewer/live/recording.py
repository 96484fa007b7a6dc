"""What the opener adds to the record: who begins to open a console, who was refused, and why a session ended."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import RECORDER_SOCKET
from spicegrants.policy.model import Policy
from spicegrants.record import events
from spicegrants.record.live import event_log


def launch(policy: Policy, account: Account, vm: str) -> str:
    """Record that somebody begins to open a console; return why that must keep them from it, empty if nothing does.

    Where the record cannot be written, pillar says which of the two it is.
    """
    try:
        event_log.append([_event(events.LAUNCH, policy, account, vm)], policy.audit)
    except SystemFault as error:
        return str(error) if policy.audit.required else ""
    finally:
        _tell(uid=account.uid, vm=vm)
    return ""


def refused(policy: Policy, account: Account, vm: str, by: str, why: str) -> None:
    """Record that somebody was refused a console. Where that cannot be written, they are refused all the same.

    by
        Who refused it: ``opener`` or ``host``.
    """
    with contextlib.suppress(SystemFault):
        event_log.refused(_event(events.REFUSED, policy, account, vm, by=by, why=why), policy.audit)


def ended(account: Account, vm: str, why: str) -> None:
    """Tell the recorder why a KVM host has ended a session."""
    _tell(uid=account.uid, vm=vm, why=why)


def _event(kind: str, policy: Policy, account: Account, vm: str, **fields: Any) -> dict[str, Any]:
    return events.event(kind, int(time.time()), policy.time.zone, user=account.name, uid=account.uid, vm=vm, **fields)


def _tell(**words: Any) -> None:
    """Send something to the recorder, which may not be at work."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as recorder:
        recorder.setblocking(False)
        recorder.sendto(json.dumps(words).encode(), RECORDER_SOCKET)
