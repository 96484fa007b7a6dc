"""A user without a grant asks a daemon of root's that forwards for everybody, as a proxy does."""

from attacks.clients import PORTS, RELAY
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: root has no grant either"
BACKENDS = ("nftables", "iptables")


def site(client):
    client.start(RELAY, 3128, ADDRESS, PORTS["leaptest"])


def attack(client):
    return client.reach("visitor", "127.0.0.1", 3128)
