"""What becomes of a packet that the guard refuses, for nft: it is noted, logged within limits, and reset.

Notes and lines of the log have a limit for each owner, so that nobody's flood fills them or hides what another tried.
The sets with these limits are filled by the kernel; who has tried nothing for a while is not in them any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from spicegrants import guard
from spicegrants.nfttimes import Object, match

# By what is known of a packet: it has an owner, it left this machine without one, it was only forwarded.
OWNED, OWNERLESS, FORWARDED = "deny", "deny_ownerless", "deny_forward"
EVIDENCE = "evidence"
CHAINS = (OWNED, OWNERLESS, FORWARDED, EVIDENCE)
# A limit is full again after less time than that: one that is forgotten and made anew lets through no more.
LIMITED: Object = {"name": "limited", "type": "uid", "flags": ["timeout"], "timeout": 600, "size": 65535}
NOTED: Object = {**LIMITED, "name": "noted", "timeout": 3600}
# A number, as nft prints it when asked for numbers (-n): a rule compares equal to what was sent.
_TCP = 6


def rules(evidence: Iterable[Object]) -> list[tuple[str, list[Object]]]:
    """Return chain and expressions of each rule, in order.

    evidence
        What notes whose packet was refused, a statement for each IP version.
    """
    owned = [_limit_of_owner(LIMITED, guard.OWNER_RATE, guard.OWNER_BURST)]
    owned.append(limit(guard.TOTAL_RATE, guard.TOTAL_BURST))
    nobodys = [limit(guard.OWNERLESS_RATE, guard.OWNERLESS_BURST)]
    noted = _limit_of_owner(NOTED, guard.NOTED_RATE, guard.NOTED_BURST)
    made = [(OWNED, [noted, {"jump": {"target": EVIDENCE}}]), *((EVIDENCE, [statement]) for statement in evidence)]
    for chain, limits, rule in (
        (OWNED, owned, guard.OUTPUT),
        (OWNERLESS, nobodys, guard.OUTPUT),
        (FORWARDED, nobodys, guard.FORWARD),
    ):
        made.append((chain, [*limits, log(rule)]))
        made.append((chain, [match({"meta": {"key": "l4proto"}}, _TCP), {"reject": {"type": "tcp reset"}}]))
    return made


def _limit_of_owner(kept: Object, rate: int, burst: int) -> Object:
    """Return what ends a rule for an owner's packets beyond so many a minute, by the set in which his limit is kept."""
    owner = {"op": "update", "elem": {"meta": {"key": "skuid"}}, "set": f"@{kept['name']}"}
    return {"set": {**owner, "stmt": [limit(rate, burst)]}}


def limit(rate: int, burst: int) -> Object:
    """Return what ends a rule for packets beyond so many a minute."""
    return {"limit": {"rate": rate, "burst": burst, "per": "minute"}}


def log(rule: str) -> Object:
    """Return what writes a line into the kernel's log, with the rule that refused the packet and its owner."""
    return {"log": {"prefix": guard.LOG_PREFIXES[rule], "level": "info", "flags": "skuid"}}
