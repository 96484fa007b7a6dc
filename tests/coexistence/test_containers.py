"""Containers and virtual machines behind the workstation, with the rules that their programs make.

A guest reaches the network through the workstation, and never a guarded port; no rule of its program is touched.
"""

import json
import re
import sys
from dataclasses import dataclass

import pytest
from functional.office import OUTSIDE, PORTS, Office

from coexistence.conftest import PROGRAMS
from scene import Machine, connect, need
from scenes import ADDRESS, GROUP

CONNECT = """
import json, socket, sys
answers = {}
for port in json.loads(sys.argv[2]):
    with socket.socket() as connection:
        connection.settimeout(3)
        code = connection.connect_ex((sys.argv[1], port))
        answers[port] = "open" if code == 0 and connection.recv(16) else code
print(json.dumps(answers))
"""
# Two of each: some that are guarded, and some that are not.
TRIED = (20002, 20004, *OUTSIDE[:2])


@dataclass(frozen=True)
class Program:
    """What makes guests: its bridge, network, and its rules as it makes them with iptables."""

    bridge: str
    network: str
    rules: str


# Docker, with one container whose port 80 is published as 8080.
DOCKER = """
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"""
# Podman's netavark.
PODMAN = """
*nat
:NETAVARK-1D8721804F16F - [0:0]
-A POSTROUTING -s 10.88.0.0/16 -j NETAVARK-1D8721804F16F
-A NETAVARK-1D8721804F16F -d 10.88.0.0/16 -j ACCEPT
-A NETAVARK-1D8721804F16F ! -d 224.0.0.0/4 -j MASQUERADE
COMMIT
*filter
:NETAVARK_FORWARD - [0:0]
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -d 10.88.0.0/16 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s 10.88.0.0/16 -j ACCEPT
COMMIT
"""
# The network 'default' of libvirt.
LIBVIRT = """
*nat
:LIBVIRT_PRT - [0:0]
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 255.255.255.255/32 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p udp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
COMMIT
*mangle
:LIBVIRT_PRT - [0:0]
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
*filter
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
:LIBVIRT_INP - [0:0]
:LIBVIRT_OUT - [0:0]
-A INPUT -j LIBVIRT_INP
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A OUTPUT -j LIBVIRT_OUT
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
-A LIBVIRT_OUT -o virbr0 -p udp -m udp --dport 53 -j ACCEPT
COMMIT
"""
MAKERS = {
    "docker": Program("docker0", "172.17.0", DOCKER),
    "podman": Program("podman0", "10.88.0", PODMAN),
    "libvirt": Program("virbr0", "192.168.122", LIBVIRT),
}


class Host:
    """An office whose workstation has a bridge with a guest on it, and the rules of the guest's program."""

    def __init__(self, office, guest, maker, variant):
        self.office, self.guest, self.variant = office, guest, variant
        client, bridge, network = office.client, maker.bridge, maker.network
        link = connect(client, guest, [], [f"{network}.2/24"])
        client.run(["ip", "link", "add", bridge, "type", "bridge"])
        client.run(["ip", "link", "set", link.a_dev, "master", bridge])
        client.run(["ip", "address", "add", f"{network}.1/24", "dev", bridge])
        client.run(["ip", "link", "set", bridge, "up"])
        guest.run(["ip", "route", "add", "default", "via", f"{network}.1"])
        client.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        # As these programs do: what others have in the tables stays.
        client.run([f"iptables-{variant}-restore", "--noflush"], input=maker.rules)

    def reached(self):
        """What the guest reaches of the server's ports."""
        command = [sys.executable, "-I", "-S", "-c", CONNECT, ADDRESS, json.dumps(TRIED)]
        answers = json.loads(self.guest.run(command).stdout)
        return {int(port) for port, word in answers.items() if word == "open"}

    def rules(self):
        """All rules but ours, to the byte; counters of policies and the time of day are left out."""
        saved = self.office.client.run([f"iptables-{self.variant}-save"]).stdout
        return re.sub(r"^#.*\n|\[\d+:\d+\]|^.*SPICE-GRANT.*\n", "", saved, flags=re.MULTILINE)


@pytest.mark.turns(2)
@pytest.mark.parametrize(
    ("maker", "variant", "mechanism"),
    [
        *((maker, variant, "nftables") for maker in MAKERS for variant in ("nft", "legacy")),
        ("docker", "nft", "iptables-nft"),
        ("libvirt", "legacy", "iptables-legacy"),
    ],
)
def test_guests_and_the_guard(maker, variant, mechanism):
    """Before, during and after; the guest's program sees its rules as it left them."""
    need(*PROGRAMS)
    with Office(mechanism=mechanism) as office, Machine("guest") as guest:
        host = Host(office, guest, MAKERS[maker], variant)
        rules = host.rules()
        assert all(line in rules for line in MAKERS[maker].rules.splitlines() if line.startswith("-A"))
        assert host.reached() == set(TRIED)

        office.applied()
        assert host.reached() == set(TRIED) - set(PORTS)
        assert office.reach("myself", GROUP, ADDRESS, 20002) == "open"
        assert host.rules() == rules
        assert office.applied()["changes"] == {}
        assert host.rules() == rules

        assert office.single("removed", name="spice")["result"] is True
        assert host.rules() == rules
        assert host.reached() == set(TRIED)


@pytest.mark.parametrize(
    ("variant", "mechanism"),
    [("nft", "nftables"), ("legacy", "nftables"), ("nft", "iptables-nft"), ("legacy", "iptables-legacy")],
)
def test_a_program_that_starts_after_the_guard(variant, mechanism):
    """Its rules come later, and its accepts overrule nothing."""
    need(*PROGRAMS)
    with Office(mechanism=mechanism) as office, Machine("guest") as guest:
        office.applied()
        host = Host(office, guest, MAKERS["docker"], variant)
        assert host.reached() == set(TRIED) - set(PORTS)
        assert office.applied()["changes"] == {}
