"""A user without a grant reaches the server's IPv4 address by an IPv6 socket (`::ffff:192.168.2.2`)."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: what leaves is an IPv4 packet, and there is no grant for that UID"
BACKENDS = ("nftables", "iptables")


def attack(client):
    return client.reach("visitor", f"::ffff:{ADDRESS}", PORTS["leaptest"])
