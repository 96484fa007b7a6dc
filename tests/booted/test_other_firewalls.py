"""Other firewalls on the workstation come, go and load anew, while a client without a grant never stops trying."""

import json
import time

import pytest

from booted.workstation import happens, holds

pytestmark = pytest.mark.full


def explained(workstation):
    """What explain says of the granted pair."""
    return json.loads(workstation.salt("spice_grant.explain", "myself", "debianx", "--out=json").stdout)["local"]


def is_as_granted(workstation):
    """Whether the proof by trying finds no difference, with both firewalls in force."""
    return json.loads(workstation.salt("spice_grant.verify", "--out=json").stdout)["local"]["ok"] is not False


@pytest.fixture(params=["nftables", "iptables"])
def firewalld(workstation, request):
    """A firewalld that is not running yet, and how to see that it loaded its rules."""
    setting = f"s/^FirewallBackend=.*/FirewallBackend={request.param}/"
    workstation.booted.run(["sed", "-i", setting, "/etc/firewalld/firewalld.conf"])
    yield {"nftables": (["nft", "list", "tables"], "inet firewalld"), "iptables": (["iptables", "-S"], "IN_public")}[
        request.param
    ]
    workstation.booted.run(["systemctl", "stop", "firewalld"])
    workstation.booted.run(["nft", "flush", "ruleset"])
    workstation.salt("state.apply", "spice", "--retcode-passthrough")


@pytest.fixture
def ufw(workstation):
    """Switched off afterwards, with what it left in the kernel."""
    yield
    workstation.booted.run(["ufw", "--force", "reset"])
    workstation.booted.run(["nft", "flush", "ruleset"])
    workstation.salt("state.apply", "spice", "--retcode-passthrough")


def test_firewalld(workstation, firewalld):
    """It takes away and loads its own rules only; it is seen to be in force, and the granted user passes it."""
    happens(workstation, "systemctl", "start", "firewalld")
    holds(workstation, *firewalld)
    assert is_as_granted(workstation)
    assert explained(workstation)["answer"] == "may open"
    happens(workstation, "firewall-cmd", "--reload")
    happens(workstation, "firewall-cmd", "--complete-reload")
    happens(workstation, "systemctl", "reload", "firewalld")
    happens(workstation, "systemctl", "restart", "firewalld")
    holds(workstation, *firewalld)
    happens(workstation, "systemctl", "stop", "firewalld")
    assert firewalld[1] not in workstation.booted.run(firewalld[0]).stdout


def test_ufw(workstation, ufw):
    """Likewise; and what it does not let out is named."""
    happens(workstation, "ufw", "--force", "enable")
    holds(workstation, ["iptables", "-S"], "ufw-user-output")
    assert is_as_granted(workstation)
    assert explained(workstation)["answer"] == "may open"
    happens(workstation, "ufw", "reload")
    happens(workstation, "systemctl", "restart", "ufw")
    happens(workstation, "ufw", "default", "deny", "outgoing")
    found = explained(workstation)
    assert found["answer"] == "blocked"
    assert "chain ip filter OUTPUT (policy drop) drops it" in found["firewall"]["why"]
    happens(workstation, "ufw", "allow", "out", "20001:20010/tcp")
    assert explained(workstation)["answer"] == "may open"
    assert is_as_granted(workstation)
    happens(workstation, "systemctl", "stop", "ufw")
    happens(workstation, "ufw", "disable")


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
def test_iptables_by_hand(workstation, program):
    """Whatever is emptied there is not ours."""
    for words in (["-A", "OUTPUT", "-p", "tcp", "-j", "ACCEPT"], ["-F"], ["-X"], ["-t", "nat", "-F"]):
        happens(workstation, program, *words)


def test_nft_flush_by_hand(workstation):
    """This one does take the guard away, and the client sees it: the next run repairs, and says so."""
    workstation.forget()
    workstation.booted.run(["nft", "flush", "ruleset"])
    time.sleep(0.3)
    assert "through" in workstation.tried()
    assert "guards ports 20001-20010" in workstation.salt("state.apply", "spice").stdout
    workstation.forget()
    assert workstation.tried() == {"Connection refused"}


@pytest.mark.parametrize("service", ["firewalld", "nftables", "ufw"])
def test_boot_with_another_firewall(workstation, service, ufw):
    """Whichever is loaded first: nothing gets through from the first moment on, and no unit waits for itself."""
    if service == "ufw":
        workstation.booted.run(["ufw", "--force", "enable"])
    workstation.booted.run(["systemctl", "enable", service])
    try:
        workstation.reboot()
        for unit in (service, "spice-grant"):
            workstation.booted.run(["systemctl", "is-active", unit])
        tried = workstation.tried()
        assert "through" not in tried and "Connection refused" in tried
        # What systemd says first may come before there is a journal; a unit that it left out of a cycle is not active.
        assert "ordering cycle" not in workstation.booted.run(["journalctl", "--boot", "--no-pager"]).stdout
    finally:
        workstation.booted.run(["systemctl", "disable", "--now", service])
