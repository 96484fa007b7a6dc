"""From the first moment of the network on: real boots of a real Debian, with a client that never stops trying."""

import json
import time

import pytest

from amount import first_of
from drift import until
from spicegrants.core.units import CLOCK_SERVICE, UPLINKS_SERVICE

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
SCRIPT = "/usr/local/lib/spice-grant/load-guard"
NAMESPACE = "226\n"  # EXIT_NAMESPACE of systemd.exec(5)
PILLAR = "/srv/pillar/spice.sls"
# A service that puts a site's own rules in place of all others, as Debian's netfilter-persistent does.
PERSISTENT = """
[Unit]
DefaultDependencies=no
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-restore /etc/site.rules
ExecStart=/usr/sbin/ip6tables-restore /etc/site.rules
[Install]
WantedBy=sysinit.target
"""
SITE = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -j ACCEPT\nCOMMIT\n"


def stored(workstation):
    """Where the rules for the boot are."""
    found = workstation.booted.run(["find", "/var/lib/spice-grant", "-name", "guard.*"]).stdout.split()
    assert len(found) == (1 if workstation.mechanism == "nftables" else 2)
    return found


def refused(workstation):
    """Whether the client is refused from now on.

    An attempt that began while only the guard of uplinks was there gets no answer.
    """
    workstation.forget()
    deadline = time.monotonic() + 60
    while (tried := workstation.tried()) <= {"None"} and time.monotonic() < deadline:
        time.sleep(0.1)
    if "None" in tried:
        workstation.forget()
        tried = workstation.tried()
    return tried == {"Connection refused"}


def covered(workstation, device):
    """Wait until the guard stands on an interface."""
    deadline = time.monotonic() + 60
    command = ["nft", "list", "table", "netdev", "spice_grant"]
    while f'device "{device}"' not in (listed := workstation.booted.run(command, check=False).stdout):
        if time.monotonic() > deadline:
            status = ["systemctl", "status", "--full", "spice-grant-uplinks", "spice-grant"]
            pytest.fail(listed + workstation.booted.run(status, check=False).stdout)
        time.sleep(0.05)


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


def test_routes_are_there_after_a_boot_and_hold_without_the_firewall(workstation):
    """With the unit of the firewall taken away not one attempt gets through, and there is nothing to repair."""
    before = workstation.booted.read(PILLAR)
    data = json.loads(before)
    data["spice"]["routing"] = {"enabled": True}
    workstation.booted.write(PILLAR, json.dumps(data))
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
    workstation.booted.run(["systemctl", "disable", "spice-grant.service"])
    try:
        workstation.reboot()
        assert workstation.tried() <= {"None"}, "nobody answers"
        assert workstation.booted.run(["systemctl", "is-active", "spice-grant-routes"]).stdout == "active\n"
        assert "lookup 7462" in workstation.booted.run(["ip", "-6", "rule"]).stdout
    finally:
        report = workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout
        workstation.booted.write(PILLAR, before)
        workstation.salt("state.apply", "spice", "--retcode-passthrough")
    assert "routing:" not in report, "the boot has made it as it must be"
    # An attempt that was under way gets no answer.
    time.sleep(1.5)
    assert refused(workstation)


def test_nothing_gets_through_from_the_first_moment(workstation):
    """No Salt, no name service, no master: the unit alone closes the ports before the network is up."""
    units = workstation.booted.run(["systemctl", "list-unit-files", "salt*"], check=False).stdout
    assert "0 unit files" in units, "a minion could have done it"
    workstation.reboot()
    assert workstation.booted.run(["pgrep", "--full", "salt"], check=False).stdout == ""
    covered(workstation, "eth0")
    assert workstation.tried() == {"Connection refused"}
    proof = workstation.salt("spice_grant.verify", "--out=json").stdout
    assert json.loads(proof)["local"]["ok"] is not False
    assert json.loads(workstation.salt("spice_grant.plan", "--out=json").stdout)["local"]["changes"] == {}


DAMAGED = ["{broken", SITE, "", '{"nftables": [{"add": {"map": {"family": "inet"}}}]}']


@pytest.mark.parametrize("content", first_of(DAMAGED, 2))
def test_corrupted_rules_leave_the_ports_closed(workstation, content):
    """If the stored rules cannot be loaded, a minimal set that rejects every guarded port is; the next run repairs."""
    for path in stored(workstation):
        workstation.booted.write(path, content, 0o600)
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    # With iptables nothing but the rules of grants can be missing: what was loaded is one text, or none of it.
    report = workstation.salt("state.apply", "spice").stdout
    assert "stores the rules for the next boot" in report
    assert "opens 192.168.2.2 port 20002 to myself" in report
    assert refused(workstation)


def test_missing_rules_leave_the_ports_closed(workstation):
    """Likewise if the whole store is gone."""
    workstation.booted.run(["rm", "-r", "/var/lib/spice-grant"])
    workstation.reboot()
    assert workstation.tried() == {"Connection refused"}
    workstation.salt("state.apply", "spice", "--retcode-passthrough")


@pytest.mark.parametrize("verb", ["start", "reload", "restart", "stop"])
def test_guard_is_back_after_nftables_service(workstation, verb):
    """nftables.service flushes all tables at each of these; ours is loaded again at once, by its drop-in."""
    workstation.booted.run(["systemctl", verb, "nftables.service"])
    assert refused(workstation)


