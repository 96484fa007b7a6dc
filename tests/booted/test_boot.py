"""From the first moment of the network on: real boots of a real Debian, with a client that never stops trying."""

import json

import pytest


def test_loop_gets_through_without_the_unit(workstation):
    """The trial itself: with the unit taken away, the same loop gets through. So it would be seen."""
    workstation.booted.run(["systemctl", "mask", "--runtime", "spice-grant.service"])
    workstation.booted.run(["systemctl", "disable", "spice-grant.service"])
    try:
        workstation.reboot()
        assert "through" in workstation.tried()
    finally:
        report = workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout
    assert "creates /etc/systemd/system/sysinit.target.wants/spice-grant.service" in report


def test_nothing_gets_through_from_the_first_moment(workstation):
    """No Salt, no name service, no master: the unit alone closes the ports before the network is up."""
    installed = workstation.booted.run(["find", "/usr", "/etc/systemd", "/opt", "-name", "salt-minion*"]).stdout
    assert installed == "", "a minion could have done it"
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    proof = workstation.salt("spice_grant.verify", "--out=json").stdout
    assert json.loads(proof)["local"]["ok"]


@pytest.mark.parametrize("content", ["", "{broken", '{"nftables": [{"add": {"map": {"family": "inet"}}}]}'])
def test_corrupted_rules_leave_the_ports_closed(workstation, content):
    """If the stored rules cannot be loaded, a minimal set that rejects every guarded port is; the next run repairs."""
    workstation.booted.write("/var/lib/spice-grant/guard.json", content, 0o600)
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    report = workstation.salt("state.apply", "spice").stdout
    assert "stores the rules for the next boot" in report
    assert "opens 192.168.2.2 port 20002 to myself" in report


@pytest.mark.parametrize("verb", ["start", "reload", "restart", "stop"])
def test_guard_is_back_after_nftables_service(workstation, verb):
    """nftables.service flushes all tables at each of these; ours is loaded again at once, by its drop-in."""
    workstation.booted.run(["systemctl", verb, "nftables.service"])
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_broken_guard_does_not_break_the_site_firewall(workstation):
    """Whatever becomes of our files, nftables.service loads the site's own rules."""
    workstation.booted.write("/var/lib/spice-grant/guard.json", "{broken", 0o600)
    workstation.booted.run(["systemctl", "restart", "nftables.service"])
    assert "table inet filter" in workstation.booted.run(["nft", "list", "tables"]).stdout
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_flush_by_hand_is_repaired_by_the_next_run(workstation):
    """No unit sees 'nft flush ruleset' typed by root: the next run repairs it and says so."""
    workstation.booted.run(["nft", "flush", "ruleset"])
    assert "guards ports 20001-20010" in workstation.salt("state.apply", "spice").stdout
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


def test_removing_takes_the_units_away(workstation):
    """spice_firewall.remove leaves neither units nor rules, and systemd knows."""
    workstation.salt("spice_firewall.remove")
    listed = workstation.booted.run(["systemctl", "list-unit-files", "spice-grant.service"], check=False).stdout
    assert "0 unit files" in listed
    assert "spice_grant" not in workstation.booted.run(["nft", "list", "tables"]).stdout
    assert workstation.booted.run(["ls", "/etc/systemd/system/nftables.service.d"], check=False).returncode != 0
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
