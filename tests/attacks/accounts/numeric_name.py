"""An account has for its name the UID of a granted user, which iptables takes for the name (`--uid-owner 1021`)."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: rules are loaded with a number that is nobody's name; and the viewer's group is part of the key"
BACKENDS = ("nftables", "iptables")
NAME, UID = "1021", 1105


def attack(client):
    client.root("useradd", "--badname", "--uid", str(UID), NAME, undo=["userdel", NAME])
    client.load()
    return client.reach(NAME, ADDRESS, PORTS["debianx"])
