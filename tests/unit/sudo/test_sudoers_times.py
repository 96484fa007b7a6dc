"""The sudo layer with times: one rule for all who share them, a line a window; and what is planned."""

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.core.accounts import Account, Group
from spicegrants.core.entries import File
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import ALWAYS, DAY, LAST, union
from spicegrants.sudo import sudoers
from unit.build import (
    EVENING_WINDOWS,
    EVENINGS,
    TIMED,
    VIEWER,
    article,
    changed,
    cvtsudoers,
    desired,
    inventory,
    parsed,
    policy,
    visudo,
)
from unit.strategies import names

URI = "spice://mysrv.anraconc.de?tls-port=20002"
CONNECTION = "/etc/spice-grant/vms/debianx.vv"


def body(compiled):
    """Return the rules of the file, without what stands before all."""
    return sudoers.render(compiled).removeprefix(sudoers.head(compiled)).strip("\n").split("\n\n")


def rule_of(user, compiled):
    """Return the one text that names a user."""
    (text,) = [text for text in body(compiled) if re.search(rf"^(.*, )?{user}\b", text, re.MULTILINE)]
    return text


# The file


def test_a_rule_with_times_has_a_line_a_window():
    assert rule_of("myself", desired(TIMED)) == (
        "myself \\\n"
        "    ALL=(:spicegrp) NOTBEFORE=20191230170000Z NOTAFTER=20191230205959Z "
        "PASSWD: NOSETENV: SPICE_GRANT_DEBIANX : \\\n"
        "    ALL=(:spicegrp) NOTBEFORE=20191231170000Z NOTAFTER=20191231205959Z "
        "PASSWD: NOSETENV: SPICE_GRANT_DEBIANX : \\\n"
        "    ALL=(:spicegrp) NOTBEFORE=20200101170000Z NOTAFTER=20200101205959Z "
        "PASSWD: NOSETENV: SPICE_GRANT_DEBIANX : \\\n"
        "    ALL=(:spicegrp) NOTBEFORE=20200102170000Z NOTAFTER=20200102205959Z "
        "PASSWD: NOSETENV: SPICE_GRANT_DEBIANX"
    )


def test_the_alias_of_a_console_is_its_commands():
    (line,) = [line for line in sudoers.head(desired(TIMED)).splitlines() if "SPICE_GRANT_" in line]
    commands = [" ".join(map(sudoers.escape, (VIEWER, "--", argument))) for argument in (URI, CONNECTION)]
    assert line == f"Cmnd_Alias SPICE_GRANT_DEBIANX = {', '.join(commands)}"


def test_a_rule_without_times_is_as_it_is_where_nothing_has_times():
    assert rule_of("mybro", desired(TIMED)) == rule_of("mybro", desired())


@pytest.mark.parametrize(
    ("limits", "options"),
    [
        ({"valid_from": "2020-01-01T08:00Z"}, "NOTBEFORE=20200101080000Z"),
        ({"valid_until": "2020-01-01T08:00Z"}, "NOTBEFORE=20200101000000Z NOTAFTER=20200101075959Z"),
        (
            {"valid_from": "2020-01-01T08:00Z", "valid_until": "2020-01-01T08:00:01Z"},
            "NOTBEFORE=20200101080000Z NOTAFTER=20200101080000Z",
        ),
    ],
)
def test_sudo_takes_the_last_second_for_a_part_of_it_and_what_has_no_end_has_none(limits, options):
    compiled = desired({f"grants__myself-debianx__{name}": moment for name, moment in limits.items()})
    assert rule_of("myself", compiled).splitlines()[1] == (
        f"    ALL=(:spicegrp) {options} PASSWD: NOSETENV: SPICE_GRANT_DEBIANX"
    )


def test_a_schedule_that_never_opens_makes_no_rule():
    never = {**EVENINGS, "except": "2019-01-01/2021-01-01"}
    compiled = desired({**TIMED, "schedules": {"evenings": never}})
    assert sudoers.rules(compiled) == sudoers.rules(desired({"grants__myself-debianx": ...}))
    assert "myself" not in sudoers.render(compiled) and "debianx" not in sudoers.render(compiled)


def ended():
    """A policy with a grant whose end has passed."""
    declared = policy(**TIMED, **{"grants__myself-debianx__valid_until": "2020-01-02T18:00Z"})
    return compile_policy(
        declared, inventory(), desired(TIMED).accesses, now=EARLIEST + 5 * DAY, day=EARLIEST + 5 * DAY
    )


