"""What rules of other sudoers files let somebody do."""

import pytest

from spicegrants.policy.model import Viewer
from spicegrants.sudo import other_rules as others
from spicegrants.sudo import sudoers
from spicegrants.sudo.other_rules import ADMIN, HARM, NOTE, Site
from unit.build import GID, VIEWER, cvtsudoers, desired

URI = "spice://mysrv.anraconc.de?tls-port=20002"


def site(viewers=(VIEWER,), **options):
    return Site(**{"viewer": Viewer(tuple(viewers), confine=False), "gid": GID, "host": "client", **options})


def foreign(text, granted=(), viewers=(VIEWER,), **options):
    return others.foreign(cvtsudoers(text), granted, site(viewers, **options))


def findings(text, **options):
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
        assert findings("ann ALL=(ALL:ALL) ALL\n") == [("ann", "may run ALL as ALL with group ALL: as good as root")]

    def test_root_needs_no_rule(self):
        assert findings("root ALL=(ALL:ALL) ALL\n#0 ALL=(ALL) ALL\n") == []

    def test_root_together_with_others(self):
        assert findings("root, ann ALL=(ALL) ALL\n")[0][0] == "root, ann"

    @pytest.mark.parametrize(
        ("spelled", "runas"),
        [
            ("", "root"),
            ("(root)", "root"),
            ("(:spicegrp)", "themselves with group spicegrp"),
            ("(ann:spicegrp)", "ann with group spicegrp"),
            ("(#0)", "#0"),
            ("(ALL)", "ALL"),
            ("(%adm)", "%adm"),
            ("(:GROUPS)", "themselves with group GROUPS"),
            ("(OPS:GROUPS)", "OPS with group GROUPS"),
            ("(:#995)", "themselves with group #995"),
            ("(:ALL, !adm)", "themselves with group ALL, !adm"),
            ("(:spicegrp, adm)", "themselves with group spicegrp, adm"),
        ],
    )
    def test_as_whom(self, spelled, runas):
        found = findings(with_aliases(f"ann ALL={spelled} {VIEWER}"))
        assert found[-1] == ("ann", f"may run {VIEWER} as {runas}, which includes {VIEWER}")

    @pytest.mark.parametrize(
        "spelled", ["(#12, !root)", "(OPS)", "(:!adm)", "(:#44)", "(:ALL, !spicegrp)", "(ALL, !root)"]
    )
    def test_as_somebody_who_cannot_start_a_viewer(self, spelled):
        assert [who for who, _ in findings(with_aliases(f"ann ALL={spelled} {VIEWER}"))] == ["x"]

    @pytest.mark.parametrize(
        "command",
        [
            VIEWER,
            f"{VIEWER} -- spice\\://other\\?tls-port\\=1",
            f'{VIEWER} ""',
            "/usr/bin/*-viewer",
            "/usr/bin/remote?viewer",
            "/usr/bin/[qrs]emote-viewer",
            "/usr/*/remote-viewer",
            "^/usr/bin/(a b|remote-viewer)$",
            "^/usr/bin/remote-viewer$ ^.*$",
            f"sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== {VIEWER}",
            f"!/bin/sh, {VIEWER}",
            f"/bin/ls, {VIEWER}, /bin/cat",
            f"/usr/bin/*-viewer, !{VIEWER} --help",
        ],
    )
    def test_commands_that_include_the_viewer(self, command):
        ((who, what),) = findings(f"ann ALL=(root) {command}\n")
        assert who == "ann" and what.endswith(f" as root, which includes {VIEWER}")

    @pytest.mark.parametrize(
        "command",
        [
            "ALL",
            f"!{VIEWER}, ALL",
            f"ALL, !{VIEWER}",
            f'ALL, !{VIEWER} ""',
            "ALL, !/usr/bin/",
            "ALL, !/bin/sh, !/bin/bash",
            "/usr/bin/",
            f"/usr/bin/, !{VIEWER}",
            "/usr/bin/*",
            "^/usr/bin/.*$",
            "^/usr/bin/[[:alpha:]-]+$",
            "/bin/sh",
            "/usr/bin/bash, /bin/ls",
            "sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== /usr/bin/dash",
            "/usr/bin/bash -c *",
            "/usr/bin/su -",
            "/usr/bin/python3",
        ],
    )
    def test_commands_that_make_somebody_as_good_as_root(self, command):
        """What is taken out of ALL is still there under another name, and a shell starts it all."""
        (found,) = foreign(f"ann ALL=(root) {command}\n")
        assert found.kind == ADMIN and found.what.endswith(": as good as root")

    @pytest.mark.parametrize(
        ("command", "does"),
        [
            ("/usr/sbin/nft", "nft"),
            ("/sbin/nft flush ruleset", "nft"),
            ("/usr/sbin/nft delete table inet *", "nft"),
            ("/usr/sbin/iptables", "iptables"),
            ("/sbin/iptables -F *", "iptables"),
            ("/usr/sbin/ip6tables-restore", "ip6tables-restore"),
            ("/bin/ip", "ip"),
            ("/sbin/ip netns exec *", "ip"),
            ("/bin/systemctl stop spice-grant.service", "systemctl stop of our units"),
            ("sudoedit /etc/sudoers.d/spice-grant", "editing /etc/sudoers.d/spice-grant"),
            ("sudoedit /usr/local/lib/spice-grant/open", "editing /usr/local/lib/spice-grant/open"),
            ("/usr/bin/tee /etc/sudoers", "tee /etc/sudoers"),
            ("/usr/sbin/visudo", "visudo"),
            ("/usr/bin/gpasswd -a * spicegrp", "changing who is in spicegrp"),
            (f"/bin/chmod * {VIEWER}", f"chmod {VIEWER}"),
            ("/usr/bin/passwd", "changing root's password"),
            ("/usr/bin/salt-call state.apply *", "salt-call"),
        ],
    )
    def test_commands_that_undo_what_is_enforced(self, command, does):
        (found,) = foreign(f"ann ALL=(root) {command}\n")
        assert found.kind == HARM and found.what.endswith(f", which includes {does}")
        assert foreign(f"ann ALL=(postgres) {command}\n") == []

    def test_wildcards_of_arguments(self):
        (found,) = foreign("ann ALL=(root) /bin/systemctl stop *, sudoedit /etc/sudoers.d/*\n")
        assert "systemctl stop of our units" in found.what
        assert found.what.endswith("editing /etc/sudoers.d/spice-grant")

    @pytest.mark.parametrize(
        "command",
        [
            "/bin/ls",
            "/usr/bin/remote-viewer2",
            "/usr/bin/x/",
            "/usr/",
            "/usr/*",
            "/opt/bin/remote-viewer",
            "/usr/bin/*view",
            "^/usr/libexec/.*$",
            "sudoedit /etc/hosts",
            "list",
            f"!{VIEWER}",
            "ALL, !ALL",
            f"/usr/bin/*-viewer, !{VIEWER}",
            "/usr/sbin/nft list ruleset",
            "/usr/sbin/iptables -L *",
            "/sbin/ip address show",
            "/bin/systemctl restart cups",
            "/bin/systemctl stop cups.service",
            "/bin/sh /opt/backup.sh",
            "/usr/bin/apt-get update",
            '/usr/bin/passwd ""x',
            "/usr/bin/passwd ann",
        ],
    )
    def test_commands_that_do_not(self, command):
        assert findings(f"ann ALL=(root) {command}\n") == []

    @pytest.mark.parametrize(
        ("commands", "opens"),
        [
            ("VIEW", True),
            ("NESTED", True),
            ("ALMOST", True),
            ("NESTED, !VIEW", False),
            ("VIEW, !NESTED", False),
            ("!VIEW, NESTED", True),
            ("VIEW, !HELP", True),
            ("/bin/ls, VIEW", True),
        ],
    )
    def test_aliases_of_commands(self, commands, opens):
        found = findings(with_aliases(f"ann ALL=(root) {commands}"))
        assert [who for who, _ in found if who == "ann"] == ["ann"] * opens

    def test_any_program_with_the_viewers_group(self):
        ((_, what),) = findings("ann ALL=(:spicegrp) /bin/ls\n")
        assert what == "may run /bin/ls as themselves with group spicegrp, which includes a program with group spicegrp"
        assert findings("ann ALL=(:spicegrp) !/bin/ls, list\n") == findings("ann ALL=(:adm) ALL\n") == []

    def test_a_user_with_grants_whom_somebody_else_may_be(self):
        granted = [sudoers.SudoRule(user, "spicegrp", VIEWER, "x") for user in ("bob", "cat", "dan", "eve", "fay")]
        ((_, what),) = findings("ann ALL=(bob, nobody) /bin/bash\n", granted=granted)
        assert what.endswith(", which includes acting as bob with grants")
        ((_, what),) = findings("ann ALL=(ALL, !root, !cat) ALL\n", granted=granted)
        assert what.endswith(", which includes acting as bob, dan, eve, 1 more with grants")
        for line in ("bob ALL=(bob) ALL", "ann ALL=(bob) /bin/ls", "ann ALL=(postgres) ALL"):
            assert findings(f"{line}\n", granted=granted) == []

    @pytest.mark.parametrize(
        ("hosts", "here"),
        [
            ("ALL", True),
            ("client", True),
            ("Client.office.example.com", True),
            ("cl*", True),
            ("HERE", True),
            ("+net", True),
            ("10.0.0.0/8", True),
            ("ALL, !+net", True),
            ("other", False),
            ("client2, other.client", False),
            ("ALL, !client", False),
            ("ALL, !HERE", False),
            ("!other", False),
        ],
    )
    def test_hosts(self, hosts, here):
        """A rule for other machines is no business of this one; what cannot be known is reported."""
        found = findings(f"Host_Alias HERE = client, server\nann {hosts}=(root) ALL\nbob HERE=/bin/ls\n")
        assert bool(found) is here

    def test_admins_of_the_site(self):
        text = "User_Alias OPS = ann, MORE\nUser_Alias MORE = %sudo, #1005\nOPS ALL=(ALL) ALL\n"
        assert findings(text, admins=["ann", "%sudo", "#1005"]) == []
        assert [who for who, _ in findings(text, admins=["ann", "%sudo"])] == ["#1005"]
        assert [who for who, _ in findings(text, admins=["sudo"])] == ["ann, %sudo, #1005"]

    def test_aliases_of_users(self):
        *_, (who, _) = findings(with_aliases("ADMINS ALL=(root) ALL"))
        assert who == "ann, %wheel, !bob, #1005, +net, %#44, %:winadm"

    def test_a_negated_alias_is_not_taken_apart(self):
        text = "User_Alias ADMINS = ann, bob\nALL, !ADMINS ALL=(root) ALL\n"
        assert findings(text)[0][0] == "ALL, !ADMINS"

    def test_names_as_sudo_spells_them(self):
        text = 'DOM\\\\kim ALL=(root) ALL\n"lou x" ALL=(root) ALL\nmia\\@x.y ALL=(root) ALL\n'
        assert [who for who, _ in findings(text)] == ["DOM\\kim", "lou x", "mia@x.y"]

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
        (found,) = foreign(text)
        assert str(found) == f"Defaults targetpw{scope}: sudo asks for the password of the target user"
        assert found.kind == NOTE

    @pytest.mark.parametrize(
        "text", ["Defaults !targetpw\n", "Defaults env_reset\n", 'Defaults env_keep += "A B"\n', ""]
    )
    def test_no_targetpw(self, text):
        assert foreign(text) == []

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ('Defaults!ALL env_keep += "GTK_MODULES"', "Defaults!ALL sets env_keep for our commands as well"),
            ("Defaults!VIEWERS !env_reset", "Defaults!VIEWERS sets env_reset for our commands as well"),
            (f"Defaults!{VIEWER} runchroot=*", f"Defaults!{VIEWER} sets runchroot for our commands as well"),
            ("Defaults!SPICE_GRANT targetpw", "Defaults!SPICE_GRANT sets targetpw for our commands as well"),
        ],
    )
    def test_defaults_that_overrule_ours(self, text, sentence):
        """Of defaults for commands the last hold: what stands before ours does not."""
        compiled = desired()
        ours, alias = sudoers.render(compiled), f"Cmnd_Alias VIEWERS = {VIEWER}\nx ALL=(nobody) VIEWERS\n"
        (found,) = foreign(f"{ours}{alias}{text}\n", granted=sudoers.rules(compiled))
        assert (str(found), found.kind) == (sentence, HARM)
        if "SPICE_GRANT" not in text:
            assert foreign(f"{alias}{text}\n{ours}", granted=sudoers.rules(compiled)) == []

    @pytest.mark.parametrize(
        "text", ["Defaults!/bin/ls !env_reset", "Defaults!ALL !lecture", "Defaults !env_reset", "Defaults:ann setenv"]
    )
    def test_defaults_that_do_not(self, text):
        compiled = desired()
        assert foreign(f"{sudoers.render(compiled)}{text}\n", granted=sudoers.rules(compiled)) == []

    def test_our_own_file_is_not_foreign(self):
        compiled = desired()
        assert foreign(sudoers.render(compiled), granted=sudoers.rules(compiled)) == []

    def test_our_own_rules_are_foreign_once_they_are_not_granted(self):
        """A copy of an older file elsewhere in the directory is found."""
        without = desired({"grants__myself-debianx": ...})
        found = foreign(sudoers.render(desired()), granted=sudoers.rules(without))
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
        compiled = desired()
        rule = " ".join(map(sudoers.escape, [VIEWER, "--", URI]))
        text = sudoers.render(compiled) + more.format(rule=rule) + "\n"
        found = foreign(text, granted=sudoers.rules(compiled))
        assert [entry.who for entry in found] == [more.split()[0]]

    def test_all_viewers_are_looked_for(self):
        both = [VIEWER, "/opt/bin/remote-viewer"]
        ((_, what),) = findings("ann ALL=(root) /usr/bin/*-viewer, /opt/bin/\n", viewers=both)
        assert what.endswith("which includes /usr/bin/remote-viewer, /opt/bin/remote-viewer")
        assert findings(f"ann ALL=(root) {VIEWER}\n", viewers=[]) == []


def test_a_digest_before_its_command():
    command = {"sha224": "0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ==", "command": VIEWER}
    spec = {"User_List": [{"username": "ann"}], "Cmnd_Specs": [{"Commands": [command]}]}
    (found,) = others.foreign({"User_Specs": [spec]}, [], site())
    assert str(found) == f"ann may run {VIEWER} as root, which includes {VIEWER}"


def test_a_tree_of_nothing():
    assert others.foreign({}, [], site()) == []
