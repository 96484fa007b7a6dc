"""An account has for its name the UID of a granted user, which iptables takes for the name (`--uid-owner 1021`)."""

from attacks.clients import ADDRESS, PORTS

RECIPE = "succeeds"
STOPPED_BY = "firewall: rules are given to the kernel by number"
NAME, UID = "1021", 1105


def attack(client):
    client.root("useradd", "--badname", "--uid", str(UID), NAME, undo=["userdel", NAME])
    client.load()
    # As if he had the viewer's group, where that counts.
    return client.reach(NAME, ADDRESS, PORTS["debianx"], group=client.group)
