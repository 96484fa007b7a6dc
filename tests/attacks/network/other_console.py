"""A granted user opens another user's console, at another port of the server, with a program other than the viewer."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: UID, address and port are one key"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("myself", ADDRESS, PORTS["leaptest"])
