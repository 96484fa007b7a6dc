"""A user hides another's attempt from the log, by a hundred subordinate UIDs of their own (`/etc/subuid`)."""

import kernellog
from attacks.clients import PORTS, USERS
from attacks.network.log_flood import TRY
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: UIDs of which a user may have many have a limit of their own together"
BACKENDS = ("nftables", "iptables")
# In a user namespace of their own, where the user has those UIDs: each tries more often than is logged of one.
FLOOD = """
import ctypes
if ctypes.CDLL(None).unshare(0x10000000):
    raise PermissionError("no user namespace")
print(os.getpid(), flush=True)
sys.stdin.readline()
for uid in range(100):
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        for _ in range(40):
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((sys.argv[1], int(sys.argv[2])))
        os._exit(0)
    os.waitpid(child, 0)
print("flooded", flush=True)
"""


def attack(client):
    log = client.used.enter_context(kernellog.followed())
    (source,) = log.ports(1)
    program = client.start(FLOOD, ADDRESS, PORTS["debianx"], user="mybro")
    # What newuidmap(1), a set-UID program, does for the user: useradd(8) gives each new account such a range.
    client.root("sh", "-c", f"echo 0 100000 65536 >/proc/{program.first_line}/uid_map")
    program.tell()
    client.python(TRY, source, ADDRESS, PORTS["debianx"], user="visitor")
    named = [line for line in log.lines(source) if f"UID={USERS['visitor']} " in line]
    return "" if named else "no line names visitor"
