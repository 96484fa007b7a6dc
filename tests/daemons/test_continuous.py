"""Drift on a minion with a master: noticed by the beacon, repaired in seconds, and reported on Salt's bus."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from daemons.conftest import PATIENCE

from amount import first_of
from checkout import ROOT
from drift import CLOCK, FIGHTS, KINDS, REWRITTEN, Workstation, listens, settled, until


class Office:
    """The minion with the ready-made pillar, through its master."""

    def __init__(self, master, minion, pillar_root, listener):
        self.master, self.minion, self.root, self.listener = master, minion, pillar_root, listener

    def salt(self, *words, **options):
        """Run a function on the minion; its data and the exit code."""
        done = self.master.salt_cli(timeout=PATIENCE).run(*words, minion_tgt=self.minion.id, _timeout=120, **options)
        return done.data, done.returncode

    def declare(self, change=lambda data: None):
        """Give the minion the ready-made pillar with a change."""
        data = yaml.safe_load((ROOT / "pillar" / "examples" / "continuous.sls").read_text())
        # Run by the tests themselves, when they want it.
        data["schedule"]["spice"]["run_on_start"] = False
        change(data)
        (self.root / "continuous.sls").write_text(yaml.safe_dump(data))
        (self.root / "top.sls").write_text("base: {'*': [spice, continuous]}\n")
        self.refresh()

    def withdraw(self):
        """Take it away again."""
        shutil.copy2(ROOT / "pillar" / "top.sls", self.root)
        (self.root / "continuous.sls").unlink()
        self.refresh()

    def refresh(self):
        """Have the minion read its pillar."""
        assert self.salt("saltutil.refresh_pillar", wait=True) == (True, 0)

    def load_anew(self, function):
        """Have the minion load its modules anew, the beacon as well, and wait for that."""
        before = listens()
        assert self.salt(function)[1] == 0
        until(lambda: listens() not in ([], before))
        settled()

    def returned(self, since, desired):
        """Wait for what a job on the minion returned, by its event at the master."""
        pattern = f"salt/job/*/ret/{self.minion.id}"

        def found():
            events = self.listener.get_events([(self.master.id, pattern)], after_time=since)
            return [event.data for event in events if desired(event.data)]

        return until(found)[0]

    def heard(self, tag, since):
        """Wait for an event of the beacon at the master; return its data."""
        pattern = f"salt/beacon/{self.minion.id}/spice_grant/{tag}"
        found = self.listener.wait_for_events([(self.master.id, pattern)], after_time=since, timeout=90)
        assert not found.missed, tag
        (event,) = found.matches
        return event.data


@pytest.fixture(scope="module")
def declared(master, minion, pillar_root, event_listener):
    """The ready-made pillar is in force, and the beacon listens."""
    office = Office(master, minion, pillar_root, event_listener)
    assert office.salt("state.apply", "spice")[1] == 0
    office.declare()
    until(listens)
    yield office
    office.withdraw()
    until(lambda: not listens())


@pytest.fixture
def office(declared):
    """Nothing is different, and nothing was fought about."""
    FIGHTS.unlink(missing_ok=True)
    assert declared.salt("state.apply", "spice")[1] == 0
    until(listens)
    return declared


@pytest.fixture
def workstation(office):
    """What is in force on it."""
    return Workstation()


@pytest.mark.parametrize("kind", first_of(KINDS))
def test_drift_is_repaired_and_reported(office, workstation, kind):
    """Who did it is reported where the kernel knows: of rules, and not of files."""
    _, layer, words = KINDS[kind]
    since = time.time()
    workstation.tamper(kind)
    drift = office.heard("drift", since)
    assert (drift["id"], drift["layers"], drift["what"]) == (office.minion.id, [layer], [words])
    assert words.rpartition(": ")[2] in json.dumps(drift["changes"])
    assert [each["comm"] for each in drift["who"]] == (["nft"] if layer == "firewall" else [])
    assert all(each["pid"] > 1 for each in drift["who"])
    assert drift["noticed"]
    repaired = office.heard("repaired", since)
    assert (repaired["layers"], repaired["what"], repaired["errors"]) == ([layer], [words], [])
    assert workstation.intact()


def test_what_belongs_to_others_is_no_drift(office, workstation, event_listener):
    """Another firewall's rules, and runs of our own, are followed by no event."""
    since = time.time()
    subprocess.run(["nft", "add table inet site; add chain inet site c"], check=True)
    Path("/etc/sudoers.d/site").write_text("root ALL=(ALL) ALL\n")
    assert office.salt("state.apply", "spice")[1] == 0
    assert office.salt("spice_grant.lend", "visitor", "debianx", "1h")[1] == 0
    assert office.salt("spice_grant.end_loan", "visitor", "debianx")[1] == 0
    workstation.tamper("sudoers edited")
    office.heard("repaired", since)
    subprocess.run(["nft", "delete table inet site"], check=True)
    Path("/etc/sudoers.d/site").unlink()
    found = event_listener.get_events([(office.master.id, "salt/beacon/*/spice_grant/*")], after_time=since)
    assert sorted(event.tag.rpartition("/")[2] for event in found) == ["drift", "repaired"]


