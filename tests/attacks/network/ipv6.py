"""A user without a grant reaches the server by its IPv6 address."""

from attacks.clients import PORTS
from scenes import ADDRESS6

RECIPE = "succeeds"
STOPPED_BY = "firewall: the ports are guarded for both IP versions"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("visitor", ADDRESS6, PORTS["leaptest"])
