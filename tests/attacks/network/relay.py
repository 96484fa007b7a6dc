"""A granted user lets a user without a grant in, by a forwarder of their own on the workstation."""

from attacks.clients import PORTS, RELAY
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key, and only the viewer has it"
BACKENDS = ("nftables", "iptables")


def attack(client):
    client.start(RELAY, 7000, ADDRESS, PORTS["debianx"], user="myself")
    return client.reach("visitor", "127.0.0.1", 7000)
