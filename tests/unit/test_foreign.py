"""What rules of other sudoers files let somebody do."""

import pytest

from spicegrants import foreign as others
from spicegrants import sudoers
from spicegrants.foreign import Foreign
from unit.build import VIEWER, cvtsudoers, wanted

URI = "spice://mysrv.anraconc.de?tls-port=20002"


def foreign(text, granted=(), viewers=(VIEWER,)):
    return others.foreign(cvtsudoers(text), granted, viewers)


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
    (found,) = others.foreign({"User_Specs": [spec]}, [], [VIEWER])
    assert found == Foreign("ann", f"may run {VIEWER} as root, which includes {VIEWER}")


def test_a_tree_of_nothing():
    assert others.foreign({}, [], [VIEWER]) == []
