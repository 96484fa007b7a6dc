"""The choice of nftables or iptables on this machine, and rules that earlier runs left in another mechanism."""

from __future__ import annotations

import shutil
from typing import Union

from spicegrants.core.errors import SystemFault
from spicegrants.firewall import boot
from spicegrants.firewall.live import nft
from spicegrants.firewall.live.iptables import Iptables, in_use, installed, variant
from spicegrants.firewall.live.nft import Nftables
from spicegrants.host import disk, run

Mechanism = Union[Nftables, Iptables]
_OLDEST_NFT = (1, 0)


def choose(backend: str) -> tuple[Mechanism, str]:
    """Return the mechanism to use, and the reason for it.

    backend
        The value in pillar: ``nftables``, ``iptables``, or ``auto``, which takes nftables wherever it works: a table of
        our own is out of the way of everything else, and no ``iptables -F`` reaches it.

    Raises :class:`~spicegrants.core.errors.SystemFault` if there is none.
    """
    if backend == "nftables":
        return Nftables(), "pillar names it"
    if backend == "iptables":
        return Iptables(variant()), "pillar names it"
    # Where it is in use, reading its table is the better trial; if that fails, another mechanism is no remedy.
    if shutil.which("nft", path=run.SEARCH) and used("nftables"):
        return Nftables(), "nft is installed, and in use already"
    hindrance = _hindrance()
    if hindrance is None:
        return Nftables(), "nft is installed, and the kernel answers it"
    if shutil.which("iptables", path=run.SEARCH) is None:
        why = f"nothing can guard the ports: {hindrance}, and iptables is not installed"
        raise SystemFault(why, run.missing("nft") or ["iptables"])
    return Iptables(variant()), hindrance


def _hindrance() -> str | None:
    """Return why nftables cannot be used; a failure that does not show this is not taken as a reason."""
    if shutil.which("nft", path=run.SEARCH) is None:
        return "nft is not installed"
    result = run.attempt(["nft", "list", "tables"])
    if result.returncode:
        return "the kernel does not support nftables" if "not supported" in result.stderr else None
    if nft.release() < _OLDEST_NFT:
        oldest = ".".join(map(str, _OLDEST_NFT))
        return f"nft {'.'.join(map(str, nft.release()))} is older than {oldest}"
    return None


def _mechanism(name: str) -> Mechanism:
    return Nftables() if name == "nftables" else Iptables(name)


def in_charge() -> list[Mechanism]:
    """Return the mechanisms that runs have used, without trying any; without stored files, those that hold rules."""
    return [_mechanism(name) for name in boot.GUARDS if used(name)] or holding()


def leftovers(active: Mechanism) -> list[Mechanism]:
    """Return the other mechanisms that an earlier run used: their stored rules are still there."""
    return [_mechanism(name) for name in boot.GUARDS if name != active.name and used(name)]


def used(name: str) -> bool:
    """Tell whether a run used a mechanism: its stored rules are there."""
    return any(disk.read(path) is not None for path in boot.GUARDS[name])


def holding() -> list[Mechanism]:
    """Return the mechanisms by which the kernel holds anything of ours, whatever put it there."""
    found: list[Mechanism] = []
    if shutil.which("nft", path=run.SEARCH) and Nftables().present():
        found.append(Nftables())
    for name in ("iptables-nft", "iptables-legacy"):
        if installed(name) and in_use(name) and Iptables(name).present():
            found.append(Iptables(name))
    return found
