"""A user without a grant connects to where an FTP server has just said that data may be had."""

from attacks.clients import PORTS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "firewall: there is no rule for what is established or related, every packet needs a grant"
BACKENDS = ("nftables", "iptables")
FTP = """
with socket.create_server(("", 21)) as listener:
    print("listening", flush=True)
    with listener.accept()[0] as control:
        control.sendall(b"220 ready\\r\\n")
        control.recv(64)
        place = ",".join(sys.argv[1].split(".") + [str(part) for part in divmod(int(sys.argv[2]), 256)])
        control.sendall(f"227 Entering Passive Mode ({place})\\r\\n".encode())
        control.recv(64)
"""
REACH = """
with connected(sys.argv[1], 21) as control:
    control.recv(64)
    control.sendall(b"PASV\\r\\n")
    assert b"227" in control.recv(64)
    print(reach(*sys.argv[1:]))
"""


def site(client):
    helper = 'ct helper ftp { type "ftp" protocol tcp; }'
    client.nft(
        "ip site", f'{helper}\nchain out {{ type filter hook output priority 0; tcp dport 21 ct helper set "ftp"; }}'
    )


def attack(client):
    client.allow("OUTPUT", "-p", "tcp", "--dport", "21")
    client.start(FTP, ADDRESS, PORTS["leaptest"], machine=client.server)
    return client.python(REACH, ADDRESS, PORTS["leaptest"], user="visitor")
