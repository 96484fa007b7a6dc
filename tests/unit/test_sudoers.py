"""The sudo layer: what is planned, in words, and what rules of other files let somebody do."""

import pytest

from spicegrants import sudoers
from spicegrants.access import Access
from spicegrants.errors import PolicyError
from spicegrants.files import Directory, File, Other
from spicegrants.inventory import Account
from spicegrants.sudoers import Foreign, Rule
from unit.build import VIEWER, cvtsudoers, inventory, parsed, policy, wanted

URI = "spice://mysrv.anraconc.de?tls-port=20002"
FILE = "/etc/spice-grant/vms/debianx.vv"
MYSELF = "myself-debianx"


def installed(compiled, **changes):
    return File(**{"content": sudoers.render(compiled).encode(), "mode": 0o440, **changes})


def plan(compiled, held=None, live=...):
    """Plan from what another policy installed; ``live`` is what is there instead."""
    file = (installed(held) if held else None) if live is ... else live
    return sudoers.plan(compiled, file, lambda: parsed(sudoers.rules(held)))


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


# Rules


def test_two_exact_rules_for_each_viewer():
    found = sudoers.calls(policy(viewer={"path": [VIEWER, "/opt/bin/remote-viewer"]}), "myself", "debianx", True)
    assert found == [
        Rule("myself", "spicegrp", viewer, argument, True)
        for viewer in (VIEWER, "/opt/bin/remote-viewer")
        for argument in (URI, FILE)
    ]
    assert found[0].command == [VIEWER, "--", URI]
    assert found[0].call == ["-g", "spicegrp", VIEWER, "--", URI]


@pytest.mark.parametrize("vm", ["debainx", "", "mysrv"])
def test_rules_for_an_unknown_vm(vm):
    with pytest.raises(PolicyError, match="no vm"):
        sudoers.calls(policy(), "myself", vm)


def test_the_file_asks_for_a_password_where_the_grant_does():
    lines = sudoers.render(wanted()).splitlines()
    assert [line for line in lines if line.startswith("myself ALL=(:spicegrp) PASSWD: NOSETENV: ")]
    assert [line for line in lines if line.startswith("mybro ALL=(:spicegrp) NOPASSWD: NOSETENV: ")]


def test_each_user_has_the_commands_of_his_own_console_only():
    (line,) = [line for line in sudoers.render(wanted()).splitlines() if line.startswith("myself ")]
    assert "20002" in line and "debianx" in line and "20004" not in line and "leaptest" not in line


def test_parse_takes_only_what_is_exactly_our_form():
    (good,) = parsed(sudoers.rules(wanted())[:1])["User_Specs"]
    (commands,) = good["Cmnd_Specs"]
    assert len(sudoers.parse({"User_Specs": [good]})) == 1
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
        assert sudoers.rules(wanted())[0] not in sudoers.parse({"User_Specs": [{**good, "Cmnd_Specs": [altered]}]})
    for users in ([{"usergroup": "mybro"}], [{"username": "mybro", "negated": True}], [{"useralias": "ALL"}]):
        assert sudoers.parse({"User_Specs": [{**good, "User_List": users}]}) == []
    assert sudoers.parse({}) == []


# Plans


def test_the_first_run():
    planned = plan(wanted())
    assert words(planned) == [
        (
            "lets mybro start the viewer on /etc/spice-grant/vms/leaptest.vv without a password",
            ("mybro-leaptest",),
        ),
        (
            "lets mybro start the viewer on spice://mysrv.anraconc.de?tls-port=20004 without a password",
            ("mybro-leaptest",),
        ),
        (f"lets myself start the viewer on {FILE} with his password", (MYSELF,)),
        (f"lets myself start the viewer on {URI} with his password", (MYSELF,)),
    ]
    assert planned.text == sudoers.render(wanted())


def test_the_second_run_has_nothing_to_do_and_asks_nothing():
    def asked():
        raise AssertionError("the file is right, byte for byte")

    assert sudoers.plan(wanted(), installed(wanted()), asked) == sudoers.SudoPlan((), None)


def test_without_grants_there_is_a_file_all_the_same():
    without = wanted({"grants": {}})
    assert words(plan(without)) == [("creates /etc/sudoers.d/spice-grant", ())]
    assert plan(without, without).changes == ()


