"""The guard of uplinks in the kernel: read interfaces and our table, and cover new interfaces.

It is also a program of its own, which systemd starts when an interface appears: neither Salt nor a master is needed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from spicegrants.core.errors import CommandFailed, LiveStateUnreadable, SpiceGrantError, SystemFault
from spicegrants.core.paths import STATE
from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.live import nft
from spicegrants.firewall.nft import egress
from spicegrants.host import disk, lock, run
from spicegrants.host.accounts import gid
from spicegrants.policy import state_file
from spicegrants.policy.compiler import DesiredState, recalled

_NOTHING = FirewallPlan((), ())
# Seconds: the port of a bridge is no port yet at the moment at which it appears.
_SETTLING = 0.3


def main() -> int:
    """Cover the interfaces that exist now, by the stored policy; return the exit code.

    Errors go to standard error; the next run of the state reports them as well.
    """
    try:
        run.as_root()
        time.sleep(_SETTLING)
        with lock.run_lock():
            stored = state_file.load(disk.read_text(STATE))
            if stored.policy is None:
                raise SystemFault(f"there is no {STATE}: run state.apply spice")
            desired = recalled(stored, gid(stored.policy.viewer.group), int(time.time()))
            plan, hindrance = read_and_plan_egress(desired)
            apply(desired, plan)
    except SpiceGrantError as error:
        print(f"interfaces are not guarded: {error}", file=sys.stderr)
        return 1
    if hindrance:
        print(f"interfaces are not guarded: {hindrance}", file=sys.stderr)
    return 0


def read_and_plan_egress(desired: DesiredState) -> tuple[FirewallPlan, str]:
    """Compare the desired state with the kernel; return the plan, and what makes the whole of it impossible.

    Runs ``nft list table`` and ``ip link``. Where there is no table yet, it has the kernel check whether one could be
    created. Raises :class:`~spicegrants.core.errors.SystemFault` if it could not, and the policy names interfaces.
    """
    chosen = desired.policy.firewall.uplinks
    absent = run.missing("nft", "ip")
    hindrance = run.not_installed(absent)
    planned = _NOTHING
    if not hindrance:
        table, links = _table(), _links() if chosen != () else []
        with run.understood("nft or ip"):
            planned = egress.plan_egress(desired, table, egress.uplinks(desired, links) if chosen != () else {})
        if table is None and planned.commands:
            result = run.attempt(["nft", "--check", "-j", "-f", "-"], text=json.dumps({"nftables": planned.commands}))
            message = result.stderr.strip().partition("\n")[0].rpartition("Error: ")[2]
            hindrance = f"the kernel, or nft, cannot do it ({message})" if result.returncode else ""
    if chosen and hindrance:
        raise SystemFault(f"spice:firewall:uplinks names interfaces that cannot be guarded: {hindrance}", absent)
    return (_NOTHING, "" if chosen == () else hindrance) if hindrance else (planned, "")


def apply(desired: DesiredState, plan: FirewallPlan) -> None:
    """Carry a plan out.

    An interface may have gone since it was listed, which makes the transaction fail: the change is then planned once
    more.
    """
    try:
        _send(plan.commands)
    except CommandFailed:
        _send(read_and_plan_egress(desired)[0].commands)


def delete() -> None:
    """Delete our table, whether it exists or not."""
    _send(egress.removal())


def present() -> bool:
    """Tell whether the kernel holds our table."""
    return _installed("nft") and _table() is not None


def covered() -> list[str]:
    """Return the interfaces that the kernel guards."""
    objects = _table() if _installed("nft") else None
    links = _links() if objects else []
    with run.understood("nft or ip"):
        return egress.covered(objects or [], links)


def _send(commands: Sequence[Any]) -> None:
    if commands:
        nft.load(commands)


def _installed(program: str) -> bool:
    return shutil.which(program, path=run.SEARCH) is not None


def _links() -> list[dict[str, Any]]:
    return run.as_json(run.run(["ip", "-json", "-details", "link"]), "ip link", list)


def _table() -> list[dict[str, Any]] | None:
    """Return the objects of our table; ``None`` if there is none, or the kernel has no nftables."""
    try:
        return nft.table(egress.FAMILY, egress.TABLE)
    except LiveStateUnreadable:
        raise
    except CommandFailed:
        return None
