"""What sudo's own parser makes of rules with times: exactly what is meant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import day_of
from spicegrants.schedule.instants import EARLIEST, iso
from spicegrants.schedule.intervals import ALWAYS, FIRST, LAST
from spicegrants.sudo import sudoers
from spicegrants.sudo.other_rules import Site, foreign
from unit.build import EVENING_WINDOWS, TIMED, VIEWER, cvtsudoers, desired, visudo
from unit.strategies import pillars, systems

URI = "spice://mysrv.anraconc.de?tls-port=20002"


@pytest.mark.usefixtures("sudo_tools")
class TestReadBack:
    """Sudo's own parser reads the text."""

    def test_windows(self):
        compiled = desired(TIMED)
        found = sudoers.own_rules(cvtsudoers(sudoers.render(compiled)))
        assert sorted(found) == sorted(sudoers.rules(compiled))
        assert {rule.windows for rule in found if rule.user == "myself"} == {EVENING_WINDOWS}
        assert {rule.windows for rule in found if rule.user == "mybro"} == {ALWAYS}

    @pytest.mark.parametrize(
        ("times", "windows"),
        [
            ("", ALWAYS),
            ("NOTBEFORE=20200101080000Z", ((EARLIEST + 8 * 3600, LAST),)),
            ("NOTAFTER=20200101075959Z", ((FIRST, EARLIEST + 8 * 3600),)),
            ("NOTBEFORE=20200101080000Z NOTAFTER=20200101080000Z", ((EARLIEST + 28800, EARLIEST + 28801),)),
            ("NOTBEFORE=2020010109+0100 NOTAFTER=202001010859+0100", ((EARLIEST + 28800, EARLIEST + 28741),)),
            ("NOTBEFORE=19600101000000Z NOTAFTER=99991231235959Z", ALWAYS),
        ],
    )
    def test_all_spellings_of_times(self, times, windows):
        """As sudoers(5) takes them; a window that ends before it starts is none."""
        text = f"ann ALL=(:spicegrp) {times} PASSWD: NOSETENV: {VIEWER} -- x\n"
        meant = [window for window in windows if window[0] < window[1]]
        assert [rule.windows for rule in sudoers.own_rules(cvtsudoers(text))] == ([tuple(meant)] if meant else [])

    def test_windows_of_several_rules_are_joined(self):
        line = f"ann ALL=(:spicegrp) NOTBEFORE=2020010108Z NOTAFTER=202001010{{}}Z PASSWD: NOSETENV: {VIEWER} -- x\n"
        (rule,) = sudoers.own_rules(cvtsudoers(line.format("85959") + line.format("95959")))
        assert rule.windows == ((EARLIEST + 8 * 3600, EARLIEST + 10 * 3600),)

    @pytest.mark.parametrize(
        "commands",
        [
            f"NOTBEFORE=2020010108Z PASSWD: NOSETENV: {VIEWER} -- x, {VIEWER} -- y",
            f"NOTAFTER=2020010108Z PASSWD: NOSETENV: {VIEWER} -- x, NOTBEFORE=2020010109Z {VIEWER} -- x",
            f"TIMEOUT=5 PASSWD: NOSETENV: {VIEWER} -- x",
        ],
    )
    def test_what_cannot_be_told_for_certain_is_not_taken_for_ours(self, commands):
        """Of a list of commands cvtsudoers prints the times of the first only."""
        tree = cvtsudoers(f"ann ALL=(:spicegrp) {commands}\n")
        granted = [sudoers.SudoRule("ann", "spicegrp", VIEWER, argument) for argument in "xy"]
        assert sudoers.own_rules(tree) == []
        assert [found.who for found in foreign(tree, granted, Site())] == ["ann"]

    @pytest.mark.parametrize(
        ("times", "more"),
        [
            ("NOTBEFORE=2020010117Z NOTAFTER=20200101205959Z", False),
            ("NOTBEFORE=2020010118Z NOTAFTER=20200101185959Z", False),
            ("NOTBEFORE=2020010117Z NOTAFTER=20200101210000Z", True),
            ("NOTBEFORE=20200101165959Z NOTAFTER=20200101205959Z", True),
            ("NOTBEFORE=2020010117Z NOTAFTER=20200102205959Z", True),
            ("NOTAFTER=20200101205959Z", True),
            ("NOTBEFORE=2020010117Z", True),
            ("", True),
        ],
    )
    def test_a_rule_elsewhere_that_gives_more_time_than_ours_is_foreign(self, times, more):
        compiled = desired(TIMED)
        rule = " ".join(map(sudoers.escape, [VIEWER, "--", URI]))
        text = f"{sudoers.render(compiled)}myself ALL=(:spicegrp) {times} PASSWD: NOSETENV: {rule}\n"
        found = foreign(cvtsudoers(text), sudoers.rules(compiled), Site())
        assert [entry.who for entry in found] == ["myself"] * more

    def test_the_head_alone_parses_and_names_no_user(self):
        """The tree is read with it instead of the whole file."""
        tree = cvtsudoers(sudoers.head(desired(TIMED)))
        whole = cvtsudoers(sudoers.render(desired(TIMED)))
        assert "User_Specs" not in tree
        assert (tree["Command_Aliases"], tree["Defaults"]) == (whole["Command_Aliases"], whole["Defaults"])


@st.composite
def timed(draw):
    """Draw a pillar of which many grants have times, and a moment."""
    data = draw(pillars())
    zones = st.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kolkata"])
    hours = st.sampled_from(["18:00-22:00", "22:00-02:00", "00:00-24:00", "06:30-06:31"])
    days = st.lists(st.sampled_from(["mon", "wed", "sat", "sun"]), min_size=1, max_size=3)
    for name in ("early", "late"):
        spans = draw(st.lists(hours, min_size=1, max_size=2))
        data.setdefault("schedules", {})[name] = {"days": draw(days), "hours": spans, "zone": draw(zones)}
    moment = st.integers(1_790_000_000, 1_800_000_000)
    for grant in data["grants"].values():
        if draw(st.booleans()):
            grant["schedule"] = draw(st.sampled_from(["early", "late", ["early", "late"]]))
        low, high = sorted(draw(st.tuples(moment, moment)))
        if draw(st.integers(0, 3)) == 0:
            grant["valid_from"] = iso(low)
        if draw(st.integers(0, 3)) == 0:
            grant["valid_until"] = iso(high + 1)
    data["time"] = {"horizon": f"{draw(st.integers(2, 40))}d"}
    return data, draw(moment)


@settings(max_examples=150)
@given(timed(), st.data())
def test_whatever_the_times_sudo_reads_the_rules_that_are_meant(sudo_tools, drawn, data):
    made, now = drawn
    declared = pillar.parse_policy(made)
    compiled = compile_policy(declared, data.draw(systems(declared)), now=now, day=day_of(now))
    text = sudoers.render(compiled)
    assert visudo(text) == ""
    assert sorted(sudoers.own_rules(cvtsudoers(text))) == sorted(sudoers.rules(compiled))
    assert visudo(sudoers.head(compiled)) == ""
