"""A granted user opens the granted console with a program other than the viewer, which can do anything with it."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("myself", ADDRESS, PORTS["debianx"])
