"""A user without a grant connects before the protection is there, and uses the connection afterwards."""

from attacks.clients import ADDRESS, PORTS

RECIPE = "succeeds"
STOPPED_BY = "firewall: every packet needs a grant, and the run ends what has none"
BACKENDS = ("nftables", "iptables")
EARLY = """
secure = secured(connected(*sys.argv[1:]))
print("connected", flush=True)
sys.stdin.readline()
print(ask(secure), flush=True)
"""


def site(client):
    # As on any workstation with a firewall: connections are followed already.
    client.nft("inet site", "chain in { type filter hook input priority 0; ct state established,related accept; }")


def attack(client):
    client.expose()
    early = client.start(EARLY, ADDRESS, PORTS["leaptest"], user="visitor")
    client.protect()
    return early.tell()
