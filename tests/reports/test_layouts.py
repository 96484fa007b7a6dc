"""Where other systems have things: directories that are links, sudo's main file elsewhere, sources of accounts.

First seen: Fedora Atomic (/usr/local), openSUSE (/usr/etc/sudoers), authselect (/etc/nsswitch.conf), machines of which
parts of /etc are kept elsewhere.
"""

import pytest
from functional.confined import OPENER, WITNESS, Witnesses, pillar, prepare
from functional.office import OPEN, Office, changed

from scenes import ADDRESS, GROUP, SUDOERS, VIEWER

PILLAR = pillar()
MOVED = {
    "/usr/local": ["mv /usr/local /var/usrlocal", "ln -s ../var/usrlocal /usr/local"],
    "/etc/sudoers.d": ["mv /etc/sudoers.d /etc/sudoers.real", "ln -s sudoers.real /etc/sudoers.d"],
    "/etc/systemd": ["mv /etc/systemd /opt/systemd", "ln -s /opt/systemd /etc/systemd"],
    "/etc/udev": ["mkdir -p /opt/udev; rm -rf /etc/udev", "ln -s /opt/udev /etc/udev"],
    "/etc/nsswitch.conf": [
        "mkdir /etc/authselect",
        "mv /etc/nsswitch.conf /etc/authselect/nsswitch.conf",
        "ln -s authselect/nsswitch.conf /etc/nsswitch.conf",
    ],
    "/bin beside /usr/bin": ["rm /bin", "mkdir /bin", "mount --bind /usr/bin /bin"],
    "homes elsewhere": ["mkdir /srv/people", "usermod --home /srv/people/myself --move-home myself"],
    "/var/lib/spice-grant": ["mkdir -m 0700 /srv/state", "ln -s /srv/state /var/lib/spice-grant"],
}


@pytest.mark.turns(3)
@pytest.mark.parametrize("what", MOVED)
def test_a_directory_that_is_a_link(what):
    """Root's own: the first run succeeds, the next has nothing to do, and who is granted gets in."""
    # /usr/local itself is not in sight of a sandbox where it leads elsewhere.
    with Office(pillar(path=["/usr/bin/witness", VIEWER])) as office:
        for command in MOVED[what]:
            office.client.run(["sh", "-ec", command])
        prepare(office)
        office.client.run(["mv", WITNESS, "/usr/bin/witness"])
        result = office.applied()
        assert office.apply()["changes"] == {}, result
        assert office.openings() >= OPEN
        heard = Witnesses(office)
        assert heard.open("myself")[1] is not None
        heard.stop()
        assert f"{OPENER} debianx" in office.client.read(SUDOERS)
        office.minion.state("spice.absent")
        assert not office.client.path(SUDOERS).exists()


def test_sudos_main_file_of_the_package(shared):
    """Without one of the site's: it is read, and includes ours."""
    shared.client.run(["sh", "-ec", "mkdir -p /usr/etc; mv /etc/sudoers /usr/etc/sudoers"])
    try:
        # Debian's sudo knows no other place than /etc; what asks it does.
        review = shared.minion.call("spice_sudoers.review")
        assert review["errors"] == []
        assert not any("cannot be read" in text for text in review["warnings"])
    finally:
        shared.client.run(["mv", "/usr/etc/sudoers", "/etc/sudoers"])


@pytest.mark.parametrize("line", ["group: files [SUCCESS=merge] sss", "passwd: files sss\ngroup: files sss"])
def test_sssd_that_is_named_and_not_there(shared, line):
    """As Fedora has it: a grant to a group is no failure for ever, and who is gone is gone."""
    content = shared.client.read("/etc/nsswitch.conf")
    shared.client.write("/etc/nsswitch.conf", f"{line}\n")
    shared.client.run(["usermod", "-aG", "accounting", "nogrant"])
    try:
        grants = {"all": {"group": "accounting", "vm": "debianx"}, "gone": {"user": "leaver", "vm": "debianx"}}
        result = shared.apply(changed(PILLAR, grants=grants))
        assert "cannot be asked" not in result["comment"]
        assert "no user 'leaver' on this machine" in result["comment"]
        assert shared.openings() >= {("nogrant", GROUP, ADDRESS, 20002)}
    finally:
        shared.client.run(["gpasswd", "-d", "nogrant", "accounting"])
        shared.client.write("/etc/nsswitch.conf", content)
