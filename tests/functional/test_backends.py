"""Which mechanism holds the guard: chosen with a reason, changed without a gap, and nothing is left of the other."""

import itertools
import json
import subprocess
import sys

import pytest

from amount import amount
from functional.clients import HAMMER, running
from functional.mechanisms import MECHANISMS as BY_NAME
from functional.office import BOTH, OPEN_BOTH, changed, sentences
from scene.machine import CHECKOUT
from scenes import ADDRESS, GROUP, article

PILLAR = article(BOTH)
NAMED = {"nftables": "nftables", "iptables-nft": "iptables", "iptables-legacy": "iptables"}
TURNS = amount(500, 150)
# Takes the guard away as a run does, and loads it again.
TAKEN_AWAY = f"""
import subprocess, sys
sys.path.insert(0, {str(CHECKOUT / "_utils")!r})
from spicegrants.firewall.live.nft import Nftables
stored = sys.stdin.read()
for _ in range(int(sys.argv[1])):
    Nftables().delete()
    subprocess.run(["nft", "-j", "-f", "-"], input=stored, text=True, check=True)
"""
# Connects, says so, and waits.
IDLE = """
import socket, sys
with socket.create_connection((sys.argv[1], 20002)) as connection:
    connection.recv(64)
    print("open", flush=True)
    try:
        connection.recv(1)
    except OSError:
        print("ended")
"""


def _remains(office):
    """Which mechanisms hold anything of ours, by the tools' own listings."""
    found = {"nftables"} if "inet spice_grant" in office.nft("list", "tables") else set()
    for variant, program in itertools.product(("nft", "legacy"), ("iptables", "ip6tables")):
        if "SPICE-GRANT" in office.client.run([f"{program}-{variant}", "-S"]).stdout:
            found.add(f"iptables-{variant}")
    return found


def _use(office, name):
    BY_NAME[name].prepare(office)
    return office.applied(changed(PILLAR, firewall={"backend": NAMED[name]}))


@pytest.mark.turns(3)
@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(NAMED, 2)))
def test_changing_the_mechanism(shared, old, new):
    """The new rules hold before the old ones go: nobody gets through meanwhile, no session ends, nothing is left."""
    _use(shared, old)
    assert _remains(shared) == {old}
    forbidden = running(shared.client, HAMMER, ADDRESS, 20004, user="nogrant", group=GROUP)
    granted = running(shared.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP)
    with forbidden as bad, granted as good:
        text = sentences(_use(shared, new)["changes"])
        counts = []
        for process in (bad, good):
            process.stdin.close()
            counts.append(json.loads(process.stdout.readline()))
    assert f"removes the guard from {old}, now that {new} holds it" in text
    assert (counts[0]["open"], counts[1]["refused"]) == (0, 0) and counts[0]["refused"] and counts[1]["open"]
    assert _remains(shared) == {new}
    assert shared.openings() == OPEN_BOTH
    assert shared.apply()["changes"] == {}
    assert shared.verify()["ok"]


def test_who_is_granted_does_not_notice_that_a_guard_goes(granted):
    """Again and again; a packet may be under way in the rules that go."""
    text = granted.client.read("/var/lib/spice-grant/guard.json")
    with (
        running(granted.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP) as one,
        running(granted.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP) as other,
    ):
        granted.client.run([sys.executable, "-c", TAKEN_AWAY, str(TURNS)], input=text)
        counts = []
        for process in (one, other):
            process.stdin.close()
            counts.append(json.loads(process.stdout.readline()))
    assert [count["refused"] for count in counts] == [0, 0] and all(count["open"] > 100 for count in counts)


def test_a_grant_that_ends_with_the_change_is_closed(shared):
    """Revoked in the very run that changes the mechanism: the idle session ends too."""
    _use(shared, "nftables")
    session = shared.client.popen(
        ["/usr/bin/python3", "-c", IDLE, ADDRESS], user="myself", group=GROUP, stdout=subprocess.PIPE, text=True
    )
    try:
        assert session.stdout.readline() == "open\n"
        pillar = changed(PILLAR, firewall={"backend": "iptables"})
        del pillar["spice"]["grants"]["myself-debianx"]
        shared.applied(pillar)
        assert session.wait(60) == 0
        assert session.stdout.read() == "ended\n"
    finally:
        if session.poll() is None:
            session.kill_tree()
        session.stdout.close()


