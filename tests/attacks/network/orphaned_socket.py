"""A user without a grant is in, and closes with much left to send, slowly, before the protection is there."""

import re
import time

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the run ends what has no grant, also what only the kernel still sends"
BACKENDS = ("nftables", "iptables")
# A long greeting, a byte a record, at 5 kB a second: it takes twenty seconds, nearly all of it sent by the kernel.
LEAVE = """
sock = connected(*sys.argv[1:])
secure = secured(sock)
secure.settimeout(0.3)
try:
    secure.recv(1)  # what is left unread would end the connection
except TimeoutError:
    secure.settimeout(10)
secure.setsockopt(socket.SOL_SOCKET, 47, 5000)  # SO_MAX_PACING_RATE
secure.sendall(struct.pack("<4sIII", b"REDQ", 2, 2, 4096))
for _ in range(4000):
    secure.sendall(b"x")
secure.close()
print("left", flush=True)
"""


def site(client):
    # As on any workstation with a firewall: connections are followed already.
    client.nft("inet site", "chain in { type filter hook input priority 0; ct state established,related accept; }")


def attack(client):
    client.expose()
    assert client.python(LEAVE, ADDRESS, PORTS["leaptest"], user="visitor") == "left"
    client.protect()
    before, deadline = _received(client), time.monotonic() + 5
    while (more := _received(client) - before) == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    return more


def _received(client):
    """Bytes that the console has had from connections that are open."""
    output = client.server.run(["ss", "-Htin", "sport", "=", f":{PORTS['leaptest']}"]).stdout
    return sum(map(int, re.findall(r"bytes_received:(\d+)", output)))
