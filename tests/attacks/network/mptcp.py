"""A user without a grant connects by Multipath TCP, whose flows are sockets that the kernel makes."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: a flow is attributed to who made the connection, and there is no grant for that UID"
BACKENDS = ("nftables", "iptables")
REACH = """
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as flow:
    flow.settimeout(2)
    flow.connect((sys.argv[1], int(sys.argv[2])))
    print(ask(secured(flow)))
"""


def attack(client):
    return client.python(REACH, ADDRESS, PORTS["leaptest"], user="visitor")
