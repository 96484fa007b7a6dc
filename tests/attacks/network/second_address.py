"""A granted user reaches another user's console by a further address of the server, which nobody declared."""

from attacks.clients import PORTS
from scenes import SECOND_ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: the ports are guarded towards every address"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("myself", SECOND_ADDRESS, PORTS["leaptest"])
