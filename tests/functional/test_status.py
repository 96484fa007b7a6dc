"""What a minion says of itself: after runs, drift, runs that fail, and with nothing at all."""

import json

import pytest
from unit.build import changed

from functional.office import STATE
from scenes import article

pytestmark = pytest.mark.salt

LAST_RUN = "/run/spice-grant/last-run"
WRONG = changed(article(), **{"spice__grants__mybro-leaptest__vm": "leaptset"})
GONE = changed(article(), **{"spice__grants__ghost": {"user": "ghost", "vm": "debianx"}})


def status(office):
    answer, code = office.minion.call_raw("spice_grant.status")
    assert code == (1 if answer["state"] in ("drifted", "failed") else 0)
    return answer


def test_without_a_policy(office):
    found = status(office)
    assert (found["state"], found["policy"], found["since"], found["last_run"]) == ("no policy", None, None, None)


def test_in_sync_since_the_run_that_made_it_so(granted):
    first = status(granted)
    assert (first["state"], first["drift"], first["errors"]) == ("in sync", [], [])
    assert first["since"] and len(first["policy"]) == 12
    assert granted.client.mode(LAST_RUN) == 0o600
    # As if that run had been a while ago.
    noted = json.loads(granted.client.read(LAST_RUN))
    granted.client.write(LAST_RUN, json.dumps({**noted, "at": noted["at"] - 60, "since": noted["since"] - 60}), 0o600)
    before = status(granted)
    assert granted.apply(test=True)["changes"] == {}
    assert status(granted) == before, "a run that is none leaves nothing"
    assert granted.apply()["changes"] == {}
    again = status(granted)
    assert (again["since"], again["policy"]) == (before["since"], first["policy"])
    assert again["last_run"]["at"] > before["last_run"]["at"]


PROGRAMS = "/usr/local/lib/spice-grant"
NOTE = f"others than root can exchange what root runs from {PROGRAMS}: they may write in /usr/local/lib"


def test_a_note_is_said_when_it_is_new_or_comes_back_and_stands_in_the_status(granted):
    """With test=True and by other functions as well; these leave nothing."""

    def says(**kw):
        return f"Note: {NOTE}." in granted.apply(**kw)["comment"]

    assert not says()
    for _ in range(2):
        granted.client.run(["chmod", "2775", "/usr/local/lib"])
        assert NOTE in granted.minion.call("spice_grant.grant", "nogrant", "debianx")["warnings"]
        assert says(test=True) and says()
        assert not says(test=True) and not says()
        assert NOTE not in granted.minion.call("spice_grant.grant", "nogrant", "debianx")["warnings"]
        assert granted.apply(GONE)["result"] is False, "a run with errors forgets no note"
        granted.minion.set_pillar(article())
        assert not says() and NOTE in status(granted)["notes"]
        granted.client.run(["chmod", "0755", "/usr/local/lib"])
        assert not says() and NOTE not in status(granted)["notes"]
    standing = status(granted)["notes"]
    assert standing and "Note: " not in granted.apply()["comment"]
    granted.client.run(["rm", LAST_RUN])
    assert f"Note: {standing[0]}." in granted.apply()["comment"], "after a boot"


def test_what_is_locked_is_said_by_each_run(granted):
    granted.minion.call("spice_grant.lock", "myself", reason="left")
    for _ in range(2):
        assert "Note: user myself is locked (left), until spice_grant.unlock." in granted.apply()["comment"]


def test_drifted_until_a_run_repairs_it(granted):
    granted.nft("flush", "map", "inet", "spice_grant", "grants4")
    found = status(granted)
    assert (found["state"], found["since"], found["errors"]) == ("drifted", None, [])
    assert any("192.168.2.2 port 20002 to myself" in sentence for sentence in found["drift"])
    granted.applied()
    assert status(granted)["state"] == "in sync"


def test_failed_by_a_wrong_pillar_though_all_is_as_it_was(granted):
    """Nothing changed, nothing drifted; and still somebody has to know."""
    policy = status(granted)["policy"]
    assert granted.apply(WRONG)["result"] is False
    found = status(granted)
    assert (found["state"], found["policy"], found["drift"]) == ("failed", policy, [])
    assert "did you mean 'leaptest'?" in found["errors"][0] and found["since"]
    assert found["last_run"]["errors"] == found["errors"]
    granted.applied(article())
    assert (status(granted)["state"], status(granted)["errors"]) == ("in sync", [])


def test_failed_by_a_run_that_enforced_the_rest(granted):
    assert "Not all of it would be enforced:" in granted.apply(GONE, test=True)["comment"].splitlines()
    assert "Not all of it is enforced:" in granted.apply(GONE)["comment"].splitlines()
    found = status(granted)
    assert found["state"] == "failed" and "ghost" in found["errors"][0]


def test_failed_on_a_minion_that_never_had_a_good_pillar(office):
    assert office.apply(WRONG)["result"] is False
    found = status(office)
    assert (found["state"], found["policy"]) == ("failed", None)


@pytest.mark.parametrize("path", [STATE, LAST_RUN])
def test_failed_where_something_cannot_be_read(granted, path):
    granted.client.write(path, "{", 0o600)
    found = status(granted)
    assert found["state"] == "failed" and "damaged" in found["errors"][0]


def test_after_a_boot_nobody_knows_since_when(granted):
    granted.client.run(["rm", LAST_RUN])
    found = status(granted)
    assert (found["state"], found["since"], found["last_run"]) == ("in sync", None, None)


def test_nothing_is_left_once_all_is_removed(granted):
    assert granted.single("removed", name="spice")["result"] is True
    assert status(granted)["state"] == "no policy"
    assert not granted.client.path(LAST_RUN).exists()
