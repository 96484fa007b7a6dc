"""A user without a grant tries after all rules were flushed, by a socket that is bound to the network card."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "routing: the way to a guarded port leads nowhere without a grant, by that card as well"
BACKENDS = ("nftables", "iptables")
REACH = """
with socket.socket() as sock:
    sock.settimeout(2)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.connect((sys.argv[1], int(sys.argv[2])))
    print(ask(secured(sock)))
"""


def site(client):
    client.site["routing"] = {"enabled": True}


def attack(client):
    client.root("nft", "flush", "ruleset")
    return client.python(REACH, ADDRESS, PORTS["leaptest"], user="visitor")
