"""A user who is in when the grant is taken away goes on."""

from attacks.clients import LATER, PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: every packet needs a grant, and the run ends what has none"
BACKENDS = ("nftables", "iptables")


def attack(client):
    session = client.start(LATER, ADDRESS, PORTS["debianx"], user="myself", group=client.group)
    assert session.first_line == "connected"
    client.revoke("myself")
    return session.tell()
