"""A user without a grant reaches the server by an address that it has by itself and nobody declared."""

import json

from attacks.clients import PORTS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the ports are guarded towards every address"
BACKENDS = ("nftables", "iptables")


def attack(client):
    (shown,) = json.loads(client.server.run(["ip", "-j", "-6", "address", "show", "eth0", "scope", "link"]).stdout)
    (address,) = [entry["local"] for entry in shown["addr_info"] if entry]
    return client.reach("visitor", f"{address}%eth0", PORTS["leaptest"])
