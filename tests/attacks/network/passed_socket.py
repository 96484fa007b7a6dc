"""A granted user connects with a program other than the viewer, and hands the socket to a user without a grant."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key, and a socket stays its maker's"
BACKENDS = ("nftables", "iptables")
PLACE = "passed"  # the name of an abstract socket: everybody may connect
TAKE = """
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("\\0" + sys.argv[1])
    listener.listen()
    print("listening", flush=True)
    taken = socket.recv_fds(listener.accept()[0], 1, 1)[1][0]
    print(ask(secured(socket.socket(fileno=taken))), flush=True)
"""
GIVE = """
with socket.socket(socket.AF_UNIX) as near, connected(*sys.argv[2:]) as far:
    near.connect("\\0" + sys.argv[1])
    socket.send_fds(near, [b"x"], [far.fileno()])
    print("given")
"""


def attack(client):
    taker = client.start(TAKE, PLACE, user="visitor")
    if client.python(GIVE, PLACE, ADDRESS, PORTS["debianx"], user="myself") != "given":
        return ""
    return taker.hear()
