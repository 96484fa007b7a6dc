"""The backstop on a real Debian: whatever takes the guard away, a client that never stops trying stays out."""

import json

import pytest

from amount import amount
from booted.workstation import happens, holds
from drift import until
from spicegrants.firewall import backstop

PILLAR = "/srv/pillar/spice.sls"
TURNS = amount(50, 5)
SITE = "flush ruleset\ntable inet site { chain input { type filter hook input priority 0; }; }\n"


def _declare(workstation, **firewall):
    """Apply the pillar with other settings of the firewall; return what the run reports."""
    data = json.loads(workstation.booted.read(PILLAR))
    data["spice"]["firewall"].update(firewall)
    workstation.booted.write(PILLAR, json.dumps(data))
    return workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout


def _held(workstation):
    """The names of backstops that there are."""
    listed = workstation.booted.run(["nft", "list", "tables"]).stdout.split()
    return {word for word in listed if word.startswith(backstop.PREFIX)}


def _planned(workstation):
    return json.loads(workstation.salt("spice_grant.plan", "--out=json").stdout)["local"]["changes"]


def _verified(workstation):
    return workstation.salt("spice_grant.verify", "--out=json").stdout


def _main_process(workstation):
    show = ["systemctl", "show", "--property=MainPID", "--value", backstop.SERVICE]
    return workstation.booted.run(show).stdout.strip()


def _active(workstation):
    return workstation.booted.run(["systemctl", "is-active", backstop.SERVICE], check=False).stdout == "active\n"


@pytest.fixture
def backed(workstation):
    """The workstation with a backstop; whatever a test did to it is repaired, and the backstop removed."""
    report = _declare(workstation, backstop=True)
    assert "keeps all but the viewer from the guarded ports, whatever is flushed" in report
    yield workstation
    _declare(workstation, backstop=False)
    assert not _held(workstation) and not _active(workstation)


def test_whatever_is_flushed(backed):
    """nft by hand and by a file, nftables.service: at no moment is anybody through, and nothing repairs the guard."""
    assert _planned(backed) == {}
    backed.booted.write("/etc/nftables.conf", SITE)
    backed.booted.run(["rm", "-r", "/etc/systemd/system/nftables.service.d"])
    backed.booted.run(["systemctl", "daemon-reload"])
    flushes = [["nft", "flush", "ruleset"], ["nft", "-f", "/etc/nftables.conf"]]
    flushes += [["systemctl", verb, "nftables"] for verb in ("start", "reload", "restart", "stop")]
    backed.forget()
    for _ in range(TURNS):
        # systemd starts nothing that was started five times within ten seconds.
        backed.booted.run(["systemctl", "reset-failed", "nftables"])
        for command in flushes:
            backed.booted.run(command)
            gone = backed.booted.run(["nft", "list", "table", "inet", "spice_grant"], check=False)
            assert gone.returncode, "the guard itself is gone"
    assert backed.tried() == {"Connection refused"}
    explained = json.loads(backed.salt("spice_grant.explain", "myself", "debianx", "--out=json").stdout)["local"]
    (table,) = _held(backed)
    assert explained["firewall"]["backstop"] == f"held: table inet {table}"


def test_ports_and_program_change_without_a_gap(backed):
    """The new table is there before the old one goes; systemd knows the new process for its own."""
    backed.booted.run(["rm", "-r", "/etc/systemd/system/nftables.service.d"])
    first, process = _held(backed), _main_process(backed)
    backed.booted.run(["nft", "flush", "ruleset"])
    document = json.loads(backed.booted.read(backstop.STORED))
    document["table"] += "0"
    backed.booted.write(backstop.STORED, json.dumps(document), 0o600)
    happens(backed, "systemctl", "reload", backstop.SERVICE)
    assert _held(backed) == {document["table"]} != first
    assert _main_process(backed) not in ("0", process) and _active(backed)
    # What a run wants is another one again.
    report = _declare(backed)
    assert _held(backed) == first
    assert "keeps all but the viewer from the guarded ports, whatever is flushed" in report


def test_its_end_opens_nothing_that_the_guard_closes(backed):
    """Killed, it is held again at once; stopped by hand, until the next run."""
    process = _main_process(backed)
    happens(backed, "kill", "-KILL", process)
    until(lambda: _main_process(backed) not in ("0", process) and _active(backed))
    assert _held(backed)
    happens(backed, "systemctl", "stop", backstop.SERVICE)
    assert not _held(backed)
    report = _declare(backed)
    assert _held(backed) and "keeps all but the viewer" in report


def test_it_is_there_before_the_network(backed):
    """With the unit of the guard masked, a boot lets nobody through."""
    backed.booted.run(["systemctl", "disable", "spice-grant.service"])
    backed.booted.run(["systemctl", "mask", "--runtime", "spice-grant.service"])
    backed.reboot()
    assert backed.tried() == {"Connection refused"}
    assert backed.booted.run(["nft", "list", "table", "inet", "spice_grant"], check=False).returncode
    _declare(backed)


@pytest.mark.full
def test_beside_firewalld(backed):
    """Which may own a table of its own: it loads, reloads and goes, and each leaves the other alone."""
    before = _held(backed)
    for command in (
        ["systemctl", "start", "firewalld"],
        ["firewall-cmd", "--reload"],
        ["firewall-cmd", "--complete-reload"],
        ["systemctl", "restart", "firewalld"],
    ):
        happens(backed, *command)
        holds(backed, ["nft", "list", "tables"], "inet firewalld")
    assert json.loads(_verified(backed))["local"]["ok"] is not False
    backed.booted.run(["nft", "flush", "ruleset"])
    happens(backed, "systemctl", "stop", "firewalld")
    assert "inet firewalld" not in backed.booted.run(["nft", "list", "tables"]).stdout
    assert _held(backed) == before
    _declare(backed)
    assert _planned(backed) == {}


@pytest.mark.full
def test_beside_networkd(backed):
    """Which has a table for the networks that it masquerades."""
    before = _held(backed)
    backed.booted.write("/etc/systemd/network/guests.netdev", "[NetDev]\nName=guests\nKind=bridge\n")
    network = "[Match]\nName=guests\n[Network]\nAddress=10.9.9.1/24\nConfigureWithoutCarrier=yes\nIPMasquerade=ipv4\n"
    backed.booted.write("/etc/systemd/network/guests.network", network)
    try:
        for verb in ("start", "restart"):
            happens(backed, "systemctl", verb, "systemd-networkd")
            holds(backed, ["nft", "list", "tables"], "io.systemd.nat")
        assert _held(backed) == before and json.loads(_verified(backed))["local"]["ok"] is not False
        backed.booted.run(["nft", "flush", "ruleset"])
        happens(backed, "systemctl", "restart", "systemd-networkd")
        assert _held(backed) == before
    finally:
        for name in ("guests.netdev", "guests.network"):
            backed.booted.run(["rm", f"/etc/systemd/network/{name}"])
        backed.booted.run(["systemctl", "stop", "systemd-networkd.socket", "systemd-networkd"])
        backed.booted.run(["ip", "link", "delete", "guests"])
    _declare(backed)
    assert _planned(backed) == {}


def test_all_of_it_goes_with_the_rest(backed):
    """After state.apply spice.absent there is no table, no unit, no file; and the client gets through."""
    backed.salt("state.apply", "spice.absent", "--retcode-passthrough")
    assert not _held(backed)
    for path in backstop.PATHS:
        assert backed.booted.run(["test", "-e", path], check=False).returncode
    backed.forget()
    assert backed.tried() == {"through"}
    _declare(backed)
