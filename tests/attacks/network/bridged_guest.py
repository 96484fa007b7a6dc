"""Whoever is in a virtual machine on a bridge with the workstation's network card opens a console."""

from attacks.clients import PORTS
from scene import connect
from scenes import ADDRESS, OWN_ADDRESS, OWN_ADDRESS6

RECIPE = "succeeds"
STOPPED_BY = "firewall: what leaves by the network card and is not the workstation's own is guarded at the card"
BACKENDS = ("nftables", "iptables")
BRIDGE, CARD = "br0", "eth0"


def site(client):
    link = connect(client.machine, client.guest(), [], ["192.168.2.51/24"])
    _move(client, CARD, BRIDGE, ["link add br0 type bridge", "link set eth0 master br0", "link set br0 up"])
    client.root("ip", "link", "set", link.a_dev, "master", BRIDGE)
    # As it is where nothing has loaded br_netfilter.
    for switch in ("iptables", "ip6tables"):
        client.root("sysctl", "-qw", f"net.bridge.bridge-nf-call-{switch}=0")
    # This card is one end of a cable to another namespace, as those are behind which guests are.
    client.site["firewall"] = {"uplinks": [CARD]}
    client.used.callback(_move, client, BRIDGE, CARD, ["link delete br0"])


def _move(client, source, target, changes):
    lines = [f"address flush dev {source} scope global", *changes]
    lines += [f"address add {OWN_ADDRESS}/24 dev {target}", f"address add {OWN_ADDRESS6}/64 dev {target} nodad"]
    client.root("ip", "-batch", "-", input="\n".join(lines) + "\n")
    client.device = target


def attack(client):
    return client.reach("root", ADDRESS, PORTS["leaptest"], machine=client.guest())
