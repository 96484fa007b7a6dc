"""A user without a grant sends the first data with the very first packet (TCP Fast Open)."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "fails"
STOPPED_BY = "firewall: every packet is compared, the first one as well"
BACKENDS = ("nftables", "iptables")
# 34 is TCP_FASTOPEN_NO_COOKIE. What is sent is how a TLS client greets; what comes is the server's answer to that.
REACH = """
greeting = ssl.MemoryBIO()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    context.wrap_bio(ssl.MemoryBIO(), greeting).do_handshake()
except ssl.SSLWantReadError:
    pass
with socket.socket() as sock:
    sock.settimeout(2)
    sock.setsockopt(socket.IPPROTO_TCP, 34, 1)
    sock.sendto(greeting.read(), socket.MSG_FASTOPEN, (sys.argv[1], int(sys.argv[2])))
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    print("answered, and took data with the first packet" if sock.recv(1) and info[5] & 32 else "")
"""


def attack(client):
    return client.python(REACH, ADDRESS, PORTS["leaptest"], user="visitor")
