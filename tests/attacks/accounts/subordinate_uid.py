"""A user without a grant has a granted user's UID among their subordinate ones (`/etc/subuid`), and takes it."""

from attacks.clients import PORTS, USERS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key"
BACKENDS = ("nftables", "iptables")
# In a new user namespace, once that UID is root's there: to the kernel outside it is the granted user's.
ASK = """
import ctypes
if ctypes.CDLL(None).unshare(0x10000000):
    raise PermissionError("no user namespace")
print(os.getpid(), flush=True)
sys.stdin.readline()
os.setresuid(0, 0, 0)
print(reach(*sys.argv[1:]), flush=True)
"""


def site(client):
    before = client.machine.read("/etc/subuid")
    client.machine.write("/etc/subuid", f"visitor:{USERS['mybro']}:1\n")
    client.used.callback(client.machine.write, "/etc/subuid", before)


def attack(client):
    program = client.start(ASK, ADDRESS, PORTS["leaptest"], user="visitor")
    # What newuidmap(1), a set-UID program, does for the user: it goes by that file.
    client.root("sh", "-c", f"echo 0 {USERS['mybro']} 1 >/proc/{program.first_line}/uid_map")
    return program.tell()