def test_a_grant_more_and_a_grant_less():
    before = wanted()
    after = wanted(
        {"grants__myself-debianx": ..., "grants__guest": {"user": "guest", "vm": "debianx"}}, previous=before.accesses
    )
    assert words(plan(after, before)) == [
        (f"lets guest start the viewer on {FILE} with his password", ("guest",)),
        (f"lets guest start the viewer on {URI} with his password", ("guest",)),
        (f"no longer lets myself start the viewer on {FILE}", (MYSELF,)),
        (f"no longer lets myself start the viewer on {URI}", (MYSELF,)),
    ]


@pytest.mark.parametrize(("nopasswd", "how"), [(True, "without a password"), (False, "with his password")])
def test_a_grant_that_asks_otherwise(nopasswd, how):
    before = wanted({"grants__myself-debianx__nopasswd": not nopasswd})
    after = wanted({"grants__myself-debianx__nopasswd": nopasswd})
    assert [what for what, _ in words(plan(after, before))] == [
        f"lets myself start the viewer on {FILE} {how}",
        f"lets myself start the viewer on {URI} {how}",
    ]


def test_a_console_at_another_port():
    before, after = wanted(), wanted({"vms__debianx__tls_port": 20003})
    assert [what for what, _ in words(plan(after, before))] == [
        f"no longer lets myself start the viewer on {URI}",
        "lets myself start the viewer on spice://mysrv.anraconc.de?tls-port=20003 with his password",
    ]


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({"mode": 0o644}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"uid": 1021}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"gid": 1021}, "restores owner and mode of /etc/sudoers.d/spice-grant: root:root 0440"),
        ({"content": b"# edited\n"}, "restores /etc/sudoers.d/spice-grant, which was edited"),
    ],
)
def test_a_file_that_was_tampered_with(live, said):
    planned = plan(wanted(), wanted(), installed(wanted(), **live))
    assert words(planned) == [(said, ())]
    assert planned.text == sudoers.render(wanted())


@pytest.mark.parametrize("live", [Directory(0o755), Other("symbolic link"), File(b"nonsense", 0o440)])
def test_a_file_that_does_not_parse(live):
    planned = sudoers.plan(wanted(), live, lambda: None)
    assert planned.changes[0].what == "replaces /etc/sudoers.d/spice-grant, which does not parse"
    assert len(planned.changes) == 5 and planned.text == sudoers.render(wanted())


def test_a_rule_that_was_added_or_taken_out():
    extra = Rule("guest", "spicegrp", VIEWER, URI)
    rules = [rule for rule in sudoers.rules(wanted()) if rule.user != "mybro"] + [extra]
    planned = sudoers.plan(wanted(), File(b"edited", 0o440), lambda: parsed(rules))
    assert words(planned) == [
        (f"no longer lets guest start the viewer on {URI}", ()),
        ("lets mybro start the viewer on /etc/spice-grant/vms/leaptest.vv without a password", ("mybro-leaptest",)),
        (
            "lets mybro start the viewer on spice://mysrv.anraconc.de?tls-port=20004 without a password",
            ("mybro-leaptest",),
        ),
    ]


def test_a_rule_for_a_vm_that_is_gone_is_laid_to_its_grant_where_that_is_known():
    before = wanted()
    after = wanted({"vms__debianx": ..., "grants__myself-debianx": ...}, previous=before.accesses)
    found = words(plan(after, before))
    assert [what for what, _ in found] == [
        f"no longer lets myself start the viewer on {FILE}",
        f"no longer lets myself start the viewer on {URI}",
    ]


def test_a_user_who_left_is_named_by_the_run_before():
    before = wanted()
    after = wanted(users={"mybro": Account("mybro", 1022, 1022)}, previous=before.accesses)
    assert words(plan(after, before)) == [
        (f"no longer lets myself start the viewer on {FILE}", (MYSELF,)),
        (f"no longer lets myself start the viewer on {URI}", (MYSELF,)),
    ]


# Rules of other files


def foreign(text, granted=(), viewers=(VIEWER,)):
    return sudoers.foreign(cvtsudoers(text), granted, viewers)


def said(text, **options):
    return [(found.who, found.what) for found in foreign(text, **options)]


ALIASES = f"""
User_Alias ADMINS = ann, %wheel, !bob, #1005, +net, %#44, %:winadm
Runas_Alias OPS = operator, #12
Runas_Alias GROUPS = spicegrp, adm
Cmnd_Alias VIEW = /bin/ls, {VIEWER}
Cmnd_Alias NESTED = /bin/cat, VIEW
Cmnd_Alias ALMOST = ALL, !{VIEWER}
Cmnd_Alias HELP = {VIEWER} --help
"""


