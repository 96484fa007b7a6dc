"""With sudo-rs as the machine's sudo: what is granted opens, what is close to it does not; to it and back."""

import contextlib
import datetime
import json
import subprocess
import sys

import pytest

from functional.confined import OPENER, Witnesses, pillar, serve, site_rule
from functional.confined import prepare as prepare_witness
from functional.office import changed, sentences
from scene import need
from scenes import GROUP, SUDOERS
from spicegrants.sudo import commands, sudo_rs
from spicegrants.sudo.commands import SudoRule

need("bwrap", "sudo-rs")
PILLAR = pillar()
SUDO = "/usr/bin/sudo"
# Opens a console over and over until its standard input is closed; says how sudo ended, and how often.
TRIES = """
import collections, json, select, subprocess, sys
ends = collections.Counter()
while not select.select([sys.stdin], [], [], 0)[0]:
    done = subprocess.run(["sudo", "-n", *sys.argv[1:]], stdin=subprocess.DEVNULL, capture_output=True)
    ends[done.returncode] += 1
print(json.dumps(ends))
"""


def switch(office, name):
    """Make another program the machine's sudo, in one step."""
    office.client.run(["ln", "-s", name, f"{SUDO}.new"])
    office.client.run(["mv", "-T", f"{SUDO}.new", SUDO])


def prepare(office):
    """Have sudo-rs be what is called, and C sudo lie beside it."""
    prepare_witness(office)
    office.client.run(["mv", "-T", SUDO, f"{SUDO}.c"])
    switch(office, "sudo-rs")


def later(grant):
    """The pillar with a grant that opens in two days."""
    begins = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
    grants = PILLAR["spice"]["grants"]
    return changed(PILLAR, grants={**grants, grant: {**grants[grant], "valid_from": f"{begins:%Y-%m-%dT%H:%MZ}"}})


@contextlib.contextmanager
def witnesses(office):
    """Somebody who hears what witnesses report."""
    heard = Witnesses(office)
    try:
        yield heard
    finally:
        heard.stop()


def test_it_is_what_runs(shared):
    done = shared.client.run(["sudo", "--version"])
    assert sudo_rs.is_sudo_rs(done.stdout or done.stderr)


def test_second_run_changes_nothing_and_sudo_takes_the_whole_tree(shared):
    assert shared.apply()["changes"] == {}
    assert shared.apply(test=True)["result"] is True
    assert shared.client.run(["visudo-rs", "-c"]).returncode == 0
    done = shared.sudo("mybro", "-l")
    assert "syntax" not in done.stderr and "unknown setting" not in done.stderr, "nothing is said at a call"


def test_the_granted_open_and_nobody_else(shared):
    with witnesses(shared) as heard:
        for user, vm, opens in (
            ("myself", "debianx", True),
            ("mybro", "leaptest", True),
            ("myself", "leaptest", False),
            ("mybro", "debianx", False),
            ("nogrant", "debianx", False),
        ):
            done, report = heard.open(user, vm, env={} if user != "myself" else None)
            # Without a display of theirs the opener itself says so: sudo has let them.
            assert (report is not None) is (opens and user == "myself"), done
            assert ("there is no desktop" in done.stderr or report is not None) is opens, done
    assert shared.verify()["ok"]


def test_rviewer(shared):
    """Whoever needs no password opens a console by its name; the list is theirs alone."""
    serve(shared, "mybro", "/tmp/.X11-unix/X8")  # noqa: S108
    desktop = ["/usr/bin/env", "DISPLAY=:8", "rviewer"]
    listed = shared.client.run([*desktop, "--list"], user="mybro")
    assert listed.stdout == "leaptest\n"
    with witnesses(shared) as heard:
        opened = shared.client.run([*desktop, "leaptest"], user="mybro")
        assert opened.returncode == 0 and heard.report()["ids"][0] == [1022] * 3
        refused = shared.client.run([*desktop, "debianx"], user="mybro", check=False)
        assert refused.returncode == 1 and "You may not open 'debianx'" in refused.stderr


def test_a_call_close_to_the_granted_one_is_refused(shared):
    """Really called, not only asked for: without a password, and with the user's own."""
    rule = SudoRule("mybro", "", OPENER, "leaptest", nopasswd=True)
    for what, call in commands.mutants(rule, 20002):
        for password in (False, True):
            done = shared.sudo("mybro", *call, password=password)
            assert done.returncode == 1 and "rviewer:" not in done.stderr, (what, done)
    for options in (["--preserve-env"], ["--chroot=/srv"], ["--chdir=/srv"], ["--shell"], ["--login"], ["-g", GROUP]):
        assert shared.sudo("mybro", *options, "-u", "root", OPENER, "leaptest").returncode, options
    assert shared.sudo("mybro", "EVIL=1", "-u", "root", OPENER, "leaptest").returncode