def test_a_grant_that_has_ended_has_no_rule():
    assert {rule.user for rule in sudoers.rules(ended())} == {"mybro"}
    assert "myself" not in sudoers.render(ended())


def test_while_the_clock_is_not_set_what_has_times_has_no_rule():
    compiled = compile_policy(policy(**TIMED), inventory(), now=0, day=None)
    assert {rule.user for rule in sudoers.rules(compiled)} == {"mybro"}
    assert "myself" not in sudoers.render(compiled)


def test_a_grant_without_times_opens_what_another_opens_at_times():
    compiled = desired({**TIMED, "grants__more": {"user": "myself", "vm": "debianx"}})
    both = desired({"grants__more": {"user": "myself", "vm": "debianx"}})
    assert sudoers.render(compiled) == sudoers.render(both)


MEMBERS = {f"user{number}": Account(f"user{number}", 3000 + number, 3000) for number in range(40)}
EVERYONE = {"users": MEMBERS, "groups": {**inventory().groups, "family": Group("family", 2000, tuple(MEMBERS))}}


def everyone(**more):
    data = {**TIMED, "grants": {"everyone": {"group": "family", "vm": "debianx", "schedule": "evenings"}, **more}}
    return desired(data, **EVERYONE)


def test_those_who_share_console_and_times_share_one_rule():
    """A group of forty costs no more lines than one user."""
    (text,) = body(everyone())
    users, *windows = text.splitlines()
    assert users == f"{', '.join(sorted(MEMBERS))} \\"
    assert len(windows) == len(EVENING_WINDOWS)
    assert len(sudoers.rules(everyone())) == 80


def test_those_who_differ_do_not_share():
    """In times, in the password, or in the console."""
    compiled = everyone(
        longer={"user": "user1", "vm": "debianx", "valid_until": "2020-01-01T12:00Z"},
        asked={"user": "user2", "vm": "debianx", "schedule": "evenings", "nopasswd": True},
        other={"user": "user3", "vm": "leaptest", "schedule": "evenings"},
    )
    texts = body(compiled)
    assert len(texts) == 4
    (longer,) = (text for text in texts if text.startswith("user1 \\"))
    (asked,) = (text for text in texts if text.startswith("user2 \\"))
    (other,) = (text for text in texts if text.startswith("user3 \\"))
    (everybody,) = (text for text in texts if text not in (longer, asked, other))
    assert asked.count(" NOPASSWD: ") == len(EVENING_WINDOWS)
    assert "SPICE_GRANT_LEAPTEST" in other and "user3, " in everybody


@pytest.mark.parametrize(
    ("vm", "alias"),
    [
        ("debianx", "DEBIANX"),
        ("books-old", "BOOKS__OLD"),
        ("books_old", "BOOKS_5FOLD"),
        ("books.old", "BOOKS_2EOLD"),
        ("Books", "_42OOKS"),
        ("3d", "3D"),
    ],
)
def test_aliases_are_named_for_their_console(vm, alias, sudo_tools):
    data = changed(article(), **TIMED)
    data["vms"][vm] = data["vms"].pop("debianx")
    data["grants"]["myself-debianx"]["vm"] = vm
    compiled = compile_policy(pillar.parse_policy(data), inventory())
    assert visudo(sudoers.render(compiled)) == ""
    assert set(cvtsudoers(sudoers.render(compiled))["Command_Aliases"]) == {"SPICE_GRANT", f"SPICE_GRANT_{alias}"}


@example(["a-41", "aA"])
@example(["a-b", "a_b", "a.b", "a--b"])
@given(st.lists(names, min_size=2, max_size=8, unique=True))
def test_no_two_consoles_have_one_alias(vms):
    data = changed(article(), **TIMED, vms={}, grants={})
    for number, vm in enumerate(vms):
        data["vms"][vm] = {"server": "mysrv", "tls_port": 20001 + number}
        data["grants"][vm] = {"user": "myself", "vm": vm, "schedule": "evenings"}
    text = sudoers.head(compile_policy(pillar.parse_policy(data), inventory()))
    assert len(set(re.findall("^Cmnd_Alias SPICE_GRANT_([A-Z0-9_]+) =", text, re.MULTILINE))) == len(vms)