def with_aliases(line):
    """A file with a rule and with all aliases in use, as visudo wants them."""
    used = "Defaults:ADMINS !lecture\nDefaults>OPS !lecture\nDefaults!VIEW,NESTED,ALMOST,HELP !lecture\n"
    return f"{ALIASES}{used}x ALL=(:GROUPS) /bin/true\n{line}\n"


@pytest.mark.usefixtures("sudo_tools")
class TestForeign:
    """Sudo's own parser reads the text."""

    def test_all_as_root(self):
        assert said("ann ALL=(ALL:ALL) ALL\n") == [
            ("ann", f"may run ALL as ALL with group ALL, which includes {VIEWER}")
        ]

    def test_root_needs_no_rule(self):
        assert said("root ALL=(ALL:ALL) ALL\n#0 ALL=(ALL) ALL\n") == []

    def test_root_together_with_others(self):
        assert said("root, ann ALL=(ALL) ALL\n")[0][0] == "root, ann"

    @pytest.mark.parametrize(
        ("spelled", "runas"),
        [
            ("", "root"),
            ("(root)", "root"),
            ("(:spicegrp)", "himself with group spicegrp"),
            ("(ann:spicegrp)", "ann with group spicegrp"),
            ("(#12, !root)", "#12, !root"),
            ("(OPS)", "OPS"),
            ("(:GROUPS)", "himself with group GROUPS"),
            ("(OPS:GROUPS)", "OPS with group GROUPS"),
            ("(:!adm)", "himself with group !adm"),
            ("(:#44)", "himself with group #44"),
            ("(:spicegrp, adm)", "himself with group spicegrp, adm"),
        ],
    )
    def test_as_whom(self, spelled, runas):
        found = said(with_aliases(f"ann ALL={spelled} {VIEWER}"))
        assert found[-1] == ("ann", f"may run {VIEWER} as {runas}, which includes {VIEWER}")

    @pytest.mark.parametrize(
        "command",
        [
            "ALL",
            VIEWER,
            f"{VIEWER} -- spice\\://other\\?tls-port\\=1",
            f'{VIEWER} ""',
            "/usr/bin/",
            "/usr/bin/*-viewer",
            "/usr/bin/remote?viewer",
            "/usr/bin/[qrs]emote-viewer",
            "/usr/*/remote-viewer",
            "^/usr/bin/.*$",
            "^/usr/bin/(a b|remote-viewer)$",
            "^/usr/bin/[[:alpha:]-]+$",
            "^/usr/bin/remote-viewer$ ^.*$",
            f"sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== {VIEWER}",
            f"!/bin/sh, {VIEWER}",
            f"!{VIEWER}, ALL",
            f'ALL, !{VIEWER} ""',
            f"ALL, !{VIEWER} --help",
            "ALL, !/bin/sh",
            f"/bin/ls, {VIEWER}, /bin/cat",
        ],
    )
    def test_commands_that_include_the_viewer(self, command):
        ((who, what),) = said(f"ann ALL=(root) {command}\n")
        assert who == "ann" and what.endswith(f" as root, which includes {VIEWER}")

    @pytest.mark.parametrize(
        "command",
        [
            "/bin/ls",
            "/usr/bin/remote-viewer2",
            "/usr/bin/x/",
            "/usr/",
            "/opt/bin/remote-viewer",
            "/usr/bin/*view",
            "^/usr/sbin/.*$",
            "sudoedit /etc/hosts",
            "list",
            f"ALL, !{VIEWER}",
            "ALL, !/usr/bin/",
            "ALL, !ALL",
            f"!{VIEWER}",
        ],
    )
    def test_commands_that_do_not(self, command):
        assert said(f"ann ALL=(root) {command}\n") == []

    @pytest.mark.parametrize(
        ("commands", "opens"),
        [
            ("VIEW", True),
            ("NESTED", True),
            ("ALMOST", False),
            ("ALL, !VIEW", False),
            ("ALL, !NESTED", False),
            ("!VIEW, ALL", True),
            ("ALL, !HELP", True),
            ("/bin/ls, VIEW", True),
        ],
    )
    def test_aliases_of_commands(self, commands, opens):
        assert bool(said(with_aliases(f"ann ALL=(root) {commands}"))) is opens

    def test_aliases_of_users(self):
        ((who, _),) = said(with_aliases("ADMINS ALL=(root) ALL"))
        assert who == "ann, %wheel, !bob, #1005, +net, %#44, %:winadm"

    def test_a_negated_alias_is_not_taken_apart(self):
        text = "User_Alias ADMINS = ann, bob\nALL, !ADMINS ALL=(root) ALL\n"
        assert said(text)[0][0] == "ALL, !ADMINS"

    def test_names_as_sudo_spells_them(self):
        text = 'DOM\\\\kim ALL=(root) ALL\n"lou x" ALL=(root) ALL\nmia\\@x.y ALL=(root) ALL\n'
        assert [who for who, _ in said(text)] == ["DOM\\kim", "lou x", "mia@x.y"]

    @pytest.mark.parametrize(
        ("text", "scope"),
        [
            ("Defaults targetpw\n", ""),
            ("Defaults:ann targetpw\n", " for ann"),
            ("Defaults:%wheel targetpw\n", " for %wheel"),
            (f"Defaults!{VIEWER} targetpw\n", f" for {VIEWER}"),
            ("Defaults>root targetpw\n", " for root"),
        ],
    )
    def test_targetpw(self, text, scope):
        assert foreign(text) == [Foreign("Defaults", f"targetpw{scope}: sudo asks for the password of the target user")]

    @pytest.mark.parametrize(
        "text", ["Defaults !targetpw\n", "Defaults env_reset\n", 'Defaults env_keep += "A B"\n', ""]
    )
    def test_no_targetpw(self, text):
        assert foreign(text) == []

    def test_our_own_file_is_not_foreign(self):
        compiled = wanted()
        assert foreign(sudoers.render(compiled), granted=sudoers.rules(compiled)) == []

    def test_our_own_rules_are_foreign_once_they_are_not_granted(self):
        """A copy of an older file elsewhere in the directory is found."""
        without = wanted({"grants__myself-debianx": ...})
        found = foreign(sudoers.render(wanted()), granted=sudoers.rules(without))
        assert [entry.who for entry in found] == ["myself"]

    @pytest.mark.parametrize(
        "more",
        [
            "myself ALL=(ALL) NOPASSWD: ALL",
            "myself ALL=(:spicegrp) NOPASSWD: NOSETENV: {rule}",
            "myself ALL=(:spicegrp) PASSWD: SETENV: {rule}",
            "myself ALL=(:spicegrp) PASSWD: {rule}",
            "myself ALL=(root:spicegrp) PASSWD: NOSETENV: {rule}",
            "myself ALL=(:spicegrp, adm) PASSWD: NOSETENV: {rule}",
            "guest ALL=(:spicegrp) PASSWD: NOSETENV: {rule}",
            "%users ALL=(:spicegrp) PASSWD: NOSETENV: {rule}",
            "myself ALL=(:spicegrp) PASSWD: NOSETENV: {rule} --debug",
            "myself ALL=(:spicegrp) PASSWD: NOSETENV: {rule}, /usr/bin/remote-viewer",
        ],
    )
    def test_a_rule_that_gives_more_than_ours(self, more):
        compiled = wanted()
        rule = " ".join(map(sudoers.escape, [VIEWER, "--", URI]))
        text = sudoers.render(compiled) + more.format(rule=rule) + "\n"
        found = foreign(text, granted=sudoers.rules(compiled))
        assert [entry.who for entry in found] == [more.split()[0]]

    def test_all_viewers_are_looked_for(self):
        both = [VIEWER, "/opt/bin/remote-viewer"]
        ((_, what),) = said("ann ALL=(root) ALL\n", viewers=both)
        assert what.endswith("which includes /usr/bin/remote-viewer, /opt/bin/remote-viewer")
        assert said("ann ALL=(root) ALL\n", viewers=[]) == []


def test_a_digest_before_its_command():
    command = {"sha224": "0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ==", "command": VIEWER}
    spec = {"User_List": [{"username": "ann"}], "Cmnd_Specs": [{"Commands": [command]}]}
    (found,) = sudoers.foreign({"User_Specs": [spec]}, [], [VIEWER])
    assert found == Foreign("ann", f"may run {VIEWER} as root, which includes {VIEWER}")


def test_a_tree_of_nothing():
    assert sudoers.foreign({}, [], [VIEWER]) == []


def test_accesses_name_the_user_and_not_his_group():
    """The group of a grant is expanded here, once: sudo and kernel then mean the same people."""
    compiled = wanted({"grants": {"everyone": {"group": "family", "vm": "debianx"}}}, groups=inventory().groups)
    assert {rule.user for rule in sudoers.rules(compiled)} == {"myself", "mybro"}
    assert "%family" not in sudoers.render(compiled)
    assert Access("myself", 1021, "debianx", ("everyone",)) in compiled.accesses
