"""A user without a grant opens a console with a program other than the viewer."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: there is no grant for that UID"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("visitor", ADDRESS, PORTS["leaptest"])
