"""A user without a grant opens a console from a rootless container, whose network is slirp4netns."""

import subprocess

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: slirp4netns connects as that user, and there is no grant for that UID"
BACKENDS = ("nftables", "iptables")
NEEDS = ("slirp4netns", "unshare")
# Prints its number, and connects once there is a network.
INSIDE = """
print(os.getpid(), flush=True)
for _ in range(100):
    try:
        print(reach(*sys.argv[1:]), flush=True)
        break
    except OSError as error:
        if error.errno != errno.ENETUNREACH:
            raise
        time.sleep(0.1)
"""


def attack(client):
    container = ["unshare", "--user", "--map-root-user", "--net"]
    inside = client.start(INSIDE, ADDRESS, PORTS["leaptest"], user="visitor", by=container)
    network = ["slirp4netns", "--configure", inside.first_line, "tap0"]
    process = client.machine.popen(network, user="visitor", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client.used.callback(process.kill_tree)
    return inside.hear()
