"""A right that ends, ends what runs on it."""

import time

import pytest


@pytest.mark.parametrize("address", ["192.168.2.2", "fd00:2::2", "::ffff:192.168.2.2"])
def test_idle_session_ends_with_its_grant_and_others_do_not_notice(client, address):
    """Within two seconds of the run that removes the grant; the other user of the same console goes on."""
    client.pillar["spice"]["grants"]["mybro-debianx"] = {"user": "mybro", "vm": "debianx"}
    client.apply()
    revoked, kept = client.session("myself", address, 20002), client.session("mybro", address, 20002)
    del client.pillar["spice"]["grants"]["myself-debianx"]
    client.apply()
    assert revoked.wait(60) == 0
    assert revoked.stdout.read() == "Software caused connection abort\n"
    time.sleep(0.5)
    assert kept.poll() is None
    kept.kill_tree()


def test_session_ends_when_the_console_moves_on_to_somebody_else(client):
    """The vm is granted to another user instead, in one run."""
    client.apply()
    revoked = client.session("myself", "192.168.2.2", 20002)
    client.pillar["spice"]["grants"]["myself-debianx"]["user"] = "mybro"
    client.apply()
    assert revoked.wait(60) == 0
    client.session("mybro", "192.168.2.2", 20002).kill_tree()


def test_unchanged_run_leaves_sessions_alone(client):
    """Runs without a change, and one that adds a grant."""
    client.apply()
    kept = client.session("myself", "192.168.2.2", 20002)
    for _ in range(3):
        client.apply()
    client.pillar["spice"]["grants"]["myself-leaptest"] = {"user": "myself", "vm": "leaptest"}
    client.apply()
    time.sleep(0.3)
    assert kept.poll() is None
    kept.kill_tree()


def test_rebuilt_table_leaves_granted_sessions_alone(client):
    """The table is deleted and built in one transaction: a granted session does not notice."""
    client.apply()
    kept = client.session("myself", "192.168.2.2", 20002)
    client.machine.run(["nft", "add", "rule", "inet", "spice_grant", "output", "accept"])
    assert client.apply()["changes"]
    time.sleep(0.3)
    assert kept.poll() is None
    kept.kill_tree()
