"""A user without a grant makes a namespace in which their UID is that of a granted user."""

from attacks.clients import PORTS, USERS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: the kernel compares the UID that the user has outside"
BACKENDS = ("nftables", "iptables")
NEEDS = ("unshare",)


def attack(client):
    disguise = ["unshare", "--user", f"--map-user={USERS['mybro']}"]
    ask = "assert os.getuid() == int(sys.argv[1]); print(reach(*sys.argv[2:]))"
    return client.python(ask, USERS["mybro"], ADDRESS, PORTS["leaptest"], user="visitor", by=disguise)