def test_guard_is_back_after_a_service_that_restores_iptables(workstation):
    """As netfilter-persistent and RHEL's iptables.service do; started, restarted, and at boot."""
    workstation.booted.write("/etc/site.rules", SITE)
    workstation.booted.write("/etc/systemd/system/netfilter-persistent.service", PERSISTENT)
    workstation.booted.run(["systemctl", "daemon-reload"])
    for verb in ("start", "restart"):
        workstation.booted.run(["systemctl", verb, "netfilter-persistent"])
        assert refused(workstation)
    workstation.booted.run(["systemctl", "enable", "netfilter-persistent"])
    try:
        workstation.reboot()
        workstation.booted.run(["systemctl", "is-active", "netfilter-persistent"])
        assert workstation.tried() == {"Connection refused"}
        assert "-p udp -j ACCEPT" in workstation.booted.run(["iptables", "-S"]).stdout
    finally:
        workstation.booted.run(["systemctl", "disable", "netfilter-persistent"])
        workstation.booted.run(["rm", "/etc/systemd/system/netfilter-persistent.service"])
        workstation.booted.run(["systemctl", "daemon-reload"])


def test_broken_guard_does_not_break_the_site_firewall(workstation):
    """Whatever becomes of our files, nftables.service loads the site's own rules."""
    for path in stored(workstation):
        workstation.booted.write(path, "{broken", 0o600)
    workstation.booted.run(["systemctl", "restart", "nftables.service"])
    assert "table inet filter" in workstation.booted.run(["nft", "list", "tables"]).stdout
    workstation.booted.run(["mv", SCRIPT, f"{SCRIPT}.gone"])
    workstation.booted.run(["systemctl", "restart", "nftables.service"])
    assert "table inet filter" in workstation.booted.run(["nft", "list", "tables"]).stdout
    workstation.booted.run(["rm", f"{SCRIPT}.gone"])
    workstation.salt("state.apply", "spice", "--retcode-passthrough")
    assert refused(workstation)


def test_flush_by_hand_is_repaired_by_the_next_run(workstation):
    """No unit sees what root types: the next run repairs it and says so."""
    for command in (
        ["nft", "flush", "ruleset"],
        ["iptables", "-F"],
        ["iptables", "-X"],
        ["ip6tables", "-F"],
        ["ip6tables", "-X"],
    ):
        workstation.booted.run(command)
    assert "guards ports 20001-20010" in workstation.salt("state.apply", "spice").stdout
    assert refused(workstation)


def test_removing_takes_the_units_away(workstation):
    """spice_firewall.remove leaves neither units nor rules, and systemd knows."""
    workstation.salt("spice_firewall.remove")
    listed = workstation.booted.run(["systemctl", "list-unit-files", "spice-grant.service"], check=False).stdout
    assert "0 unit files" in listed
    assert "spice_grant" not in workstation.booted.run(["nft", "list", "tables"]).stdout
    assert "SPICE-GRANT" not in workstation.booted.run(["iptables", "-S"]).stdout
    left = workstation.booted.run(["find", "/etc/systemd/system", "/usr/local/lib", "-name", "*spice-grant*"]).stdout
    assert left == ""
    assert workstation.booted.run(["ls", "/etc/systemd/system/nftables.service.d"], check=False).returncode != 0
    workstation.salt("state.apply", "spice", "--retcode-passthrough")


def test_an_interface_that_appears_is_covered(workstation):
    """By what the rule of udev has systemd do; udev itself does not run on this machine. No Salt is needed."""
    workstation.booted.run(["ip", "link", "add", "late0", "type", "veth", "peer", "late1"])
    try:
        workstation.booted.run(["systemctl", "--no-block", "restart", "spice-grant-uplinks.service"])
        covered(workstation, "late0")
        service = ["systemctl", "show", "--property=Result", "spice-grant-uplinks.service"]
        assert workstation.booted.run(service).stdout == "Result=success\n"
    finally:
        workstation.booted.run(["ip", "link", "delete", "late0"])


@pytest.mark.parametrize("service", [UPLINKS_SERVICE, CLOCK_SERVICE])
def test_a_start_that_the_system_hinders_is_tried_again(workstation, service):
    """While it boots, systemd may fail to put the mounts of a service in order: seen, and nobody asked again."""
    drop_in = f"/etc/systemd/system/{service}.d"
    workstation.booted.write(f"{drop_in}/hindered.conf", "[Service]\nReadWritePaths=/srv/not-yet\n")
    workstation.booted.run(["systemctl", "daemon-reload"])
    try:
        workstation.booted.run(["systemctl", "--no-block", "restart", service])
        until(lambda: _shown(workstation, service, "ExecMainStatus") == NAMESPACE)
        workstation.booted.run(["mkdir", "/srv/not-yet"])
        until(lambda: _shown(workstation, service, "ExecMainStatus") == "0\n")
        until(lambda: _shown(workstation, service, "ActiveState") == "inactive\n")
    finally:
        workstation.booted.run(["rm", "-r", drop_in])
        workstation.booted.run(["systemctl", "daemon-reload"])
        workstation.booted.run(["rmdir", "/srv/not-yet"], check=False)


def _shown(workstation, service, name):
    return workstation.booted.run(["systemctl", "show", "--value", f"--property={name}", service]).stdout


def test_whatever_flushes_the_rules_has_interfaces_covered_again(workstation):
    workstation.booted.run(["nft", "flush", "ruleset"])
    workstation.booted.run(["/bin/sh", SCRIPT])
    covered(workstation, "eth0")
