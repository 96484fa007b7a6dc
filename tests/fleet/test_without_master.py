"""The master is down: what was enforced stays enforced, and what has times begins and ends at them."""

import datetime
import time
from types import SimpleNamespace

import pytest

from fleet.fleet import CLIENTS
from fleet.people import Watch

pytestmark = pytest.mark.full

# Seconds from the push until the window opens, until then both clients must have followed: at first as it should be,
# then for a machine that has much else to do. And how long it is open.
LEADS, LENGTH = (12, 40, 120), 3
PATIENCE = 60  # seconds; what it really took is printed


def iso(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def alone(fleet):
    """Both clients without the master, soon before a window of the boss at the analysis opens."""
    fleet.as_first_pushed()
    for lead in LEADS:
        start = int(time.time()) + lead
        fleet.grant("boss", books={}, analysis={"valid_from": iso(start), "valid_until": iso(start + LENGTH)})
        fleet.pillar.push("A moment for the boss")
        if time.time() < start - 2:
            break
    fleet.master.salt("beacons.add", "spice_grant", '[{"repair": true}]')
    fleet.master.stop()
    yield SimpleNamespace(fleet=fleet, start=start, end=start + LENGTH)
    if not fleet.master.runs:
        fleet.master.start()
        fleet.wait_for_answers()
    fleet.master.salt("beacons.delete", "spice_grant")


def test_a_window_opens_and_closes_on_time(alone, say):
    """The kernel of each client does it by its own clock."""
    assert not alone.fleet.master.runs
    watches = {name: Watch(client.machine, "boss", "analysis") for name, client in alone.fleet.clients.items()}
    for name, watch in watches.items():
        with watch:
            watch.when("refused")
            opened = watch.when("open") - alone.start
            closed = watch.when("refused", after=alone.start) - alone.end
            assert len(watch.output()) == 3
        say(f"without a master, {name}: opened {opened:.2f} s after the start, closed {closed:.2f} s after the end")
        assert 0 <= opened < PATIENCE and 0 <= closed < PATIENCE


def test_clients_keep_enforcing(alone):
    """Every user at every console: as the last run left it, with the window over."""
    assert not alone.fleet.master.runs
    assert alone.fleet.openings() == CLIENTS


TAMPERED = {
    "grants taken out of the guard": ["nft", "flush", "map", "inet", "spice_grant", "grants4"],
    "a line added for sudo": ["sed", "-i", "$ a visitor ALL=(ALL) ALL", "/etc/sudoers.d/spice-grant"],
    "the viewer opened to all": ["chmod", "0755", "/usr/bin/remote-viewer"],
}


@pytest.mark.parametrize("what", TAMPERED)
def test_drift_is_repaired(alone, say, what):
    """By the beacon of each client, from what is stored there."""
    assert not alone.fleet.master.runs
    for name, client in alone.fleet.clients.items():
        before = client.enforced()
        client.machine.run(TAMPERED[what])
        start = time.monotonic()
        assert client.enforced() != before
        while client.enforced() != before:
            assert time.monotonic() - start < 60, client.minion.log()[-4000:]
            time.sleep(0.05)
        say(f"without a master, {name}: {what}, repaired after {time.monotonic() - start:.2f} s")


def test_minions_answer_again_when_the_master_is_back(alone, say):
    """By themselves: all are in sync, and a run of the state finds nothing to do but what time has done."""
    alone.fleet.master.start()
    say(f"minions answer {alone.fleet.wait_for_answers():.1f} s after the start of the master")
    stand, _ = alone.fleet.master.salt_run("spice_grant.status")
    assert {row["minion"]: row["state"] for row in stand["minions"]} == dict.fromkeys(CLIENTS, "in sync")
    for result in alone.fleet.apply().values():
        assert (result["result"], result["changes"]) == (True, {})
