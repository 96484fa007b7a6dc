"""Whoever is in a container, which the workstation masquerades, opens a console."""

from attacks.clients import PORTS
from scene import connect
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: forwarded connections are guarded as well"
BACKENDS = ("nftables", "iptables")


def site(client):
    connect(client.machine, client.guest(), ["172.17.0.1/16"], ["172.17.0.2/16"])
    client.guest().run(["ip", "route", "add", "default", "via", "172.17.0.1"])
    client.root("sysctl", "-qw", "net.ipv4.ip_forward=1")
    client.nft("ip site", "chain post { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 masquerade; }")


def attack(client):
    client.allow("FORWARD", "!", "-i", "eth0")  # as the containers' own program does when it starts
    return client.reach("root", ADDRESS, PORTS["leaptest"], machine=client.guest())
