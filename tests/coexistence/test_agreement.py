"""What is said of other firewalls' chains, and what the kernel really does: random rulesets, real connections."""

import json
import sys

import pytest

from coexistence import rulesets
from coexistence.rulesets import ADDRESSES, ELSEWHERE, GID, PORT, UID
from scene import Listener, Machine, connect, need
from scene.machine import CHECKOUT

# Loads rules, connects as the user, and counts the packets that leave: none of a connection that was dropped. They are
# counted behind all hooks of IP, before connect() returns, so that nothing has to be waited for.
TRY = """
import json, os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from spicegrants.firewall.live import other_tables

COUNTER = '''table netdev trial {
chain sent {
type filter hook egress device eth0 priority 0;
tcp flags & (syn|ack) == syn counter
}
}'''

def run(command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True)

def sent():
    listed = json.loads(run(["nft", "-j", "list", "table", "netdev", "trial"]).stdout)["nftables"]
    (rule,) = [entry["rule"] for entry in listed if "rule" in entry]
    return rule["expr"][-1]["counter"]["packets"]

def attempt(version, address, port, uid, gid):
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        connection = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
        connection.setblocking(False)
        connection.connect_ex((address, port))
        os._exit(0)
    os.waitpid(child, 0)

EMPTY = "".join(f"*{table}\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n" for table in ("raw", "mangle", "filter"))
for line in sys.stdin:
    program, text, version, *packet = json.loads(line)
    answer = {"refused": ""}
    run(["nft", "flush", "ruleset"])
    run(["nft", "-f", "-"], COUNTER)
    loaded = run(program, text)
    if loaded.returncode:
        answer["refused"] = loaded.stderr
    else:
        found = other_tables.obstacles(other_tables.read(), packet[2], packet[3], *packet[:2])
        answer["obstacles"] = [[str(obstacle), obstacle.certain] for obstacle in found]
        before = sent()
        attempt(version, *packet)
        answer["left"] = sent() - before
    if "legacy" in program[0]:
        run(program, EMPTY)
    print(json.dumps(answer), flush=True)
"""
COUNT = 50


@pytest.fixture(scope="module")
def machine():
    """A client with a cable, and neighbours that are known: nothing but the rules holds a packet back."""
    need("nft", "ip", "iptables-legacy", "iptables-nft")
    with Machine("client") as client, Machine("server") as server:
        link = connect(client, server, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        address = json.loads(server.run(["ip", "-json", "link", "show", link.b_dev]).stdout)[0]["address"]
        for to in (*ADDRESSES.values(), ELSEWHERE):
            client.run(["ip", "neighbour", "replace", to, "lladdr", address, "dev", link.a_dev, "nud", "permanent"])
        with Listener(server, [PORT]):
            yield client


def answers(machine, trials):
    """What was said and what happened, for each program, text and IP version."""
    lines = [
        json.dumps([program, text, version, ADDRESSES[version], PORT, UID, GID]) for program, text, version in trials
    ]
    command = [sys.executable, "-I", "-S", "-c", TRY, str(CHECKOUT / "_utils")]
    done = machine.run(command, input="\n".join([*lines, ""]))
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(trials, found):
    """Insist that whatever was said for certain happened; return how often it was, by what happened."""
    certain = {True: 0, False: 0}
    assert len(trials) == len(found)
    for (_, text, _), answer in zip(trials, found):
        assert not answer["refused"], f"{answer['refused']}\n{text}"
        left = answer["left"] > 0
        if any(sure for _, sure in answer["obstacles"]):
            assert not left, f"{answer['obstacles']}, but it left\n{text}"
        elif not answer["obstacles"]:
            assert left, f"nothing in its way, but it did not leave\n{text}"
        else:
            continue
        certain[left] += 1
    return certain


def test_the_trial_itself(machine):
    """Without rules the packet leaves, with a drop it does not, and is not taken for one that did."""
    drop = "table inet x {\nchain y {\ntype filter hook output priority 0; policy drop;\n}\n}"
    trials = [(["nft", "-f", "-"], text, version) for text in ("", drop) for version in (4, 6)]
    assert [answer["left"] for answer in answers(machine, trials)] == [1, 1, 0, 0]


@pytest.mark.parametrize("version", [4, 6])
def test_nftables(machine, version):
    trials = [(["nft", "-f", "-"], rulesets.nft(seed), version) for seed in range(COUNT)]
    certain = judge(trials, answers(machine, trials))
    assert min(certain.values()) > COUNT // 5, certain


@pytest.mark.parametrize("variant", ["legacy", "nft"])
@pytest.mark.parametrize("version", [4, 6])
def test_iptables(machine, variant, version):
    program = [f"{'iptables' if version == 4 else 'ip6tables'}-{variant}-restore"]
    trials = [(program, rulesets.iptables(seed, version), version) for seed in range(COUNT)]
    certain = judge(trials, answers(machine, trials))
    assert min(certain.values()) > COUNT // 5, certain
