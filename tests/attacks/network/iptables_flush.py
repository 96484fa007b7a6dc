"""A user without a grant tries after iptables was flushed, as when the service of a firewall is stopped."""

from attacks.clients import BUILT_IN, PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: its table is not iptables'; where it is, the one at the network card is not"
BACKENDS = ("nftables", "iptables")


def attack(client):
    for program in ("iptables", "ip6tables"):
        for chain in BUILT_IN:
            client.root(program, "-P", chain, "ACCEPT")
        client.root(program, "-F")
        client.root(program, "-X")
    return client.reach("visitor", ADDRESS, PORTS["leaptest"])
