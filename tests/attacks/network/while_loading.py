"""A user without a grant tries all the time while the rules are loaded anew."""

import time

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: new rules take the place of the old ones at one blow"
BACKENDS = ("nftables", "iptables")
# Says at the end how often it came through.
HAMMER = """
import select
print("trying", flush=True)
through = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.socket() as sock:
        sock.settimeout(0.01)
        through += sock.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0
print(through, flush=True)
"""


def attack(client):
    hammer = client.start(HAMMER, ADDRESS, PORTS["leaptest"], user="visitor")
    for _ in range(5):
        client.load()
        time.sleep(0.1)
    return int(hammer.tell())
