"""The backstop on this machine: its service, and tests whether it can be held and is held."""

from __future__ import annotations

import contextlib
import os

from spicegrants.core.errors import CommandFailed
from spicegrants.core.paths import PYTHON, SYSTEMD
from spicegrants.firewall import backstop
from spicegrants.firewall.backstop import FAMILY, PREFIX, SERVICE, Plan
from spicegrants.firewall.live import nft
from spicegrants.host import disk, package, run
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.model import Firewall

# Before that release it prints JSON of a table with an owner that is none, or says something else in it, to whoever
# lists tables: a use after free.
_OLDEST_NFT = (1, 1)
_HOLDER = "spicegrants.firewall.live.backstop_holder"


def read_and_plan_backstop(desired: DesiredState) -> tuple[Plan, str]:
    """Compare the desired backstop with the machine; return the plan, and what makes a backstop impossible.

    Runs ``nft list table``. Where the backstop was never held, a separate process also tries to hold one, in a network
    namespace that is gone afterwards.
    """
    firewall = desired.policy.firewall
    program = package.text(_HOLDER)
    live = {path: disk.read(path) for path in backstop.PATHS}
    table = None
    if firewall.backstop is not False and desired.policy.guarded_ports():
        table = backstop.table(desired, program)
    # In use, it is no question whether it can be, as long as there is somebody to hold it.
    used = live[backstop.STORED] is not None and os.path.isdir(SYSTEMD)
    obstacle = hindrance(firewall) if table is not None and not used else ""
    owned = used and table is not None and _owned(table.name)
    return backstop.plan_backstop(None if obstacle else table, program, live, owned), obstacle


def words(firewall: Firewall) -> str:
    """Return a sentence: the backstop is held, or why not."""
    if firewall.backstop is False:
        return "off: pillar says so"
    tables = list(filter(_owned, _names()))
    if tables:
        return f"held: table {FAMILY} {', '.join(tables)}"
    return f"not held: {hindrance(firewall) or 'a run of the state repairs that'}"


def hindrance(firewall: Firewall) -> str:
    """Return why this machine cannot hold a backstop, or why it is switched off; empty if it can."""
    try:
        return _hindrance(firewall)
    except CommandFailed as error:
        return str(error)


def _hindrance(firewall: Firewall) -> str:
    if not os.path.isdir(SYSTEMD):
        return "systemd is not at work"
    absent = run.missing("nft", "unshare")
    if absent:
        return run.not_installed(absent)
    if firewall.backstop is None:
        found = nft.release()
        if found < _OLDEST_NFT:
            return f"nft {'.'.join(map(str, found))} prints broken JSON where a table has an owner, 1.1 does not"
    trial = run.attempt(["unshare", "--net", PYTHON, "-IS", "-", "try"], text=package.text(_HOLDER).decode())
    return " ".join(trial.stderr.split())[-200:] or "it fails without a word" if trial.returncode else ""


def hold() -> None:
    """Have systemd's service hold the stored table; the one that it held before goes once the new one is there.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if the service fails.
    """
    run.run(["systemctl", "reload-or-restart", SERVICE])


def stop() -> None:
    """Stop the service; remove a table that persists because its holder was killed before it could remove it."""
    if os.path.isdir(SYSTEMD):
        run.attempt(["systemctl", "stop", SERVICE])
    for name in _names():
        run.attempt(["nft", "delete", "table", FAMILY, name])


def _names() -> list[str]:
    """Return the names of existing backstop tables; none without nft, or if the kernel has no nftables."""
    with contextlib.suppress(CommandFailed):
        return [name for family, name in nft.tables() if family == FAMILY and name.startswith(PREFIX)]
    return []


def _owned(name: str) -> bool:
    """Tell whether the table exists and a process owns it."""
    try:
        return "owner" in nft.flags(FAMILY, name)
    except CommandFailed:
        # There is no nft.
        return False
