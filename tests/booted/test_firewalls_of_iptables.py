"""Other firewalls on a workstation whose guard is iptables': they work on the very tables that it stands in."""

import pytest

from booted.workstation import happens, holds

MECHANISMS = ["iptables-nft"]


@pytest.fixture
def firewalld(workstation):
    """Running, with its rules and the guard in force."""
    setting = "s/^FirewallBackend=.*/FirewallBackend=iptables/"
    workstation.booted.run(["sed", "-i", setting, "/etc/firewalld/firewalld.conf"])
    workstation.booted.run(["systemctl", "start", "firewalld"])
    # It takes all chains away just before it makes its own.
    holds(workstation, ["iptables", "-S"], "OUTPUT_direct")
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
    yield
    workstation.booted.run(["systemctl", "stop", "firewalld"])
    workstation.salt("state.apply", "spice", "--retcode-passthrough")


def test_ufw(workstation):
    """It changes chains of its own only, and puts none before the guard."""
    happens(workstation, "ufw", "--force", "enable")
    holds(workstation, ["iptables", "-S"], "ufw-user-output")
    for words in (["ufw", "reload"], ["systemctl", "restart", "ufw"], ["ufw", "default", "deny", "outgoing"]):
        happens(workstation, *words)
    happens(workstation, "systemctl", "stop", "ufw")
    happens(workstation, "ufw", "--force", "reset")


def test_firewalld_that_root_reloads(workstation, firewalld):
    """No unit sees it: our chains go with all others, and the next run repairs and says so."""
    workstation.booted.run(["firewall-cmd", "--reload"])
    holds(workstation, ["iptables", "-S"], "OUTPUT_direct")
    workstation.forget()
    holds(workstation, ["cat", "/var/log/loop"], "through")
    assert "guards ports 20001-20010" in workstation.salt("state.apply", "spice").stdout
    assert "OUTPUT_direct" in workstation.booted.run(["iptables", "-S"]).stdout
    workstation.forget()
    holds(workstation, ["cat", "/var/log/loop"], "refused")
    assert "through" not in workstation.tried()