@pytest.mark.parametrize("variant", ["iptables-nft", "iptables-legacy"])
def test_without_nft_it_is_iptables(office, variant):
    """``auto`` says why; without IPv4's and IPv6's rules nobody would be held back, so all of it is there."""
    BY_NAME[variant].prepare(office)
    office.client.run(["mv", "/usr/sbin/nft", "/srv/nft"])
    office.applied(PILLAR)
    found = office.minion.call("spice_firewall.backend")
    assert (found["backend"], found["reason"]) == (variant, "nft is not installed")
    assert "iptables v" in found["version"]
    assert office.openings() == OPEN_BOTH
    assert office.verify()["ok"]
    office.client.run(["mv", "/srv/nft", "/usr/sbin/nft"])
    text = sentences(office.applied()["changes"])
    assert f"removes the guard from {variant}, now that nftables holds it" in text
    assert _remains(office) == {"nftables"}


def test_nft_that_vanishes_while_it_is_in_use(office):
    """The ports are guarded by what there is, and runs fail until the old rules can be seen to be gone."""
    office.applied(PILLAR)
    office.client.run(["mv", "/usr/sbin/nft", "/srv/nft"])
    result = office.apply()
    assert result["result"] is False
    assert "what nftables may hold of ours cannot be removed: nft is not installed" in result["comment"]
    assert office.openings() == OPEN_BOTH
    office.client.run(["mv", "/srv/nft", "/usr/sbin/nft"])
    assert _remains(office) == {"nftables", "iptables-nft"}
    assert office.applied()["changes"]
    assert _remains(office) == {"nftables"}
    assert office.apply()["changes"] == {}


def test_an_old_nft_is_not_used(office):
    """nft before 1.0 cannot do what the table needs."""
    answer = json.dumps({"nftables": [{"metainfo": {"version": "0.9.8"}}]})
    office.client.run(["mv", "/usr/sbin/nft", "/srv/nft"])
    office.client.write("/usr/sbin/nft", f"#!/bin/sh\necho '{answer}'\n", 0o755)
    assert office.minion.call("spice_firewall.backend")["reason"] == "nft 0.9.8 is older than 1.0"


def test_without_either_nothing_is_opened(office):
    """Neither nft nor iptables: the run fails and says so, and no other layer opens anything."""
    for program in ("nft", "iptables"):
        office.client.run(["mv", f"/usr/sbin/{program}", f"/srv/{program}"])
    result = office.apply(PILLAR)
    assert (result["result"], result["changes"]) == (False, {})
    assert "nft is not installed, and iptables is not installed" in result["comment"]
    assert not office.client.path("/etc/sudoers.d/spice-grant").exists()


def test_missing_ip6tables_is_an_error(office):
    """IPv6 would be open: the run fails, nothing else is opened."""
    BY_NAME["iptables-nft"].prepare(office)
    for name in ("ip6tables-nft-save", "ip6tables-save"):
        office.client.run(["mv", f"/usr/sbin/{name}", f"/srv/{name}"])
    result = office.apply(changed(PILLAR, firewall={"backend": "iptables"}))
    assert result["result"] is False and "ip6tables" in result["comment"]
    assert not office.client.path("/etc/sudoers.d/spice-grant").exists()


def test_what_is_left_of_every_mechanism_is_removed(office):
    """``spice.absent`` looks for all of them, not only for the one in use."""
    saved = {}
    for name in NAMED:
        _use(office, name)
        if name == "iptables-nft":
            programs = ("iptables", "ip6tables")
            saved = {program: office.client.run([f"{program}-nft-save"]).stdout for program in programs}
    # As if the run that changed the mechanism had never got to removing it.
    for program, text in saved.items():
        office.client.run([f"{program}-nft-restore", "--noflush"], input=text)
    assert _remains(office) == {"iptables-nft", "iptables-legacy"}
    (state,) = office.minion.state("spice.absent").values()
    assert state["result"] is True, state
    assert _remains(office) == set()
