"""The sudo layer: its rules, and what is planned, in words."""

import pytest

from spicegrants.core.accounts import Account
from spicegrants.core.entries import Directory, File, Other
from spicegrants.core.errors import PolicyError
from spicegrants.core.paths import OPENER
from spicegrants.policy.access import Access
from spicegrants.sudo import commands as sudo_commands
from spicegrants.sudo import sudoers
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.other_rules import Site, foreign
from unit.build import VIEWER, cvtsudoers, desired, inventory, parsed

URI = "spice://mysrv.anraconc.de?tls-port=20002"
FILE = "/etc/spice-grant/vms/debianx.vv"
MYSELF = "myself-debianx"


def installed(compiled, **changes):
    return File(**{"content": sudoers.render(compiled).encode(), "mode": 0o440, **changes})


def plan(compiled, previous=None, live=...):
    """Plan from what another policy installed; ``live`` is what is there instead."""
    file = (installed(previous) if previous else None) if live is ... else live
    return sudoers.plan_sudoers(compiled, file, lambda: parsed(sudoers.rules(previous)))


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


# Rules


def test_two_exact_rules_for_each_viewer():
    found = sudo_commands.calls(
        desired({"viewer": {"path": [VIEWER, "/opt/bin/remote-viewer"]}}), "myself", "debianx", True
    )
    assert found == [
        SudoRule("myself", "spicegrp", viewer, argument, True)
        for viewer in (VIEWER, "/opt/bin/remote-viewer")
        for argument in (URI, FILE)
    ]
    assert found[0].command == [VIEWER, "--", URI]
    assert found[0].call == ["-g", "spicegrp", VIEWER, "--", URI]


@pytest.mark.parametrize("vm", ["debainx", "", "mysrv"])
def test_rules_for_an_unknown_vm(vm):
    with pytest.raises(PolicyError, match="no vm"):
        sudo_commands.calls(desired(), "myself", vm)


def test_the_file_asks_for_a_password_where_the_grant_does():
    lines = sudoers.render(desired()).splitlines()
    assert [line for line in lines if line.startswith("myself ALL=(:spicegrp) PASSWD: NOSETENV: ")]
    assert [line for line in lines if line.startswith("mybro ALL=(:spicegrp) NOPASSWD: NOSETENV: ")]


def test_users_have_the_commands_of_their_own_console_only():
    (line,) = [line for line in sudoers.render(desired()).splitlines() if line.startswith("myself ")]
    assert "20002" in line and "debianx" in line and "20004" not in line and "leaptest" not in line


def test_parse_takes_only_what_is_exactly_our_form():
    (good,) = parsed(sudoers.rules(desired())[:1])["User_Specs"]
    (commands,) = good["Cmnd_Specs"]
    assert len(sudoers.own_rules({"User_Specs": [good]})) == 1
    for altered in (
        {**commands, "runasusers": [{"username": "root"}]},
        {**commands, "runasgroups": []},
        {**commands, "runasgroups": [{"usergroup": "spicegrp"}, {"usergroup": "root"}]},
        {**commands, "runasgroups": [{"usergroup": "spicegrp", "negated": True}]},
        {**commands, "Options": [{"setenv": True}]},
        {**commands, "Options": []},
        {**commands, "Commands": [{**commands["Commands"][0], "negated": True}]},
        {**commands, "Commands": [{"cmndalias": "SPICE_GRANT"}]},
    ):
        assert sudoers.rules(desired())[0] not in sudoers.own_rules({"User_Specs": [{**good, "Cmnd_Specs": [altered]}]})
    for users in ([{"usergroup": "mybro"}], [{"username": "mybro", "negated": True}], [{"useralias": "ALL"}]):
        assert sudoers.own_rules({"User_Specs": [{**good, "User_List": users}]}) == []
    assert sudoers.own_rules({}) == []


# Plans


def test_the_first_run():
    planned = plan(desired())
    assert words(planned) == [
        (
            "lets mybro start the viewer on /etc/spice-grant/vms/leaptest.vv without a password",
            ("mybro-leaptest",),
        ),
        (
            "lets mybro start the viewer on spice://mysrv.anraconc.de?tls-port=20004 without a password",
            ("mybro-leaptest",),
        ),
        (f"lets myself start the viewer on {FILE} with their password", (MYSELF,)),
        (f"lets myself start the viewer on {URI} with their password", (MYSELF,)),
    ]
    assert planned.text == sudoers.render(desired())


