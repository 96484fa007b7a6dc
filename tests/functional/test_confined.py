"""The confined form in all layers: chosen, planned, repaired, explained, proved and taken away."""

import contextlib

import pytest

from functional.confined import ANYTHING, OPENER, WITNESS, Witnesses, pillar, prepare, site_rule
from functional.office import OPEN, STATE, changed, sentences
from scene import need
from scenes import GROUP, SUDOERS, VIEWER, article

need("bwrap")
PILLAR = pillar()
__all__ = ["prepare"]
BWRAP = "/usr/bin/bwrap"
RUN = "/run/spice-grant"
DIRECT, CONFINED, AUTO = (pillar(confine=value) for value in (False, True, "auto"))


@contextlib.contextmanager
def without(office, path, text=None):
    """Have a program be missing, or another in its place."""
    office.client.run(["mv", path, f"{path}.away"])
    if text is not None:
        office.client.write(path, text, mode=0o755)
    try:
        yield
    finally:
        office.client.run(["mv", "-f", f"{path}.away", path])


def rules(office):
    """Who may start what, by sudo's own words."""
    return {line for line in office.client.read(SUDOERS).splitlines() if " ALL=" in line}


@pytest.mark.salt
def test_the_second_run_changes_nothing(shared):
    assert shared.apply()["changes"] == {}
    assert shared.apply(test=True)["result"] is True
    assert rules(shared) == {
        f"myself ALL=(root) PASSWD: NOSETENV: {OPENER} debianx",
        f"mybro ALL=(root) NOPASSWD: NOSETENV: {OPENER} leaptest",
    }


def test_the_firewall_is_the_same(shared):
    """UID and the viewer's group are what a confined viewer has."""
    assert shared.openings() >= OPEN
    assert {opening for opening in shared.openings() if opening[1] is None} == set()


def test_from_one_form_to_the_other_and_back(shared):
    """A plan like any other: said beforehand, then done, then nothing is left to do; no firewall rule is touched."""
    for data, confined in ((DIRECT, False), (CONFINED, True)):
        dry = shared.apply(data, test=True)["changes"]
        done = shared.applied(data)["changes"]
        assert dry == done and shared.apply()["changes"] == {}
        assert "firewall" not in done["layers"] and "firewall" not in done["grants"]["myself-debianx"]
        text = sentences(done)
        verb = "creates" if confined else "removes"
        assert f"viewer: {verb} {OPENER}" in text and "policy: changes the settings of the viewer" in text
        assert all((f"{OPENER} " in rule) is confined for rule in rules(shared))
        heard = Witnesses(shared)
        assert (heard.open("myself")[1] is not None) is confined
        heard.stop()
        assert shared.opens("myself", "/etc/spice-grant/vms/debianx.vv") is not confined


def test_auto_says_what_it_chose_and_why(shared):
    shared.applied(DIRECT)
    comment = shared.applied(AUTO)["comment"]
    assert "Note: viewers run confined: this machine has what that needs." in comment
    assert all(OPENER in rule for rule in rules(shared))
    with without(shared, BWRAP):
        comment = shared.applied()["comment"]
        assert "Note: viewers run unconfined: there is no /usr/bin/bwrap (package bubblewrap)." in comment
        assert not any(OPENER in rule for rule in rules(shared))
    with without(shared, BWRAP, "#!/bin/sh\necho 'no mounts here' >&2; exit 1\n"):
        comment = shared.applied()["comment"]
        assert "Note: viewers run unconfined: no sandbox can be made: no mounts here." in comment
    shared.applied()
    assert all(OPENER in rule for rule in rules(shared))