def test_the_beacon_goes_on_with_newer_code(office, workstation, served):
    """After a sync it is the newer code that looks: it makes the clock's program of itself."""
    path = served / "_utils" / "spicegrants" / "core" / "validation.py"
    before = path.read_text()
    path.write_text(before + "\n# the second version\n")
    since = time.time()
    try:
        assert b"the second version" not in CLOCK.read_bytes()
        assert office.salt("saltutil.sync_all")[1] == 0
        assert office.heard("repaired", since)["what"] == REWRITTEN
        assert b"the second version" in CLOCK.read_bytes()
        workstation.tamper("rule added")
        until(workstation.intact)
    finally:
        path.write_text(before)
        office.load_anew("saltutil.sync_all")


@pytest.mark.full
def test_code_that_is_newer_than_that_of_the_minions_own_process(office, workstation, served):
    """It was synced, and the minion does not know: no look is taken by half of each."""
    path = served / "_utils" / "spicegrants" / "core" / "validation.py"
    before = path.read_text()
    path.write_text(before + "\n# synced, and not loaded\n")
    since = time.time()
    try:
        assert office.minion.salt_call_cli().run("saltutil.sync_utils", refresh=False).returncode == 0
        workstation.tamper("element deleted")
        repaired = office.heard("repaired", since)
        assert set(repaired["what"]) == {KINDS["element deleted"][2], *REWRITTEN}
        assert b"synced, and not loaded" in CLOCK.read_bytes()
        assert workstation.intact()
        tag = "salt/beacon/*/spice_grant/failed"
        assert not office.listener.get_events([(office.master.id, tag)], after_time=since)
    finally:
        path.write_text(before)
        office.load_anew("saltutil.sync_all")


def noted():
    """What the beacon has noted of the element that is deleted again and again."""
    records = json.loads(FIGHTS.read_text()) if FIGHTS.exists() else {}
    return records.get(KINDS["element deleted"][2], {})


@pytest.mark.full
def test_a_fight_is_reported_and_not_looped_on(office, workstation):
    """Who undoes the same thing three times is named; it is counted over a refresh of the minion's modules."""
    since = time.time()
    for _ in range(2):
        workstation.again("element deleted")
        until(workstation.intact)
        until(lambda: noted().get("standing") is False)
        office.load_anew("saltutil.refresh_modules")
    workstation.again("element deleted")
    fight = office.heard("fight", since)
    assert (fight["what"], fight["times"], fight["pause"]) == ([KINDS["element deleted"][2]], 3, 30)
    assert {each["comm"] for each in fight["who"]} == {"nft"}
    assert workstation.intact()
    # Now it is left alone for a while: a run of the state, by schedule or by hand, does not wait for that.
    workstation.again("element deleted")
    until(lambda: noted().get("standing") is True)
    assert not workstation.intact()
    assert office.salt("state.apply", "spice")[1] == 0
    assert workstation.intact()


def test_where_the_master_decides(office, workstation):
    """The minion only reports; the master's reactor has the state applied. A sign without drift changes nothing."""
    before = listens()
    office.declare(lambda data: data["beacons"].update(spice_grant=[{"repair": False}]))
    # The beacon of before, which repairs, listens for a while longer.
    until(lambda: listens() not in ([], before))
    settled()
    try:
        since = time.time()
        workstation.tamper("sudoers edited")
        drift = office.heard("drift", since)
        assert drift["what"] == [KINDS["sudoers edited"][2]]
        until(workstation.intact)
        done = office.returned(since, lambda job: job["fun"] == "state.apply")
        assert done["retcode"] == 0 and KINDS["sudoers edited"][2].partition(": ")[2] in json.dumps(done["return"])
    finally:
        office.declare()
        until(listens)


def test_a_scheduled_run_that_fails_is_a_failure_in_the_masters_job_cache(office):
    """A user of a grant is gone: the run says so, and the master's cache of jobs as well."""
    path = office.root / "spice.sls"
    before = path.read_text()
    path.write_text(before.replace("user: mybro", "user: nobodyhere"))
    since = time.time()
    try:
        office.declare(lambda data: data["schedule"]["spice"].update(seconds=2, minutes=0, splay=0))
        run = office.returned(since, lambda job: job.get("schedule") == "spice")
        assert run["retcode"] != 0
        (state,) = run["return"].values()
        assert state["result"] is False and "nobodyhere" in state["comment"]
        kept = office.master.salt_run_cli(timeout=PATIENCE).run("jobs.print_job", run["jid"]).data[run["jid"]]["Result"]
        assert kept[office.minion.id]["retcode"] != 0
    finally:
        path.write_text(before)
        office.declare()


def test_when_all_is_taken_away_nothing_is_reported(office, workstation):
    """The beacon goes on, finds nothing to keep, and keeps again what is then applied."""
    since = time.time()
    assert office.salt("state.apply", "spice.absent")[1] == 0
    until(lambda: not FIGHTS.parent.exists())
    assert office.salt("state.apply", "spice")[1] == 0
    again = Workstation()
    until(listens)
    again.tamper("rule added")
    office.heard("repaired", since)
    assert again.intact()
    events = office.listener.get_events([(office.master.id, "salt/beacon/*/spice_grant/*")], after_time=since)
    assert sorted(event.tag.rpartition("/")[2] for event in events) == ["drift", "repaired"]


@pytest.mark.full
def test_without_the_master_drift_is_repaired(office, workstation):
    """All that is needed is stored on the minion. It comes last: Salt 3008.3 follows no edit of a schedule after it."""
    with office.master.stopped():
        for kind in KINDS:
            workstation.tamper(kind)
            until(workstation.intact)
    until(lambda: office.master.salt_cli().run("test.ping", minion_tgt=office.minion.id).data is True, 180)
