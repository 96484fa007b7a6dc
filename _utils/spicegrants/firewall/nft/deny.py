"""nftables rules for refused packets: note them, log them within limits, then reset the connection.

Notes and log lines have a limit for each owner, so that nobody's flood fills them or hides another user's attempts. The
kernel fills the sets that hold these limits; an owner who has tried nothing for a while drops out of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from spicegrants.firewall import guard
from spicegrants.firewall.nft.time_chains import ESTABLISHED, Object, match

# By what is known of a packet: it has an owner, it left this machine without one, it was only forwarded.
OWNED, OWNERLESS, FORWARDED = "deny", "deny_ownerless", "deny_forward"
# Its owner may be one of thousands that are the same user's.
MANY = "deny_many"
CHAINS = (OWNED, MANY, OWNERLESS, FORWARDED)
# A limit is full again after less time than that: one that is forgotten and made anew lets through no more.
LIMITED: Object = {"name": "limited", "type": "uid", "flags": ["timeout"], "timeout": 600, "size": 65535}
NOTED: Object = {**LIMITED, "name": "noted", "timeout": 3600}
LIMITED_MANY: Object = {**LIMITED, "name": "limited_many"}
NOTED_MANY: Object = {**NOTED, "name": "noted_many"}
SETS = (LIMITED, NOTED, LIMITED_MANY, NOTED_MANY)
# A number, as nft prints it when asked for numbers (-n): a rule compares equal to what was sent.
_TCP = match({"meta": {"key": "l4proto"}}, 6)
_RESET: Object = {"reject": {"type": "tcp reset"}}


def rules(evidence: Mapping[str, Object]) -> list[tuple[str, list[Object]]]:
    """Return chain and expressions of each rule, in order.

    evidence
        By the set that holds the notes, one for each IP version: the parts of a packet that are noted.
    """
    # What a session that is cut still sends is no refusal: nobody has tried anything.
    result: list[tuple[str, list[Object]]] = [(OWNED, [_TCP, ESTABLISHED, _RESET])]
    many = match({"meta": {"key": "skuid"}}, {"range": [guard.FIRST_OF_MANY, 2**32 - 1]})
    result.append((OWNED, [many, {"goto": {"target": MANY}}]))
    together = limit(guard.MANY_NOTED_RATE, guard.MANY_NOTED_BURST)
    for chain, owner_set, limits in ((OWNED, NOTED, []), (MANY, NOTED_MANY, [together])):
        limits = [_limit_of_owner(owner_set, guard.NOTED_RATE, guard.NOTED_BURST), *limits]
        # To look up what is noted already counts it, however often it is tried, and uses up no limit.
        result += [(chain, [match(key, f"@{name}")]) for name, key in evidence.items()]
        result += [(chain, [match(key, f"@{name}", "!="), *limits, _note(key, name)]) for name, key in evidence.items()]
    total = limit(guard.TOTAL_RATE, guard.TOTAL_BURST)
    nobodys = [limit(guard.OWNERLESS_RATE, guard.OWNERLESS_BURST)]
    for chain, limits, rule in (
        (OWNED, [_limit_of_owner(LIMITED, guard.OWNER_RATE, guard.OWNER_BURST), total], guard.OUTPUT),
        (MANY, [_limit_of_owner(LIMITED_MANY, guard.OWNER_RATE, guard.OWNER_BURST), total], guard.OUTPUT),
        (OWNERLESS, nobodys, guard.OUTPUT),
        (FORWARDED, nobodys, guard.FORWARD),
    ):
        result.append((chain, [*limits, log(rule)]))
        result.append((chain, [_TCP, _RESET]))
    return result


def _note(key: Object, name: str) -> Object:
    return {"set": {"op": "update", "elem": key, "set": f"@{name}"}}


def _limit_of_owner(owner_set: Object, rate: int, burst: int) -> Object:
    """Return the expression that ends a rule for an owner's packets above a rate.

    owner_set
        The set that holds the limit of each owner.

    rate
        Packets a minute.
    """
    owner = {"op": "update", "elem": {"meta": {"key": "skuid"}}, "set": f"@{owner_set['name']}"}
    return {"set": {**owner, "stmt": [limit(rate, burst)]}}


def limit(rate: int, burst: int) -> Object:
    """Return the expression that ends a rule for packets above a rate.

    rate
        Packets a minute.
    """
    return {"limit": {"rate": rate, "burst": burst, "per": "minute"}}


def log(rule: str) -> Object:
    """Return the expression that logs a packet with its owner and the rule that refused it."""
    return {"log": {"prefix": guard.LOG_PREFIXES[rule], "level": "info", "flags": "skuid"}}
