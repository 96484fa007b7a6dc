"""``spice_grant.repair``: from what is stored on the minion alone."""

import json

import pytest

from functional.office import OPEN, changed, difference, sentences
from scene.minion import SaltError
from scenes import GROUP, HOST, SUDOERS, VIEWER, article

pytestmark = pytest.mark.salt


@pytest.fixture
def alone(granted):
    """An office whose minion has no pillar any more."""
    granted.minion.set_pillar({})
    return granted


def test_all_layers_are_repaired_without_pillar(alone):
    """What was stored is enforced, loans and locks with it; test=True says the same and writes nothing."""
    alone.minion.call("spice_grant.lend", "nogrant", "leaptest", "1h")
    alone.minion.call("spice_grant.lock", user="mybro")
    opened = alone.openings()
    assert {user for user, *_ in opened} == {"myself", "nogrant"}
    good = alone.essence()
    alone.nft("delete", "table", "inet", "spice_grant")
    alone.client.run(["sh", "-c", f"echo 'nogrant ALL=(ALL) ALL' >>{SUDOERS}"])
    alone.client.run(["chmod", "0755", VIEWER])
    alone.client.run(["usermod", "--append", "--groups", GROUP, "nogrant"])
    before = alone.snapshot()
    planned = alone.minion.call("spice_grant.repair", test=True)
    assert not difference(before, alone.snapshot())
    done, code = alone.minion.call_raw("spice_grant.repair")
    assert code == 0 and done == planned and done["errors"] == []
    for words in ("guards ports", f"restores {SUDOERS}", f"restricts {VIEWER}", "takes nogrant out of"):
        assert words in sentences(done["changes"])
    assert not difference(good, alone.essence())
    assert alone.openings() == opened
    assert alone.minion.call("spice_grant.repair")["changes"] == {}


def test_no_name_is_resolved(office):
    """A server keeps the addresses of the last run, whatever its name has become since."""
    pillar = changed(article())
    del pillar["spice"]["servers"]["mysrv"]["addresses"]
    office.client.write("/etc/hosts", f"127.0.0.1 localhost\n192.168.2.2 {HOST}\n")
    office.applied(pillar)
    office.client.write("/etc/hosts", f"127.0.0.1 localhost\n192.168.2.66 {HOST}\n")
    done = office.minion.call("spice_grant.repair")
    assert (done["changes"], done["errors"]) == ({}, [])
    office.nft("flush", "map", "inet", "spice_grant", "grants4")
    assert office.minion.call("spice_grant.repair")["errors"] == []
    assert office.openings() == OPEN
    assert "server mysrv is now at 192.168.2.66" in sentences(office.minion.call("spice_grant.plan")["changes"])


def test_where_nothing_is_stored_nothing_is_changed(office):
    before = office.snapshot()
    with pytest.raises(SaltError, match="no policy has been applied on this minion yet"):
        office.minion.call("spice_grant.repair")
    assert not difference(before, office.snapshot())


def test_what_cannot_be_repaired_is_a_failure(granted):
    """Another file breaks the tree of sudo: ours cannot be put back, and all else is."""
    granted.client.run(["rm", SUDOERS])
    granted.client.run(["chmod", "0755", VIEWER])
    granted.client.write("/etc/sudoers.d/broken", "this is no rule\n", mode=0o440)
    done, code = granted.minion.call_raw("spice_grant.repair")
    assert code != 0 and any("broken" in error for error in done["errors"]), json.dumps(done)
    assert granted.client.mode(VIEWER) == 0o750
