"""Package upgrades where dpkg is not at home: /etc/permissions.local of openSUSE and SLES.

Their chkstat is no Debian package. What stands in for it here really sets what the file says, as permissions(5) and
chkstat(8) document it: three words a line, comments and additions passed over, the last entry of a path holds.
"""

import pytest

FILE = "/etc/permissions.local"
CHKSTAT = """\
#!/usr/bin/python3 -I
import os, pwd, grp, sys
if sys.argv[1:] != ["--system"]:
    sys.exit("only --system is played here")
entries = {}
with open("/etc/permissions.local") as stream:
    for line in stream:
        words = line.split()
        if len(words) == 3 and words[0].startswith("/"):
            entries[words[0]] = words[1:]
for path, (owner, mode) in entries.items():
    user, group = owner.split(":")
    if os.path.exists(path):
        os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
        os.chmod(path, int(mode, 8))
"""
SITE = "# of the site\n/srv/other root:root 0700\n :package: office\n/srv/third root:root 0700"


@pytest.fixture
def suse(client, package):
    """The client as if it were SUSE's: chkstat instead of dpkg-statoverride, and the site's own file."""
    client.machine.run(["rm", "/usr/bin/dpkg-statoverride"])
    client.machine.write("/usr/bin/chkstat", CHKSTAT, 0o755)
    client.machine.write(FILE, SITE, 0o640, owner="root:adm")
    client.line = f"{package.path} root:spicegrp 0750\n"
    return client


def kept(machine):
    """Return what a run must not change of the site's file: owner, group and mode."""
    status = machine.stat(FILE, follow=False)
    return status.st_uid, status.st_gid, machine.mode(FILE)


def test_upgrade_keeps_owner_and_mode(suse, package):
    """The upgrade by itself opens the viewer; what chkstat then does with our line closes it, without a run."""
    before = kept(suse.machine)
    suse.apply()
    assert suse.machine.read(FILE) == suse.line + SITE
    assert kept(suse.machine) == before
    package.install(2)
    assert not package.restricted()
    suse.machine.run(["chkstat", "--system"])
    assert package.restricted()
    assert suse.apply()["changes"] == {}


def test_run_repairs_what_no_chkstat_repaired(suse, package):
    """On systems that do not call it after an installation, as without its zypper plug-in."""
    suse.apply()
    package.install(2)
    lines = suse.apply()["changes"]["layers"]["viewer"]
    assert lines == [f"restricts {package.path} to root:spicegrp 0750"]
    assert package.restricted()


@pytest.mark.turns(2)
@pytest.mark.parametrize(
    "drift",
    ["", "{path} root:root 0755\n", "{line}{path} root:root 0755\n", "{line} +acl user:mybro:rx\n"],
    ids=["missing", "another", "one more", "with an addition"],
)
def test_lines_that_say_otherwise_are_drift(suse, package, drift):
    """Planned, said, and put right in one run, beside lines that nobody touches."""
    suse.apply()
    suse.machine.write(FILE, SITE + "\n" + drift.format(path=package.path, line=suse.line))
    planned, done = suse.plan(), suse.apply()
    assert planned == done["changes"]
    assert done["changes"]["layers"]["viewer"] == [f"keeps owner and mode of {package.path} over package upgrades"]
    assert suse.machine.read(FILE) == suse.line + SITE + "\n"
    assert suse.apply()["changes"] == {}


def test_line_names_the_group_of_now(suse, package):
    suse.apply()
    suse.pillar["spice"]["viewer"]["group"] = "consoles"
    suse.apply()
    assert suse.machine.read(FILE) == f"{package.path} root:consoles 0750\n" + SITE


def test_test_mode_writes_nothing(suse, package):
    lines = suse.plan()["layers"]["viewer"]
    assert f"keeps owner and mode of {package.path} over package upgrades" in lines
    assert suse.machine.read(FILE) == SITE


@pytest.mark.parametrize("text", [SITE, "", None], ids=["the site's", "an empty one", "none"])
def test_removal_leaves_the_file_as_it_was(suse, text):
    """Byte for byte; the file that we made goes, one of the site's stays even if nothing is in it."""
    suse.machine.run(["rm", FILE])
    if text is not None:
        suse.machine.write(FILE, text)
    suse.apply()
    assert suse.line in suse.machine.read(FILE)
    assert suse.minion.call("spice_grant.remove")["errors"] == []
    assert (suse.machine.read(FILE) if suse.machine.path(FILE).exists() else None) == text


def test_file_that_we_made_stays_once_somebody_else_uses_it(suse):
    suse.machine.run(["rm", FILE])
    suse.apply()
    suse.machine.write(FILE, suse.machine.read(FILE) + SITE)
    suse.minion.call("spice_grant.remove")
    assert suse.machine.read(FILE).endswith(SITE)
    assert suse.line not in suse.machine.read(FILE)


def test_link_in_its_place_is_refused(suse):
    """What it points to is none of ours: nothing at all is changed."""
    suse.machine.write("/srv/elsewhere", SITE)
    suse.machine.run(["ln", "-sf", "/srv/elsewhere", FILE])
    (state,) = suse.minion.state().values()
    assert (state["result"], state["changes"]) == (False, {})
    assert state["comment"] == f"Nothing was changed. {FILE} is not a regular file"
    assert suse.machine.read("/srv/elsewhere") == SITE
    assert "spicegrp" not in suse.machine.read("/etc/group")


def test_without_either_a_run_repairs(suse, package):
    """Neither chkstat nor dpkg-statoverride: nothing is kept, nothing is written, drift is repaired."""
    suse.machine.run(["rm", "/usr/bin/chkstat"])
    suse.apply()
    assert suse.machine.read(FILE) == SITE
    package.install(2)
    assert suse.apply()["changes"]["layers"]["viewer"] == [f"restricts {package.path} to root:spicegrp 0750"]
    assert package.restricted()
