"""A blocklist of a hundred thousand networks, as many sites load one: the kernel is asked about one address."""

import json
import sys

import pytest

from coexistence.rulesets import GID, PORT, UID
from scene import Machine, need
from scene.machine import CHECKOUT

COUNT = 100_000
# Says what stands in the way of some addresses; nobody may ask for all that a set holds.
SAY = """
import json, sys
sys.path.insert(0, sys.argv[1])
from spicegrants.firewall.live import nft, other_tables
nft.elements = lambda *place: sys.exit("all of a set was asked for")
tables = other_tables.read()
uid, gid, port = map(int, sys.argv[2:5])
found = {address: other_tables.obstacles(tables, uid, gid, address, port) for address in sys.argv[5:]}
print(json.dumps({address: [[str(each), each.certain] for each in met] for address, met in found.items()}))
"""
RULES = """
table inet blocklist {
  set networks { type ipv4_addr; flags interval; elements = { %s }
  }
  set networks6 { type ipv6_addr; flags interval; elements = { 2001:db8::/32 }
  }
  chain out {
    type filter hook output priority 0;
    ip daddr @networks drop
    ip6 daddr @networks6 drop
  }
}
"""


@pytest.fixture(scope="module")
def machine():
    need("nft")
    networks = (f"{11 + n // 65536}.{n // 256 % 256}.{n % 256}.0/25" for n in range(COUNT))
    with Machine("client") as client:
        client.run(["nft", "-f", "-"], input=RULES % ", ".join(networks))
        yield client


def test_one_address_is_asked_about(machine):
    """Whether a network holds it, to the last address of it."""
    addresses = ["11.0.0.0", "11.0.0.127", "11.0.0.128", "192.168.2.2", "2001:db8::1", "2001:db9::1"]
    command = [sys.executable, "-I", "-S", "-c", SAY, str(CHECKOUT / "_utils"), *map(str, (UID, GID, PORT))]
    answer = json.loads(machine.run([*command, *addresses]).stdout)
    stopped = [address for address in addresses if answer[address]]
    assert stopped == ["11.0.0.0", "11.0.0.127", "2001:db8::1"]
    assert all(certain for met in answer.values() for _, certain in met)
