"""The layers' own ``close``: it takes away what is not stored as granted, and gives nothing back."""

import pytest

from functional.office import OPEN, sentences
from scene.minion import SaltError
from scenes import ADDRESS, GROUP, SUDOERS, article

PILLAR = article()
PILLAR["spice"]["routing"] = {"enabled": True}
MECHANISMS = ["nftables", "iptables-nft"]
STRANGE = ("nogrant", GROUP, ADDRESS, 20002)
MENU = "/etc/spice-grant/menu/1023"


def _closed(office, layer, said):
    """Close one layer: first said, then done, then there is nothing to do."""
    told = office.minion.call(f"spice_{layer}.close", test=True)
    assert said in sentences(told)
    assert office.minion.call(f"spice_{layer}.close") == told
    assert office.minion.call(f"spice_{layer}.close") == {}


@pytest.mark.salt
def test_the_firewall(shared):
    """An element of somebody who has no grant goes; one that is missing does not come."""
    shared.mechanism.let(shared, 1023, ADDRESS, 20002)
    shared.client.run(
        [
            "ip",
            "rule",
            "add",
            "pref",
            "163",
            "protocol",
            "74",
            "uidrange",
            "1023-1023",
            "to",
            ADDRESS,
            "ipproto",
            "tcp",
            "dport",
            "20002-20002",
            "goto",
            "166",
        ]
    )
    assert STRANGE in shared.openings()
    _closed(shared, "firewall", f"firewall: closes {ADDRESS} port 20002 to UID 1023")
    assert shared.openings() == OPEN
    _closed(shared, "routing", f"routing: closes {ADDRESS} port 20002 to UID 1023")
    shared.mechanism.stop(shared, 1022, ADDRESS, 20004)
    assert shared.minion.call("spice_firewall.close") == {}
    assert shared.openings() < OPEN


@pytest.mark.salt
def test_sudo(shared):
    """A rule of somebody who has no grant goes, with whatever else was written into our file."""
    held = shared.client.read(SUDOERS)
    more = held.replace("myself ALL=", "nogrant, myself ALL=") + "nogrant ALL=(ALL) NOPASSWD: ALL\n"
    shared.client.write(SUDOERS, more, mode=0o440)
    _closed(shared, "sudoers", "no longer lets nogrant")
    assert shared.client.read(SUDOERS) == held
    shared.client.write(SUDOERS, "nonsense\n", mode=0o440)
    _closed(shared, "sudoers", f"sudo: removes {SUDOERS}, which does not parse")
    assert not shared.client.path(SUDOERS).exists()


@pytest.mark.salt
def test_lists_and_connection_files(shared):
    """Those of nobody's grant go; none is written anew."""
    shared.client.write(MENU, "{}\n", mode=0o640)
    _closed(shared, "viewer", f"viewer: removes {MENU}")
    shared.client.run(["rm", "/etc/spice-grant/menu/1021"])
    assert shared.minion.call("spice_viewer.close") == {}


def test_everything(shared):
    """Where nobody can tell what may stay."""
    for layer in ("firewall", "routing", "sudoers", "viewer"):
        shared.minion.call(f"spice_{layer}.close", everything=True)
    assert shared.openings() == set()
    assert not shared.client.path(SUDOERS).exists()
    assert shared.minion.call("spice_firewall.rules", foreign=False) == []


def test_what_is_stored_cannot_be_read(shared):
    """All that is open closes, and it is said; with test=True the same is said, and nothing done."""
    state = "/var/lib/spice-grant/state.json"
    shared.client.write(state, "{", mode=0o600)
    told = shared.apply(test=True)
    assert shared.openings() == OPEN
    done = shared.apply()
    assert (told["result"], told["changes"], told["comment"]) == (False, done["changes"], done["comment"])
    assert "closes all that is open" in sentences(done["changes"]) and f"{state} is damaged" in done["comment"]
    assert shared.openings() == set()
    with pytest.raises(SaltError):
        shared.minion.call("spice_firewall.close")
    shared.client.run(["rm", state])
    shared.applied()
    assert shared.openings() == OPEN
