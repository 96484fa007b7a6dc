"""Other firewalls on a workstation whose guard is in iptables: there it shares a table with them.

Whoever flushes that table takes the guard away for a moment, or until the next run. nftables knows no such moment.
"""

import time

import pytest

from booted.workstation import happens

MECHANISMS = ["iptables-nft", "iptables-legacy"]


def refused(workstation):
    """Whether the client is stopped from now on; what resets it may itself be dropped by the other firewall."""
    workstation.forget()
    deadline = time.monotonic() + 60
    while not (tried := workstation.tried()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return "through" not in tried


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_firewalld(workstation, backend):
    """It flushes iptables, releases before 2 whatever its own backend is; no unit sees a reload.

    Its unit loads the guard again.
    """
    setting = f"s/^FirewallBackend=.*/FirewallBackend={backend}/"
    workstation.booted.run(["sed", "-i", setting, "/etc/firewalld/firewalld.conf"])
    try:
        for verb in ("start", "restart", "stop", "start"):
            workstation.booted.run(["systemctl", verb, "firewalld"])
            assert refused(workstation), verb
        workstation.booted.run(["firewall-cmd", "--reload"])
        flushed = "SPICE-GRANT" not in workstation.booted.run(["iptables", "-S"]).stdout
        assert flushed or backend == "nftables"
        # The guard of uplinks is not flushed: nothing resets the client any more, but nothing gets through.
        assert refused(workstation)
        assert ("Connection refused" not in workstation.tried()) is flushed
        report = workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout
        assert ("guards ports 20001-20010" in report) is flushed
        assert refused(workstation)
        if backend == "iptables":
            assert "OUTPUT_direct" in workstation.booted.run(["iptables", "-S"]).stdout, (
                "firewalld's own are still there"
            )
    finally:
        workstation.booted.run(["systemctl", "stop", "firewalld"])


def test_ufw(workstation):
    """It keeps to chains of its own, as we do: the client never gets through."""
    workstation.forget()
    for command in (["--force", "enable"], ["reload"], ["disable"]):
        workstation.booted.run(["ufw", *command])
    assert "through" not in workstation.tried()
    happens(workstation, "systemctl", "restart", "ufw")
