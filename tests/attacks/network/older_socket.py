"""A user without a grant connects before the protection is there, and uses the connection afterwards."""

from attacks.clients import LATER, PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: every packet needs a grant, and the run ends what has none"
BACKENDS = ("nftables", "iptables")


def site(client):
    # As on any workstation with a firewall: connections are followed already.
    client.nft("inet site", "chain in { type filter hook input priority 0; ct state established,related accept; }")


def attack(client):
    client.expose()
    early = client.start(LATER, ADDRESS, PORTS["leaptest"], user="visitor")
    client.protect()
    return early.tell()