def test_the_second_run_has_nothing_to_do_and_asks_nothing():
    def asked():
        raise AssertionError("the file is right, byte for byte")

    assert sudoers.plan_sudoers(desired(), installed(desired()), asked) == sudoers.SudoPlan((), None)


def test_without_grants_there_is_a_file_all_the_same():
    without = desired({"grants": {}})
    assert words(plan(without)) == [("creates /etc/sudoers.d/spice-grant", ())]
    assert plan(without, without).changes == ()


def test_a_grant_more_and_a_grant_less():
    before = desired()
    after = desired(
        {"grants__myself-debianx": ..., "grants__guest": {"user": "guest", "vm": "debianx"}}, previous=before.accesses
    )
    assert words(plan(after, before)) == [
        (f"lets guest start the viewer on {FILE} with their password", ("guest",)),
        (f"lets guest start the viewer on {URI} with their password", ("guest",)),
        (f"no longer lets myself start the viewer on {FILE}", (MYSELF,)),
        (f"no longer lets myself start the viewer on {URI}", (MYSELF,)),
    ]


@pytest.mark.parametrize(("nopasswd", "how"), [(True, "without a password"), (False, "with their password")])
def test_a_grant_that_asks_otherwise(nopasswd, how):
    before = desired({"grants__myself-debianx__nopasswd": not nopasswd})
    after = desired({"grants__myself-debianx__nopasswd": nopasswd})
    assert [what for what, _ in words(plan(after, before))] == [
        f"lets myself start the viewer on {FILE} {how}",
        f"lets myself start the viewer on {URI} {how}",
    ]


def test_a_console_at_another_port():
    before, after = desired(), desired({"vms__debianx__tls_port": 20003})
    assert [what for what, _ in words(plan(after, before))] == [
        f"no longer lets myself start the viewer on {URI}",
        "lets myself start the viewer on spice://mysrv.anraconc.de?tls-port=20003 with their password",
    ]


@pytest.mark.parametrize(
    ("live", "sentence"),
    [
        ({"mode": 0o644}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"uid": 1021}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"gid": 1021}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"content": b"# edited\n"}, "restores /etc/sudoers.d/spice-grant, which was edited"),
    ],
)
def test_a_file_that_was_tampered_with(live, sentence):
    planned = plan(desired(), desired(), installed(desired(), **live))
    assert words(planned) == [(sentence, ())]
    assert planned.text == sudoers.render(desired())


@pytest.mark.parametrize("live", [Directory(0o755), Other("symbolic link"), File(b"nonsense", 0o440)])
def test_a_file_that_does_not_parse(live):
    planned = sudoers.plan_sudoers(desired(), live, lambda: None)
    assert planned.changes[0].what == "replaces /etc/sudoers.d/spice-grant, which does not parse"
    assert len(planned.changes) == 5 and planned.text == sudoers.render(desired())


def test_a_rule_that_was_added_or_taken_out():
    extra = SudoRule("guest", "spicegrp", VIEWER, URI)
    rules = [rule for rule in sudoers.rules(desired()) if rule.user != "mybro"] + [extra]
    planned = sudoers.plan_sudoers(desired(), File(b"edited", 0o440), lambda: parsed(rules))
    assert words(planned) == [
        (f"no longer lets guest start the viewer on {URI}", ()),
        ("lets mybro start the viewer on /etc/spice-grant/vms/leaptest.vv without a password", ("mybro-leaptest",)),
        (
            "lets mybro start the viewer on spice://mysrv.anraconc.de?tls-port=20004 without a password",
            ("mybro-leaptest",),
        ),
    ]


def test_a_rule_for_a_vm_that_is_gone_is_laid_to_its_grant_where_that_is_known():
    before = desired()
    after = desired({"vms__debianx": ..., "grants__myself-debianx": ...}, previous=before.accesses)
    found = words(plan(after, before))
    assert [what for what, _ in found] == [
        f"no longer lets myself start the viewer on {FILE}",
        f"no longer lets myself start the viewer on {URI}",
    ]


