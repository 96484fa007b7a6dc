"""A user without a grant connects to another address and port, which a rule of root's translates to a console's."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: what is compared is the address and port after translation"
BACKENDS = ("nftables", "iptables")
ALIAS = "192.168.2.99"


def site(client):
    target = f"{ADDRESS}:{PORTS['leaptest']}"
    client.nft(
        "ip site",
        f"chain out {{ type nat hook output priority -100; ip daddr {ALIAS} tcp dport 443 dnat to {target}; }}",
    )


def attack(client):
    return client.reach("visitor", ALIAS, 443)