def test_times_that_are_left_to_the_opener_are_noted(shared):
    """More than sudo could read at each call; half an hour each, round the clock."""
    hours = [f"{hour:02}:{start}-{hour:02}:{start + 19}" for hour in range(24) for start in (10, 40)]
    data = pillar()
    data["spice"]["grants"]["mybro-leaptest"]["schedule"] = "halves"
    data["spice"]["schedules"] = {"halves": {"days": "mon-sun", "hours": hours, "zone": "UTC"}}
    for days, noted in ((30, False), (220, True)):
        data["spice"]["time"] = {"horizon": f"{days}d"}
        comment = shared.applied(data)["comment"]
        assert ("only the opener keeps them: there are more than 10,000 windows." in comment) is noted
        assert ("NOTBEFORE" in shared.client.read(SUDOERS)) is not noted
    assert "opener" not in shared.applied(data)["comment"]


def test_insisted_on_where_it_is_not_possible_nothing_is_open(shared):
    """The run fails, says why, and closes what was open; the next one that can opens it again."""
    shared.applied(CONFINED)
    with without(shared, BWRAP):
        result = shared.apply()
        assert result["result"] is False
        assert "spice:viewer:confine: viewers cannot be confined: there is no /usr/bin/bwrap" in result["comment"]
        assert shared.openings() == set() and rules(shared) == set()
        answer = shared.minion.call("spice_grant.explain", "myself", "debianx")
        assert answer["answer"] == "may not open" and "cannot be confined" in answer["policy"]["why"]
    assert shared.applied()["changes"]
    assert shared.openings() >= OPEN


def test_a_sandbox_that_cannot_be_made_any_more(shared):
    """Between two runs: the opener says why and opens nothing."""
    heard = Witnesses(shared)
    for text in (None, "#!/bin/sh\necho 'no mounts here' >&2; exit 1\n", "#!/bin/sh\nkill -9 $$\n"):
        with without(shared, BWRAP, text):
            done, seen = heard.open("myself")
        assert (done.returncode, seen) == (3, None)
        assert done.stderr.count("rviewer: ") == 1
        assert ("no mounts here" in done.stderr) is (text is not None and "echo" in text)
    heard.stop()


