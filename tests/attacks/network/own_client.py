"""A granted user opens his own console with a program of his own, which does with it what he likes."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("myself", ADDRESS, PORTS["debianx"])