def test_a_window_is_kept_by_the_opener(shared):
    """The file has no times; sudo starts the opener, which refuses."""
    shared.applied(later("myself-debianx"))
    assert "NOTBEFORE" not in shared.client.read(SUDOERS) and "debianx" in shared.client.read(SUDOERS)
    with witnesses(shared) as heard:
        done, report = heard.open("myself")
        assert report is None and "opens" in done.stderr
    found = shared.minion.call("spice_grant.explain", "myself", "debianx")
    assert found["answer"] == "may not open" and "opener" in found["sudo"]["why"]
    assert shared.verify()["ok"]


def test_a_lock_a_loan_and_a_revocation(shared):
    with witnesses(shared) as heard:
        shared.minion.call("spice_grant.lock", user="myself", reason="left")
        assert heard.open("myself")[1] is None
        shared.minion.call("spice_grant.unlock", user="myself")
        assert heard.open("myself")[1]
        shared.minion.call("spice_grant.lend", "myself", "leaptest", "1h")
        assert heard.open("myself", "leaptest")[1]
        shared.minion.call("spice_grant.end_loan", "myself", "leaptest")
        assert heard.open("myself", "leaptest")[1] is None
        shared.minion.call("spice_grant.revoke", "myself", "debianx")
        assert heard.open("myself")[1] is None


def test_what_cannot_be_looked_at_is_said(shared):
    assert "sudo-rs prints its rules in no form that can be read" in shared.apply()["comment"]
    with site_rule(shared, "nogrant ALL=(ALL) NOPASSWD: ALL"):
        found = shared.minion.call("spice_sudoers.others", "nogrant")
        assert any("any program" in what for what in found["nogrant"]["lets"])
        strict = shared.apply(changed(PILLAR, sudo={"strict": True}))
        assert not strict["result"] and "sudo lets nogrant" in strict["comment"]
    assert shared.minion.call("spice_sudoers.allowed", "mybro", "leaptest")["refused"] == []


def test_lines_of_others_that_it_does_not_take_hinder_nothing(shared):
    """A site's settings of C sudo are passed over: grants go on to open and to close."""
    with site_rule(shared, "Defaults requiretty, logfile=/var/log/sudo.log"):
        without = changed(PILLAR)
        del without["spice"]["grants"]["mybro-leaptest"]
        shared.applied(without)
        assert "leaptest" not in shared.client.read(SUDOERS)
        shared.applied(PILLAR)
        assert shared.sudo("mybro", "-u", "root", OPENER, "leaptest").stderr.count("rviewer:") == 1


def test_a_tree_that_does_not_read_our_file_is_an_error(shared):
    before = shared.client.read("/etc/sudoers")
    shared.client.write("/etc/sudoers", before.replace("@includedir", "#"), mode=0o440)
    try:
        ended = shared.apply()
        assert not ended["result"] and f"does not heed {SUDOERS}" in ended["comment"]
    finally:
        shared.client.write("/etc/sudoers", before, mode=0o440)


@pytest.mark.parametrize("edited", ["x ALL=(ALL) NOPASSWD: ALL\n", "garbage\n", ""])
def test_an_edit_is_repaired(shared, edited):
    shared.client.write(SUDOERS, edited, mode=0o440)
    assert sentences(shared.apply(test=True)["changes"]) == sentences(shared.applied()["changes"]) != []
    assert shared.apply()["changes"] == {} and shared.verify()["ok"]


def test_the_direct_form_is_an_error(shared):
    ended = shared.apply(pillar(confine=False))
    assert not ended["result"] and "with sudo-rs viewers must run confined" in ended["comment"]
    assert "ALL=" not in shared.client.read(SUDOERS)


def test_to_the_other_sudo_and_back_while_somebody_tries(shared):
    """Whatever sudo stands there, with whichever file: who is not granted is refused at each try."""
    shared.applied(later("mybro-leaptest"))
    command = [sys.executable, "-IS", "-c", TRIES, "-u", "root", OPENER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    tries = [
        shared.client.popen([*command, vm], user=user, **pipes)
        for user, vm in (("mybro", "leaptest"), ("mybro", "debianx"), ("nogrant", "debianx"))
    ]
    try:
        for name in ("sudo.c", "sudo-rs") * 2:
            switch(shared, name)
            shared.client.run(["sudo", "-n", "true"])
            text = sentences(shared.applied()["changes"])
            assert text and shared.apply()["changes"] == {}
            assert ("NOTBEFORE" in shared.client.read(SUDOERS)) is (name == "sudo.c")
            assert shared.verify()["ok"]
    finally:
        switch(shared, "sudo-rs")
        ends = []
        for process in tries:
            process.stdin.close()
            ends.append(json.loads(process.stdout.readline()))
            process.wait()
    assert all(set(end) == {"1"} and end["1"] > 10 for end in ends), ends
