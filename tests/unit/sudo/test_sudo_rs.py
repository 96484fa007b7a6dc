"""With sudo-rs: no times, no setting that it does not know, confined viewers only, and our file read back."""

import functools
import re

import pytest

from spicegrants.audit import explain, verdict
from spicegrants.core.entries import File
from spicegrants.core.paths import OPENER, SUDOERS
from spicegrants.schedule.intervals import ALWAYS
from spicegrants.sudo import sudo_rs, sudoers
from unit.build import EVENINGS, TIMED, desired

CONFINABLE = {"unconfinable": "", "sudo_rs": True}


def rs(changes=None, **inventory):
    return desired(changes, **{**CONFINABLE, **inventory})


def test_what_it_says_of_itself():
    assert sudo_rs.is_sudo_rs("sudo-rs 0.2.5\n")
    assert not sudo_rs.is_sudo_rs("Sudo version 1.9.16p2\nSudoers policy plugin version 1.9.16p2\n")


def test_there_are_no_times_and_no_unknown_settings():
    text = sudoers.render(rs(TIMED))
    assert "NOTBEFORE" not in text and "NOTAFTER" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("Defaults!")]
    settings = re.sub('"[^"]*"', "", line.partition(" ")[2])
    assert set(re.findall("[a-z_]+", settings)) == sudo_rs.SETTINGS
    assert f"myself ALL=(root) PASSWD: NOSETENV: {OPENER} debianx" in text.splitlines()
    assert f"mybro ALL=(root) NOPASSWD: NOSETENV: {OPENER} leaptest" in text.splitlines()


def test_what_never_opens_has_no_rule():
    sundays = {**TIMED, "schedules": {"evenings": {**EVENINGS, "days": "sun"}}}
    assert "myself" not in sudoers.render(rs(sundays)) and "myself" in sudoers.render(rs(TIMED))


def test_a_file_is_read_back_as_it_was_written():
    compiled = rs(TIMED)
    read = sudoers.own_rules(sudo_rs.tree(sudoers.render(compiled)))
    assert sorted(read) == sorted(sudoers.rules(compiled))
    assert {rule.windows for rule in read} == {ALWAYS}


@pytest.mark.parametrize(
    "text", ["", "garbage\n", "myself ALL=(ALL) NOPASSWD: ALL\n", "# myself ALL=(root) PASSWD: x\n"]
)
def test_what_is_not_ours_is_not_read_as_ours(text):
    assert sudo_rs.tree(text) == {}


def test_an_edit_is_seen_and_said():
    compiled = rs()
    text = sudoers.render(compiled)
    for edited, what in (
        (text.replace(" debianx", " leaptest"), "lets myself open debianx confined with their password"),
        (text.replace("mybro ALL=(root) NOPASSWD", "mybro ALL=(root) PASSWD"), "lets mybro open leaptest confined"),
        (text + "guest ALL=(ALL) ALL\n", f"restores {SUDOERS}, which was edited"),
        (text.replace("!targetpw", "targetpw"), f"restores {SUDOERS}, which was edited"),
    ):
        planned = sudoers.plan_sudoers(
            compiled, File(edited.encode(), sudoers.MODE), functools.partial(sudo_rs.tree, edited)
        )
        assert planned.text == text
        assert any(change.what.startswith(what) for change in planned.changes), planned.changes


def test_from_the_other_sudo_and_back():
    """The file of one is not that of the other; what always holds is no change of a grant."""
    before, after = desired(TIMED, unconfinable=""), rs(TIMED)
    text = sudoers.render(before)
    planned = sudoers.plan_sudoers(after, File(text.encode(), sudoers.MODE), lambda: sudo_rs.tree(text))
    assert [change.what for change in planned.changes] == ["lets myself open debianx confined with their password"]
    assert planned.text == sudoers.render(after) != text


@pytest.mark.parametrize(
    ("changes", "inventory", "why"),
    [
        ({"viewer": {"confine": False}}, {}, "pillar has them run in the direct form"),
        ({}, {"unconfinable": "there is no bwrap"}, "there is no bwrap"),
    ],
)
def test_the_direct_form_is_an_error(changes, inventory, why):
    compiled = rs(changes, **inventory)
    (finding,) = compiled.findings
    assert why in str(finding) and str(finding).startswith("spice:viewer:confine: with sudo-rs")
    assert compiled.accesses == () and "ALL=" not in sudoers.render(compiled)


def test_what_sudo_lets_start_and_the_opener_refuses_is_as_it_must_be():
    compiled = rs(TIMED)
    rules = sudoers.rules(compiled)
    closed = explain.sudo(compiled, "myself", "debianx", rules, True)
    assert closed["answer"] == "refused" and "opener" in closed["why"]
    assert explain.sudo(compiled, "mybro", "leaptest", rules, True)["answer"] == "allowed"
    attempt = verdict.Attempt({}, {}, {"-u root open debianx": True})
    assert verdict.cell(False, attempt, by_sudo=True)["differences"] == []
    assert verdict.cell(False, attempt)["differences"] == ["sudo lets: sudo -u root open debianx"]