def test_a_thousand_grants_by_fifty_schedules():
    """A line a window, user and console, and commands once a console: what sudo reads in a tenth of a second."""
    users = {f"user{number}": Account(f"user{number}", 3000 + number, 3000) for number in range(100)}
    data = changed(article(), time={"horizon": "30d"}, vms={}, grants={}, schedules={})
    for number in range(50):
        data["schedules"][f"s{number}"] = {**EVENINGS, "hours": f"18:00-22:{number:02}"}
    data["servers"]["mysrv"]["ports"] = "20001-20010"
    for port in range(10):
        data["vms"][f"vm{port}"] = {"server": "mysrv", "tls_port": 20001 + port}
    for number in range(1000):
        vm = f"vm{number // 100}"
        data["grants"][f"g{number}"] = {"user": f"user{number % 100}", "vm": vm, "schedule": f"s{number % 50}"}
    compiled = compile_policy(pillar.parse_policy(data), inventory(users=users))
    text = sudoers.render(compiled)
    # Two users of a hundred share each schedule, and so each line: Monday to Friday over 32 days.
    assert len(compiled.accesses) == 1000
    assert text.count("NOTBEFORE") == 500 * 24
    assert text.count("20001") == 2 and len(text) < 1_400_000


def office(number, **firewall):
    """A console for each of so many users, open at one of fifty different times; viewers are confined, or not."""
    users = {f"user{index}": Account(f"user{index}", 3000 + index, 3000) for index in range(number)}
    data = changed(article(), time={"horizon": "30d"}, vms={}, grants={}, schedules={})
    data["servers"]["mysrv"]["ports"] = "20001-29999"
    for index in range(50):
        data["schedules"][f"s{index}"] = {**EVENINGS, "hours": f"18:00-22:{index:02}"}
    for index in range(number):
        data["vms"][f"vm{index}"] = {"server": "mysrv", "tls_port": 20001 + index}
        data["grants"][f"g{index}"] = {"user": f"user{index}", "vm": f"vm{index}", "schedule": f"s{index % 50}"}
    return compile_policy(pillar.parse_policy(data), inventory(users=users, **firewall))


@pytest.mark.parametrize(
    ("unconfinable", "number", "keeps"),
    [("", 400, True), ("", 420, False), ("there is no sandbox", 420, True)],
    ids=["few", "too many to be read at each call", "in the direct form nothing else keeps them"],
)
def test_times_are_in_the_file_as_far_as_sudo_can_read_them_at_each_call(unconfinable, number, keeps):
    """Without them the rules are those of consoles that are always open, and the opener refuses at other times."""
    compiled = office(number, unconfinable=unconfinable)
    text = sudoers.render(compiled)
    assert sudoers.keeps_times(compiled) is keeps
    assert text.count("NOTBEFORE") == (24 * number if keeps else 0)
    assert {rule.windows == ALWAYS for rule in sudoers.rules(compiled)} == {not keeps}
    assert len({rule.argument for rule in sudoers.rules(compiled)}) >= number
    said = sudoers.times_left_out(compiled)
    assert said == [] if keeps else "only the opener keeps them: there are more than 10,000 windows" in said[0]


def test_sudo_rs_leaves_all_times_to_the_opener():
    timed = desired(TIMED, sudo_rs=True, unconfinable="")
    assert [text.rpartition(": ")[2] for text in sudoers.times_left_out(timed)] == ["sudo-rs knows none"]
    assert sudoers.times_left_out(desired(sudo_rs=True, unconfinable="")) == []


def test_what_is_never_open_has_no_rule_either_way():
    compiled = office(420, unconfinable="")
    ended = compiled.accesses[0]._replace(within=())
    assert sudoers.rules_for(compiled, ended) == []


# Plans


def plan(compiled, rules):
    """Plan from a file that is not ours byte for byte and that holds these rules."""
    return sudoers.plan_sudoers(compiled, File(b"edited", sudoers.MODE), lambda: parsed(rules))


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


def mine(compiled):
    return [rule for rule in sudoers.rules(compiled) if rule.user == "myself"]


def theirs(compiled):
    return [rule for rule in sudoers.rules(compiled) if rule.user != "myself"]


OWN = ("myself-debianx",)


def test_a_grant_with_times_is_planned_with_them():
    compiled = desired(TIMED)
    assert words(plan(compiled, theirs(compiled))) == [
        (f"lets myself start the viewer on {CONNECTION} with their password, by schedule evenings", OWN),
        (f"lets myself start the viewer on {URI} with their password, by schedule evenings", OWN),
    ]


def with_windows(rules, windows):
    return [replace(rule, windows=windows) for rule in rules]


