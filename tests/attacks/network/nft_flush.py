"""A user without a grant tries after all rules were flushed, as a reload of nftables.service begins."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "routing: the way to a guarded port leads nowhere without a grant"
BACKENDS = ("nftables", "iptables")


def site(client):
    client.site["routing"] = {"enabled": True}


def attack(client):
    client.root("nft", "flush", "ruleset")
    return client.reach("visitor", ADDRESS, PORTS["leaptest"])