TAMPERING = {
    "opener edited": (lambda office: office.client.run(["tee", "-a", OPENER], input="#"), f"rewrites {OPENER}"),
    "opener gone": (lambda office: office.client.run(["rm", OPENER]), f"creates {OPENER}"),
    "opener for others": (
        lambda office: office.client.run(["chmod", "4777", OPENER]),
        f"restores owner and mode of {OPENER}",
    ),
    "a link": (
        lambda office: office.client.run(["ln", "-sf", "/home/myself/open", OPENER]),
        f"replaces the symbolic link at {OPENER}",
    ),
    "a rule more": (
        lambda office: office.client.run(
            ["tee", "-a", SUDOERS], input=f"nogrant ALL=(root) PASSWD: NOSETENV: {OPENER} debianx\n"
        ),
        "no longer lets nogrant open debianx confined",
    ),
    "another's console": (
        lambda office: office.client.run(["sed", "-i", "s/open debianx$/open leaptest/", SUDOERS]),
        "lets myself open debianx confined with their password",
    ),
    "any argument": (
        lambda office: office.client.run(["sed", "-i", "s/open debianx$/open */", SUDOERS]),
        "lets myself open debianx confined with their password",
    ),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("tampering", TAMPERING)
def test_drift_is_found_and_repaired(shared, tampering):
    act, text = TAMPERING[tampering]
    act(shared)
    dry = shared.apply(test=True)
    assert dry["result"] is None and text in sentences(dry["changes"])
    assert shared.applied()["changes"] == dry["changes"]
    assert shared.apply()["changes"] == {}


@pytest.mark.parametrize("left", [None, "damaged"])
def test_what_only_saves_time_is_made_by_a_run_that_may_write_and_is_no_change(shared, left):
    """The note of the opener's digest, and the list of plug-ins: without them all is the same, and takes longer."""
    kept = {f"{RUN}/bytecode": "600 0 0", f"{RUN}/plug-ins": "644 0 0"}
    for path in kept:
        shared.client.run(["rm", "-f", path])
        if left is not None:
            shared.client.write(path, left)
    opener = shared.client.run(["sha256sum", OPENER]).stdout
    assert shared.apply(test=True)["changes"] == {}
    assert [shared.client.path(path).exists() for path in kept] == [left is not None] * 2
    assert shared.apply()["changes"] == {}
    assert shared.client.run(["sha256sum", OPENER]).stdout == opener
    for path, rights in kept.items() if left is None else ():
        assert shared.client.run(["stat", "-c", "%a %u %g", path]).stdout.strip() == rights
    assert left is None or shared.client.read(f"{RUN}/bytecode") != left


def test_plug_ins_that_changed_are_looked_at_again(shared):
    """Whatever the clock says: they may be of a time that it has not come to, as after it was set back."""
    look = ["stat", "-c", "%i %Y", f"{RUN}/plug-ins"]
    shared.apply()
    before = shared.client.run(look).stdout
    shared.client.run(["sh", "-c", "touch -d '+1 year' /usr/lib/*/gstreamer-1.0"])
    assert shared.apply()["changes"] == {}
    made = shared.client.run(look).stdout
    assert made.split()[0] != before.split()[0]
    assert shared.apply()["changes"] == {}
    assert shared.client.run(look).stdout == made


def test_verify_asks_for_the_openers_call_and_those_close_to_it(shared):
    answer = shared.verify()
    assert answer["differences"] == [] and answer["matrix"]["myself"]["debianx"]["sudo"] == "allowed"
    with site_rule(shared, ANYTHING):
        answer = shared.verify(user="myself")
        text = "\n".join(answer["differences"])
        assert not answer["ok"]
        assert f"myself x leaptest: sudo lets: sudo -u root {OPENER} leaptest" in text
        assert "myself x debianx: sudo lets a call that is not granted: argument added" in text
        comment = shared.apply()["comment"]
        assert f"another sudo rule: ALL may run {OPENER}, {OPENER} * as root, which includes {OPENER}" in comment
    with site_rule(shared, f"myself ALL=(root) !{OPENER} debianx"):
        assert f"sudo refuses: sudo -u root {OPENER} debianx" in shared.verify(user="myself")["differences"][0]


def test_explain_list_and_rules(shared):
    answer = shared.minion.call("spice_grant.explain", "myself", "debianx")
    assert answer["answer"] == "may open"
    assert answer["sudo"] == {"answer": "allowed", "why": "1 exact rule(s); asks for the user's own password"}
    assert shared.minion.call("spice_grant.explain", "myself", "leaptest")["answer"] == "may not open"
    assert shared.minion.call("spice_sudoers.allowed", "mybro", "leaptest") == {
        "allowed": [f"-u root {OPENER} leaptest"],
        "refused": [],
    }
    rules = [rule for rule in shared.minion.call("spice_sudoers.rules") if not rule["foreign"]]
    assert {(rule["user"], rule["group"], rule["viewer"], rule["argument"]) for rule in rules} == {
        ("myself", "", OPENER, "debianx"),
        ("mybro", "", OPENER, "leaptest"),
    }


def test_what_else_the_direct_form_had_is_refused(shared):
    """Neither viewer is lent to anybody with its group, nor to root."""
    for viewer in (VIEWER, WITNESS):
        for options in (("-g", GROUP), ("-u", "root"), ()):
            assert not shared.opens("myself", "/etc/spice-grant/vms/debianx.vv", options=options, viewer=viewer)


def test_the_launcher_opens_it(shared):
    heard = Witnesses(shared)
    done = shared.client.run(["rviewer"], user="mybro", env={"DISPLAY": ":7"}, check=False)
    assert done.returncode == 0, done
    heard.stop()


def test_all_of_it_goes(office):
    prepare(office)
    office.applied(PILLAR)
    (result,) = office.minion.state("spice.absent").values()
    assert result["result"] is True
    for path in (OPENER, SUDOERS, STATE, "/usr/local/lib/spice-grant"):
        assert not office.client.path(path).exists()
    again = office.apply(changed(article(), viewer={"confine": True}))
    assert again["result"] is True and office.client.mode(OPENER) == 0o755
