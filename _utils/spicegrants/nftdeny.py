"""What becomes of a packet that the guard refuses, for nft: it is noted, logged within limits, and reset.

Lines of the log have a limit for each owner, so that nobody's flood fills it or hides what another tried. The set with
these limits is filled by the kernel; who has tried nothing for a while is not in it any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from spicegrants import guard
from spicegrants.nfttimes import Object, match

# By what is known of a packet: it has an owner, it left this machine without one, it was only forwarded.
OWNED, OWNERLESS, FORWARDED = "deny", "deny_ownerless", "deny_forward"
CHAINS = (OWNED, OWNERLESS, FORWARDED)
# A limit is full again after less time than that: one that is forgotten and made anew lets through no more.
LIMITED: Object = {"name": "limited", "type": "uid", "flags": ["timeout"], "timeout": 600, "size": 65535}
# A number, as nft prints it when asked for numbers (-n): a rule compares equal to what was sent.
_TCP = 6


def rules(evidence: Iterable[Object]) -> list[tuple[str, list[Object]]]:
    """Return chain and expressions of each rule, in order.

    evidence
        What notes whose packet was refused, a statement for each IP version.
    """
    limited = {"op": "update", "elem": {"meta": {"key": "skuid"}}, "set": f"@{LIMITED['name']}"}
    limited["stmt"] = [limit(guard.OWNER_RATE, guard.OWNER_BURST)]
    owned = [{"set": limited}, limit(guard.TOTAL_RATE, guard.TOTAL_BURST)]
    nobodys = [limit(guard.OWNERLESS_RATE, guard.OWNERLESS_BURST)]
    made = [(OWNED, [statement]) for statement in evidence]
    for chain, limits, rule in (
        (OWNED, owned, guard.OUTPUT),
        (OWNERLESS, nobodys, guard.OUTPUT),
        (FORWARDED, nobodys, guard.FORWARD),
    ):
        made.append((chain, [*limits, log(rule)]))
        made.append((chain, [match({"meta": {"key": "l4proto"}}, _TCP), {"reject": {"type": "tcp reset"}}]))
    return made


def limit(rate: int, burst: int) -> Object:
    """Return what ends a rule for packets beyond so many a minute."""
    return {"limit": {"rate": rate, "burst": burst, "per": "minute"}}


def log(rule: str) -> Object:
    """Return what writes a line into the kernel's log, with the rule that refused the packet and its owner."""
    return {"log": {"prefix": guard.LOG_PREFIXES[rule], "level": "info", "flags": "skuid"}}