def test_a_user_who_left_is_named_by_the_run_before():
    before = desired()
    after = desired(users={"mybro": Account("mybro", 1022, 1022)}, previous=before.accesses)
    assert words(plan(after, before)) == [
        (f"no longer lets myself start the viewer on {FILE}", (MYSELF,)),
        (f"no longer lets myself start the viewer on {URI}", (MYSELF,)),
    ]


def test_accesses_name_the_user_and_not_the_group():
    """The group of a grant is expanded here, once: sudo and kernel then mean the same people."""
    compiled = desired({"grants": {"everyone": {"group": "family", "vm": "debianx"}}}, groups=inventory().groups)
    assert {rule.user for rule in sudoers.rules(compiled)} == {"myself", "mybro"}
    assert "%family" not in sudoers.render(compiled)
    assert Access("myself", 1021, "debianx", ("everyone",)) in compiled.accesses


# Confined


def confined(changes=None, previous=()):
    return desired(changes, previous, unconfinable="")


def test_one_exact_rule_as_root():
    (rule,) = sudo_commands.calls(confined(), "myself", "debianx")
    assert rule == SudoRule("myself", "", OPENER, "debianx") and rule.confined
    assert rule.call == ["-u", "root", OPENER, "debianx"]
    assert f"myself ALL=(root) PASSWD: NOSETENV: {OPENER} debianx" in sudoers.render(confined()).splitlines()


@pytest.mark.parametrize("setting", ["auto", True, False])
@pytest.mark.parametrize("unconfinable", ["", "there is no /usr/bin/bwrap"])
def test_what_is_chosen(setting, unconfinable):
    """Confined wherever that is not refused and possible; insisted on where it is not, nothing is opened."""
    made = desired({"viewer": {"confine": setting}}, unconfinable=unconfinable)
    assert made.confined is (setting is not False and not unconfinable)
    if setting is True and unconfinable:
        assert made.accesses == () and [finding.path for finding in made.findings] == ["spice:viewer:confine"]
    else:
        assert made.accesses and made.findings == ()
        assert {rule.confined for rule in sudoers.rules(made)} == {made.confined}


@pytest.mark.parametrize("there", [True, False])
def test_from_one_form_to_the_other(there):
    before, after = (confined(), desired()) if there else (desired(), confined())
    sentences = [what for what, _ in words(plan(after, before))]
    assert any(what.startswith("lets myself open debianx confined") for what in sentences) is not there
    assert ("no longer lets myself open debianx confined" in sentences) is there
    assert plan(after, after) == sudoers.SudoPlan((), None)


@pytest.mark.parametrize(
    "rule",
    [
        "myself ALL=(ALL) NOSETENV: /usr/local/lib/spice-grant/open debianx",
        "myself ALL=(root:spicegrp) NOSETENV: /usr/local/lib/spice-grant/open debianx",
        "myself ALL=(root, mybro) NOSETENV: /usr/local/lib/spice-grant/open debianx",
        "myself ALL=(root) NOSETENV: /usr/local/lib/spice-grant/open",
        "myself ALL=(root) /usr/local/lib/spice-grant/open debianx",
        "myself ALL=(root) NOSETENV: /usr/local/lib/spice-grant/open *",
        "myself ALL=(root) NOSETENV: /usr/local/lib/spice-grant/open debianx leaptest",
        "myself ALL=(root) NOSETENV: /usr/bin/remote-viewer -- /etc/spice-grant/vms/debianx.vv",
        "%myself ALL=(root) NOSETENV: /usr/local/lib/spice-grant/open debianx",
    ],
)
def test_what_is_close_to_it_is_none_of_ours(rule, sudo_tools):
    granted = sudoers.rules(confined())
    assert not set(sudoers.own_rules(cvtsudoers(rule + "\n"))) & set(granted)
    found = foreign(cvtsudoers(rule + "\n"), granted, Site())
    assert len(found) == 1


def test_mutants_of_the_openers_call_are_not_granted():
    granted = [rule.call for rule in sudoers.rules(confined())]
    for rule in sudoers.rules(confined()):
        mutants = sudo_commands.mutants(rule, 1)
        assert len({what for what, _ in mutants}) == len(mutants) >= 12
        assert len({tuple(call) for _, call in mutants}) == len(mutants)
        assert not [call for _, call in mutants if call in granted]
