"""Package upgrades of the viewer, with real packages made here: dpkg itself unpacks them."""

import pytest

from scene.requirements import need

VIEWER = "/usr/bin/office-viewer"
CONTROL = """\
Package: office-viewer
Version: {version}
Architecture: all
Maintainer: Office <office@example.org>
Description: a viewer
"""


@pytest.fixture
def packaged(client):
    """A viewer that comes from a package, declared in pillar."""
    need("dpkg-deb", "dpkg-statoverride")
    install(client.machine, 1)
    client.pillar["spice"]["viewer"] = {"path": VIEWER}
    return client


def install(machine, version):
    """Build and install a version of the package, as an upgrade does."""
    machine.write("/srv/package/DEBIAN/control", CONTROL.format(version=version))
    machine.write(f"/srv/package{VIEWER}", f"#!/bin/sh\necho {version}\n", 0o755)
    machine.run(["dpkg-deb", "--root-owner-group", "--build", "/srv/package", "/srv/package.deb"])
    machine.run(["dpkg", "--install", "/srv/package.deb"])


def rights(machine):
    status = machine.stat(VIEWER)
    return status.st_gid, machine.mode(VIEWER)


def test_upgrade_alone_would_open_the_viewer(packaged):
    """The trial itself: without the override, an upgrade gives the viewer back to all; the next run repairs it."""
    packaged.apply()
    packaged.machine.run(["dpkg-statoverride", "--remove", VIEWER])
    install(packaged.machine, 2)
    assert rights(packaged.machine) == (0, 0o755)
    said = packaged.apply()["changes"]["layers"]["viewer"]
    assert said == [
        f"restricts {VIEWER} to root:spicegrp 0750",
        f"keeps owner and mode of {VIEWER} over package upgrades",
    ]
    assert packaged.apply()["changes"] == {}


def test_upgrade_keeps_owner_and_mode(packaged):
    """After an upgrade the new version is there, with our owner and mode; no run was needed, none changes anything."""
    packaged.apply()
    install(packaged.machine, 2)
    assert packaged.machine.read(VIEWER).endswith("echo 2\n")
    assert rights(packaged.machine) == (packaged.machine.group_id("spicegrp"), 0o750)
    assert packaged.apply()["changes"] == {}


def test_override_of_the_site_is_replaced(packaged):
    """An override that would open the viewer is drift."""
    packaged.machine.run(["dpkg-statoverride", "--add", "root", "root", "0755", VIEWER])
    packaged.apply()
    listed = packaged.machine.run(["dpkg-statoverride", "--list", VIEWER]).stdout
    assert listed == f"root spicegrp 750 {VIEWER}\n"


def test_removing_leaves_dpkg_working(packaged):
    """dpkg refuses to work while an override names a group that is gone: the override goes first."""
    packaged.apply()
    packaged.minion.call("spice_viewer.remove")
    assert packaged.machine.run(["dpkg-statoverride", "--list", VIEWER], check=False).stdout == ""
    install(packaged.machine, 3)
    assert rights(packaged.machine) == (0, 0o755)
