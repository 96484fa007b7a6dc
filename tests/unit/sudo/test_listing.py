"""What sudo lists for a user, as it prints it."""

import pytest

from spicegrants.policy.model import Viewer
from spicegrants.sudo import listing, matching
from spicegrants.sudo.commands import SudoRule
from spicegrants.sudo.other_rules import Site, foreign

HEAD = """\
Matching Defaults entries for ann on client:
    env_reset, mail_badpass, secure_path=/usr/local/sbin\\:/usr/sbin

Runas and Command-specific defaults for ann:
    Defaults!/usr/bin/remote-viewer -- x env_reset, !runchroot

User ann may run the following commands on client:
"""
OURS = """
Sudoers entry:
    RunAsUsers: ann
    RunAsGroups: spicegrp
    Options: !setenv, authenticate
    Commands:
\t/usr/bin/remote-viewer -- spice\\://mysrv\\?tls-port\\=20002
\t/usr/bin/remote-viewer -- /etc/spice-grant/vms/debianx.vv
"""
ROLE = """
LDAP Role: helpdesk
    RunAsUsers: root, !bob, #12, %adm, +net
    RunAsGroups: adm, #995
    NotBefore: 20200101000000Z
    Options: !authenticate, role=x
    Commands:
\tsha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== /bin/sh
\t!/bin/ls
"""


def test_entries():
    ours, role = listing.parse_listing(f"{HEAD}{OURS}{ROLE}", "ann")
    assert (ours.origin, role.origin) == (None, "LDAP Role: helpdesk")
    assert role.text == ROLE.strip("\n") and role.file == ours.file == ""
    (spec,) = role.spec["Cmnd_Specs"]
    assert spec["runasusers"] == [
        {"username": "root"},
        {"username": "bob", "negated": True},
        {"userid": "12"},
        {"usergroup": "adm"},
        {"netgroup": "net"},
    ]
    assert spec["runasgroups"] == [{"usergroup": "adm"}, {"usergroup": "#995"}]
    assert spec["Commands"] == [{"command": "/bin/sh"}, {"command": "/bin/ls", "negated": True}]
    assert spec["Options"] == [{"authenticate": False}, {"role": "x"}, {"notbefore": "20200101000000Z"}]


def test_what_is_listed_is_judged_as_what_stands_in_files():
    ours, role = listing.parse_listing(f"{HEAD}{OURS}{ROLE}", "ann")
    arguments = ("spice://mysrv?tls-port=20002", "/etc/spice-grant/vms/debianx.vv")
    granted = [SudoRule("ann", "spicegrp", "/usr/bin/remote-viewer", argument) for argument in arguments]
    site = Site(Viewer(confine=False))
    assert foreign({"User_Specs": [ours.spec]}, granted, site) == []
    assert len(foreign({"User_Specs": [ours.spec]}, granted[:1], site)) == 1
    (found,) = foreign({"User_Specs": [role.spec]}, granted, site)
    assert str(found).startswith("ann may run /bin/sh, !/bin/ls as root, !bob, #12, %adm, +net with group adm, #995")


def test_an_entry_is_the_same_in_a_file():
    (ours,) = listing.parse_listing(f"{HEAD}{OURS}", "ann")
    commands = [{"cmndalias": "VIEW"}]
    tree = {"Command_Aliases": {"VIEW": ours.spec["Cmnd_Specs"][0]["Commands"]}}
    as_user = {"runasgroups": [{"usergroup": "spicegrp"}], "Commands": commands}
    assert ours.spelling == matching.spell_entry(as_user, tree, "ann") != matching.spell_entry(as_user, tree, "bob")
    assert ours.spelling != matching.spell_entry({"Commands": commands}, tree, "ann")


def test_newer_versions_name_the_file():
    (entry,) = listing.parse_listing(f"{HEAD}{OURS.replace('entry:', 'entry: /etc/sudoers.d/x')}", "ann")
    assert entry.origin is None and entry.file == "/etc/sudoers.d/x"


def test_nothing():
    assert listing.parse_listing("User ann is not allowed to run sudo on client.\n", "ann") == []


@pytest.mark.parametrize(
    "printed", ["", "sudo: error\n", HEAD, f"{HEAD}\nanything else\n", f"{HEAD}{OURS}\nSudoers entry:\n    X: y\n"]
)
def test_what_cannot_be_read_is_not_nothing(printed):
    assert listing.parse_listing(printed, "ann") is None