@pytest.mark.parametrize(
    "windows",
    [
        ALWAYS,
        EVENING_WINDOWS[:3],
        (*EVENING_WINDOWS[:3], (EVENING_WINDOWS[3][0], EVENING_WINDOWS[3][1] + 1)),
        ((EVENING_WINDOWS[0][0] - 1, EVENING_WINDOWS[0][1]), *EVENING_WINDOWS[1:]),
        ((EVENING_WINDOWS[0][0], LAST),),
        union(EVENING_WINDOWS, ((EVENING_WINDOWS[3][1] + 60, EVENING_WINDOWS[3][1] + 120),)),
    ],
)
def test_times_that_were_altered_are_set_again(windows):
    compiled = desired(TIMED)
    planned = plan(compiled, [*theirs(compiled), *with_windows(mine(compiled), windows)])
    assert words(planned) == [
        (f"sets when myself may start the viewer on {CONNECTION}: by schedule evenings", OWN),
        (f"sets when myself may start the viewer on {URI}: by schedule evenings", OWN),
    ]
    assert planned.text == sudoers.render(compiled)


def test_times_of_one_rule_that_were_altered():
    compiled = desired(TIMED)
    one, other = mine(compiled)
    planned = plan(compiled, [*theirs(compiled), one, *with_windows([other], ALWAYS)])
    assert words(planned) == [(f"sets when myself may start the viewer on {other.argument}: by schedule evenings", OWN)]


def test_a_grant_that_loses_its_times():
    planned = plan(desired(), sudoers.rules(desired(TIMED)))
    assert [what for what, _ in words(planned)] == [
        f"sets when myself may start the viewer on {argument}: always" for argument in (CONNECTION, URI)
    ]


def test_a_grant_that_is_never_open_again_loses_its_rules():
    assert words(plan(ended(), sudoers.rules(desired(TIMED)))) == [
        (f"no longer lets myself start the viewer on {argument}", OWN) for argument in (CONNECTION, URI)
    ]


def test_the_same_rules_in_another_text_were_edited():
    compiled = desired(TIMED)
    planned = plan(compiled, sudoers.rules(compiled))
    assert words(planned) == [("restores /etc/sudoers.d/spice-grant, which was edited", ())]


def test_a_file_that_is_right_is_not_parsed():
    def asked():
        raise AssertionError("the file is right, byte for byte")

    compiled = desired(TIMED)
    file = File(sudoers.render(compiled).encode(), sudoers.MODE)
    assert sudoers.plan_sudoers(compiled, file, asked) == sudoers.SudoPlan((), None)


@pytest.mark.parametrize(
    ("version", "early"),
    [
        ("Sudo version 1.9.13p3\n", False),
        ("Sudo version 1.9.15\n", True),
        ("Sudo version 1.9.16p2\nSudoers policy plugin version 1.9.16p2\n", True),
        ("Sudo version 1.9.18\n", False),
        ("sudo-rs 0.2.5\n", False),
        ("", False),
    ],
)
def test_which_sudo_heeds_no_start_of_a_window(version, early):
    assert sudoers.opens_early(version) is early


def test_what_holds_back_a_sudo_that_heeds_no_start():
    """The last window first, and behind each what refuses until it begins; what is read back is the same."""
    compiled, early = desired(TIMED), desired(TIMED, sudo_opens_early=True)
    ordered = [line.strip(" \\:") for line in rule_lines(early)]
    assert ordered[::2] == [line.strip(" \\:") for line in rule_lines(compiled)][::-1]
    for allowed, refused in zip(ordered[::2], ordered[1::2]):
        start = re.search("NOTBEFORE=([0-9]+)Z", allowed)[1]
        end = re.search("NOTAFTER=([0-9]+)Z !SPICE_GRANT_DEBIANX$", refused)[1]
        assert int(start) - int(end) == 4041, "the second before a full hour"
        assert "NOTBEFORE" not in refused and refused.startswith("ALL=(:spicegrp) ")
    assert visudo(sudoers.render(early)) == ""
    read = sudoers.own_rules(cvtsudoers(sudoers.render(early)))
    assert sorted(read) == sorted(sudoers.rules(early)) == sorted(sudoers.rules(compiled))


def rule_lines(compiled):
    """The lines with times of the only rule that has any."""
    return [line for line in sudoers.render(compiled).splitlines() if "NOTAFTER" in line]


def test_a_start_alone_is_heeded():
    later = {"grants__myself-debianx__valid_from": "2020-01-02T18:00Z"}
    assert sudoers.render(desired(later, sudo_opens_early=True)) == sudoers.render(desired(later))
