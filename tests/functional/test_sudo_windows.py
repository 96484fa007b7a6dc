"""Sudo rules with times by the real sudo: they hold within their windows only, and nothing has to run for that."""

import re
import time

import pytest

from functional.office import FILES, URIS, changed, sentences
from scenes import GROUP, SUDOERS, VIEWER, article
from soon import Late, in_time, soon

DAY = 86400
SITE = "/etc/sudoers.d/site"
RVIEWER = "/usr/local/bin/rviewer"
# Two windows a day, all the month; and one that is months ahead.
HALVES = {"days": "mon-sun", "hours": ["00:00-12:00", "12:30-24:00"], "zone": "UTC"}


def _iso(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


LENGTH = 8
AHEAD = _iso(time.time() + 20 * DAY)
PILLAR = changed(
    article(),
    schedules={"halves": HALVES},
    grants={
        "by-halves": {"group": "accounting", "vm": "debianx", "schedule": "halves"},
        "mybro-leaptest": {"user": "mybro", "vm": "leaptest", "nopasswd": True},
        "later": {"user": "nogrant", "vm": "leaptest", "nopasswd": True, "valid_from": AHEAD},
    },
)


def prepare(office):
    """Two users share a grant by their group."""
    for user in ("myself", "mybro"):
        office.client.run(["usermod", "--append", "--groups", "accounting", user])


def _listed(office, user, argument):
    """Whether sudo says that it lets a user start the viewer."""
    command = ["sudo", "-n", "-l", "-U", user, "-g", GROUP, "--", VIEWER, "--", argument]
    return office.client.run(command, check=False).returncode == 0


def _edit(office, pattern, replacement, count=0):
    before = office.client.read(SUDOERS)
    after = re.sub(pattern, replacement, before, count=count)
    assert after != before
    office.client.write(SUDOERS, after, mode=0o440)


# Edges


def _asked(ask, until):
    """Ask over and over; return for each answer when it was asked, when it came, and what it was."""
    answers = []
    while time.time() < until:
        start = time.time()
        answer = ask()
        answers.append((start, time.time(), answer))
    return answers


@pytest.mark.parametrize("how", ["sudo -l", "sudo -g"])
def test_a_window_opens_and_closes_at_its_edges(shared, how):
    """By the second, whether sudo is asked or called, while other users' rules hold or do not hold as before."""
    in_time(lambda length: _edges(shared, how, length), LENGTH)
    assert shared.apply()["changes"] == {}
    shared.applied(PILLAR)


def _edges(shared, how, length):
    def prepare(opens):
        limits = {"valid_from": _iso(opens), "valid_until": _iso(opens + length), "nopasswd": True}
        grants = {**PILLAR["spice"]["grants"], "short": {"user": "nogrant", "vm": "debianx", **limits}}
        shared.applied(changed(PILLAR, grants=grants))

    opens = soon(prepare, length + 4, margin=length)
    closes = opens + length
    way = _listed if how == "sudo -l" else lambda *call: shared.opens(*call[1:], password=None)
    argument = FILES["debianx"]
    others = {("mybro", URIS["leaptest"]): True, ("nogrant", URIS["leaptest"]): False}

    def ask():
        for (user, other), allowed in others.items():
            assert way(shared, user, other) is allowed
        start = time.time()
        return start, way(shared, "nogrant", argument), time.time()

    answers = [answer for _, _, answer in _asked(ask, closes + length)]
    # sudo reads a clock that the kernel sets forward a few milliseconds late.
    before = [answer for _, answer, end in answers if end < opens]
    within = [answer for start, answer, end in answers if start > opens + 0.02 and end < closes]
    after = [answer for start, answer, _ in answers if start > closes + 0.02]
    if min(map(len, (before, within, after))) < 3:
        raise Late
    assert not any(before) and all(within) and not any(after)
    first = next(end for _, answer, end in answers if answer)
    last = next(end for _, answer, end in answers if not answer and end > closes)
    print(
        f"{how}: first allowed {first - opens:+.2f} s from the start, first refused {last - closes:+.2f} s from the end"
    )


# Drift

STAMPS = "NOTBEFORE=[0-9]+Z NOTAFTER=[0-9]+Z "
TAMPERED = {
    "an end moved": (r"(NOTAFTER=[0-9]{4})", r"NOTAFTER=2096", 1),
    "all ends removed": (r"NOTAFTER=[0-9]+Z ", "", 0),
    "a start moved": (r"(NOTBEFORE=[0-9]{4})", r"NOTBEFORE=2016", 1),
    "all starts removed": (r"NOTBEFORE=[0-9]+Z ", "", 0),
    "all times removed": (STAMPS, "", 0),
    "a window removed": (rf"    ALL=\(:{GROUP}\) {STAMPS}.*\n", "", 1),
    "windows in an order of their own": (rf"({STAMPS})((?:.*\n){{1,2}}?.*?)({STAMPS})", r"\3\2\1", 1),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("how", TAMPERED)
def test_times_that_were_altered_are_planned_and_repaired(shared, how):
    """In words, by grant; test=True says the same; afterwards there is nothing left to do."""
    shared.applied()
    right = shared.client.read(SUDOERS)
    _edit(shared, *TAMPERED[how])
    dry, real = shared.apply(test=True), shared.applied()
    assert dry["changes"] == real["changes"] and dry["result"] is None
    if "order" in how:
        assert real["changes"] == {"layers": {"sudo": [f"restores {SUDOERS}, which was edited"]}}
    else:
        layers = real["changes"]["grants"]["by-halves"]
        assert set(layers) == {"sudo"}
        for user in ("myself", "mybro"):
            for argument in (URIS["debianx"], FILES["debianx"]):
                sentence = f"sets when {user} may start the viewer on {argument}: by schedule halves"
                assert sentence in layers["sudo"]
    assert shared.client.read(SUDOERS) == right
    assert shared.client.mode(SUDOERS) == 0o440
    assert shared.applied()["changes"] == {}


def test_a_rule_whose_start_was_taken_away_holds_until_the_next_run(shared):
    """So that is why times are compared."""
    argument = FILES["leaptest"]
    assert not _listed(shared, "nogrant", argument)
    _edit(shared, r"(nogrant \\\n +ALL=\S+) NOTBEFORE=[0-9]+Z", r"\1")
    assert _listed(shared, "nogrant", argument)
    assert shared.opens("nogrant", argument, password=None)
    assert "later: sudo: sets when nogrant may start the viewer" in sentences(shared.applied()["changes"])
    assert not _listed(shared, "nogrant", argument)
    assert not shared.opens("nogrant", argument, password=None)


# The tree


def test_a_tree_with_an_alias_of_our_console_is_never_installed(shared):
    """Each console with times has an alias: one of its name elsewhere makes the run fail, and sudo works as before."""
    shared.applied(article())
    shared.client.write(SITE, "Cmnd_Alias SPICE_GRANT_DEBIANX = /usr/bin/true\n", mode=0o440)
    before = shared.client.read(SUDOERS)
    result = shared.apply(PILLAR)
    assert result["result"] is False
    assert "the sudoers tree would not parse, so it stays as it was" in result["comment"]
    assert shared.client.read(SUDOERS) == before
    assert shared.opens("mybro", FILES["leaptest"], password=None)
    shared.client.run(["rm", SITE])
    shared.applied(PILLAR)
    assert shared.client.run(["visudo", "-c"]).returncode == 0


def test_other_files_are_looked_at_while_nothing_changes(shared):
    """Our own rules are left out of the reading then; those of others, and whether ours count, are still found."""
    shared.applied()
    shared.client.write(SITE, "nogrant ALL=(ALL) ALL\n", mode=0o440)
    result = shared.apply()
    assert result["changes"] == {}
    assert "another sudo rule: nogrant may run ALL" in result["comment"]
    assert "myself" not in result["comment"]
    shared.client.run(["rm", SITE])
    main = shared.client.read("/etc/sudoers")
    shared.client.write("/etc/sudoers", re.sub("(?m)^[@#]includedir", "# no includedir", main), mode=0o440)
    try:
        result = shared.apply()
    finally:
        shared.client.write("/etc/sudoers", main, mode=0o440)
    assert result["result"] is False
    assert f"does not include {SUDOERS}" in result["comment"]
    assert shared.applied()["changes"] == {}


# What is said


def test_rules_show_their_windows(shared):
    """spice_sudoers.rules reads them back from the file; explain says when a rule opens."""
    shared.applied()
    windows_by_rule = {}
    for rule in shared.minion.call("spice_sudoers.rules", foreign=False):
        windows_by_rule.setdefault((rule["user"], rule["argument"]), rule["windows"])
    assert windows_by_rule["mybro", FILES["leaptest"]] is None
    assert windows_by_rule["nogrant", FILES["leaptest"]] == [[AHEAD, "2106-02-07T06:28:16Z"]]
    assert windows_by_rule["myself", URIS["debianx"]] == windows_by_rule["mybro", FILES["debianx"]]
    windows = windows_by_rule["myself", URIS["debianx"]]
    assert len(windows) > 30
    assert all(start < end for start, end in windows) and windows == sorted(windows)
    answer = shared.minion.call("spice_grant.explain", "nogrant", "leaptest")["sudo"]
    assert answer["answer"] == "refused"
    assert answer["why"].startswith("our rule is closed at this moment; it opens ")


def test_a_group_costs_one_rule(shared):
    """Its members share the lines of the file."""
    shared.applied()
    text = shared.client.read(SUDOERS)
    assert "\nmybro, myself \\\n    ALL=(:spicegrp) NOTBEFORE=" in text


def test_the_launcher_says_what_is_closed(shared):
    """It lists until when, or from when; it opens nothing that is closed, and does not trouble sudo with it."""
    shared.applied()
    listed = shared.client.run([RVIEWER, "--list"], user="nogrant", env={"TZ": "UTC"}).stdout
    ahead = time.strftime("%a %Y-%m-%d %H:%M", time.strptime(AHEAD, "%Y-%m-%dT%H:%M:%SZ"))
    assert listed.startswith(f"leaptest\tclosed, opens {ahead}")
    for arguments in (["leaptest"], []):
        done = shared.client.run([RVIEWER, *arguments], user="nogrant", env={"TZ": "UTC"}, check=False)
        assert done.returncode == 1 and f"opens {ahead}" in done.stderr and "sudo" not in done.stderr
    (line,) = [
        line
        for line in shared.client.run([RVIEWER, "--list"], user="mybro", env={"TZ": "UTC"}).stdout.splitlines()
        if line.startswith("debianx")
    ]
    assert re.fullmatch(r"debianx\t(until .*12:00( UTC)?|until .*00:00 UTC|closed, opens .*12:30 UTC)", line)
