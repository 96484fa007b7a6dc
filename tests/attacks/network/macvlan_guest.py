"""Whoever is in a container or virtual machine on a macvlan of the workstation's network card opens a console."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: what leaves by the network card and is not the workstation's own is guarded at the card"
BACKENDS = ("nftables", "iptables")


def site(client):
    client.lend_device("link", "eth0", "name", "eth0", "type", "macvlan", "mode", "bridge")
    client.guest().run(["ip", "address", "add", "192.168.2.50/24", "dev", "eth0"])
    client.guest().run(["ip", "link", "set", "eth0", "up"])


def attack(client):
    return client.reach("root", ADDRESS, PORTS["leaptest"], machine=client.guest())
