"""iptables rules for refused packets: report and log them within limits, then reset the connection.

No match of iptables counts by UID: hashlimit knows addresses and ports only. So each user with a grant here has a rule
with a limit of their own. All other users share one limit, and the UIDs of which one user may have many share another.
"""

from __future__ import annotations

from spicegrants.firewall import guard
from spicegrants.policy.compiler import DesiredState

DENY, FORWARDED, LOG = "SPICE-GRANT-DENY", "SPICE-GRANT-DENY-FWD", "SPICE-GRANT-LOG"
# Whatever was opened by a process. "--socket-exists" says more: the kernel's own socket has no owner, and sends resets.
OWNED = ("-m", "owner", "--uid-owner", f"0-{2**32 - 2}")
# By one of many owners that may be the same user.
_MANY = ("-m", "owner", "--uid-owner", f"{guard.FIRST_OF_MANY}-{2**32 - 2}")
# Where refusals are told to whoever listens: netlink group of the NFLOG target.
NFLOG_GROUP = 20002

_ESTABLISHED = ("-m", "conntrack", "--ctstate", "ESTABLISHED")

Words = tuple[str, ...]


def chains() -> dict[str, list[Words]]:
    """Return the words of the rules by chain, without the rules that limit the log by user."""
    reset = ("-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
    to_nflog = ("-j", "NFLOG", "--nflog-group", f"{NFLOG_GROUP}", "--nflog-size", "64")
    forwarded = _logged(guard.FORWARD, guard.OWNERLESS_RATE, guard.OWNERLESS_BURST)
    # The end of a session that is cut, sent while its socket still has an owner: the server is to know at once. What
    # else such a session sends is no refusal: nobody has tried anything.
    ending = ("-p", "tcp", "-m", "tcp", "--tcp-flags", "RST", "RST", *_ESTABLISHED, "-j", "RETURN")
    ended = ("-p", "tcp", *_ESTABLISHED, "-j", "REJECT", "--reject-with", "tcp-reset")
    return {DENY: [ending, ended, to_nflog, ("-j", LOG), reset], FORWARDED: [forwarded, reset]}


def limits(desired: DesiredState) -> list[Words]:
    """Return the words of the log rules: one limit for each user who has a grant, locked or not, and shared limits."""
    own = guard.OUTPUT, guard.OWNER_RATE, guard.OWNER_BURST
    shared = guard.OUTPUT, guard.OWNERLESS_RATE, guard.OWNERLESS_BURST
    words = []
    for uid in sorted({access.uid for access in (*desired.accesses, *(access for access, _ in desired.locked))}):
        owner = ("-m", "owner", "--uid-owner", f"{uid}")
        words += [(*owner, *_logged(*own)), (*owner, "-j", "RETURN")]
    for owner in (_MANY, OWNED):
        words += [(*owner, *_logged(*shared)), (*owner, "-j", "RETURN")]
    return [*words, _logged(*shared)]


def _logged(rule: str, rate: int, burst: int) -> Words:
    limit = ("-m", "limit", "--limit", f"{rate}/min", "--limit-burst", f"{burst}")
    return (*limit, "-j", "LOG", "--log-prefix", guard.LOG_PREFIXES[rule], "--log-level", "6", "--log-uid")
