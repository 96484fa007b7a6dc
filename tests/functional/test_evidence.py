"""Evidence: what the guard counts, notes and logs of those whom it refuses, and how a flood is held back."""

import ipaddress
import sys
import time

import pytest

from functional.office import BOTH
from scene.minion import SaltError
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article
from spicegrants.firewall import guard

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
EVERYWHERE = (ADDRESS, SECOND_ADDRESS, ADDRESS6)

# Tries very many places at this machine itself; says how many, and how long that took.
FLOOD = """
import contextlib, socket, time
start = time.monotonic()
places = [(f"127.{block}.{host}.9", port) for block in range(30) for host in range(220) for port in range(20001, 20011)]
for place in places:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.connect(place)
print(len(places), time.monotonic() - start)
"""


def test_counters_survive_another_grant(shared):
    """Adding and removing a grant leaves the counters of the others as they are."""

    def packets():
        rules = shared.minion.call("spice_firewall.rules", foreign=False)
        return {(rule["user"], rule["address"]): rule["packets"] for rule in rules}

    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    before = packets()
    assert before["myself", ADDRESS] >= 3
    shared.minion.call("spice_grant.grant", "nogrant", "leaptest")
    assert packets() == {**before, ("nogrant", ADDRESS): 0, ("nogrant", ADDRESS6): 0}
    shared.applied()
    assert packets() == before


def test_denied_counts_who_was_refused(shared):
    """Each refusal is counted by user, group, address and port; what was let through is not. iptables cannot."""
    if shared.mechanism.name != "nftables":
        with pytest.raises(SaltError, match="iptables keeps no list"):
            shared.minion.call("spice_firewall.denied")
        return
    shared.nft("flush", "set", "inet", "spice_grant", "denied4")
    for _ in range(3):
        shared.reach("nogrant", None, ADDRESS, 20002)
    shared.reach("myself", GROUP, ADDRESS, 20002)
    desired = {"uid": 1023, "gid": 1023, "address": ADDRESS, "port": 20002, "packets": 3}
    found = shared.minion.call("spice_firewall.denied")
    assert [entry for entry in found if entry["address"] == ADDRESS] == [desired]


@pytest.fixture
def unlimited(shared):
    """All limits of owners are as nobody had used them, for the next test as well."""

    def renewed():
        shared.minion.call("spice_firewall.remove")
        shared.applied()

    renewed()
    yield
    renewed()


def test_a_flood_of_one_user_leaves_room_to_note_others(shared, unlimited):
    """nogrant tries more places than are noted in all: some of these are, and each of mybro's; `verify` is right."""
    output = shared.client.run([sys.executable, "-I", "-S", "-c", FLOOD], user="nogrant").stdout
    count, seconds = output.split()
    assert int(count) > 65535
    if shared.mechanism.name == "nftables":
        most = guard.NOTED_BURST + guard.NOTED_RATE * (float(seconds) / 60 + 1)
        assert guard.NOTED_BURST <= len(shared.denied_to("nogrant")) <= most < 65535
        shared.reach("mybro", None, ADDRESS, 20002)
        assert shared.denied_to("mybro") == {(ADDRESS, 20002)}
    # nogrant's own limit has room for a note a second: what verify tries as nogrant is noted only after a while.
    time.sleep(20)
    answer = shared.verify()
    assert answer["ok"], answer["differences"]


AGAIN = """
import socket, sys
tries = 0
for _ in range(5000):
    with socket.socket() as sock:
        tries += sock.connect_ex((sys.argv[1], int(sys.argv[2]))) != 0
print(tries)
"""


def test_whoever_tries_one_place_for_ever_is_proven_to_be_stopped(shared, unlimited):
    """As a program does that connects again and again: more often than places of one user are noted."""
    command = [sys.executable, "-I", "-S", "-c", AGAIN, ADDRESS, 20002]
    assert shared.client.run(command, user="nogrant").stdout == "5000\n"
    assert shared.verify()["ok"]


def test_a_refusal_is_logged_with_the_user(shared, kernel_log):
    """The kernel's log says who tried what, under our prefix; what is granted is not logged."""
    shared.applied()
    refused, granted, own = kernel_log.ports(3)
    shared.connect("nogrant", None, [(ADDRESS, 20002, refused)])
    shared.connect("myself", GROUP, [(ADDRESS, 20002, granted)])
    shared.connect("myself", None, [(ADDRESS6, 20004, own)])
    (line,) = kernel_log.lines(refused)
    for part in ("spice-grant deny output: ", f"DST={ADDRESS} ", "DPT=20002 ", "UID=1023 GID=1023"):
        assert part in line
    assert kernel_log.lines(granted) == []
    (line,) = kernel_log.lines(own)
    destination = f"DST={ipaddress.ip_address(ADDRESS6).exploded} "
    for part in ("spice-grant deny output: ", destination, "DPT=20004 ", "UID=1021 GID=1021"):
        assert part in line


def test_the_log_is_rate_limited(granted, kernel_log):
    """A user cannot fill the log: of a hundred refusals at once about ten are logged, all are counted."""
    ports = kernel_log.ports(100)
    granted.connect("nogrant", None, [(ADDRESS, 20002, port) for port in ports])
    assert 10 <= len(kernel_log.lines(*ports)) <= 15
    (entry,) = granted.minion.call("spice_firewall.denied")
    assert entry["packets"] == 100
