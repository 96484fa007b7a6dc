"""A user without a grant hides an attempt from the log, by another user who tries all the time."""

import kernellog
from attacks.clients import PORTS, USERS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the log's limit is each user's own, and a line names whoever tries"
BACKENDS = ("nftables", "iptables")
FLOOD = """
for _ in range(2000):
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((sys.argv[1], int(sys.argv[2])))
        if _ == 200:
            print("flooding", flush=True)
"""
TRY = """
with socket.socket() as sock:
    sock.bind(("", int(sys.argv[1])))
    sock.settimeout(1)
    sock.connect_ex((sys.argv[2], int(sys.argv[3])))
"""


def attack(client):
    log = client.used.enter_context(kernellog.followed())
    (source,) = log.ports(1)
    client.start(FLOOD, ADDRESS, PORTS["debianx"], user="mybro")
    client.python(TRY, source, ADDRESS, PORTS["debianx"], user="visitor")
    named = [line for line in log.lines(source) if f"UID={USERS['visitor']} " in line]
    return "" if named else "no line names visitor"
