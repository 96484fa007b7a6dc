"""Routes as a guard of their own: what they hold when netfilter holds nothing any more."""

from functional.office import ADDRESS, ADDRESS6, BOTH, GROUP, PORTS, SECOND_ADDRESS, UIDS, article
from functional.routed import granted, reached

PILLAR = article(BOTH)
MECHANISMS = ("nftables", "iptables-nft")
EVERYWHERE = [(address, port) for address in (ADDRESS, SECOND_ADDRESS, ADDRESS6) for port in PORTS]
OPEN = granted(*((user, address, port) for user, port in (("myself", 20002), ("mybro", 20004)) for address in BOTH))


def flush(office):
    """Take all of netfilter away, as a script of the site's may."""
    office.client.run(["nft", "flush", "ruleset"])


def openings(office, **kw):
    """Whoever reaches a guarded port."""
    return reached(office.client, UIDS, EVERYWHERE, groups=(None, GROUP), **kw)


def test_without_netfilter_only_the_granted_connect(shared):
    flush(shared)
    assert openings(shared) == OPEN
