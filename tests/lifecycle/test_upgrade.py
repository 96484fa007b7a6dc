"""Package upgrades of the viewer, with real packages: dpkg itself unpacks them, and keeps what it was told."""


def override(client, package):
    """Return what dpkg was told about the viewer."""
    return client.machine.run(["dpkg-statoverride", "--list", package.path], check=False).stdout


def test_upgrade_alone_would_open_the_viewer(client, package):
    """The trial itself: without the override, an upgrade gives the viewer back to all; the next run repairs it."""
    client.apply()
    client.machine.run(["dpkg-statoverride", "--remove", package.path])
    package.install(2)
    assert package.rights() == (0, 0o755)
    lines = client.apply()["changes"]["layers"]["viewer"]
    assert lines == [
        f"restricts {package.path} to root:spicegrp 0750",
        f"keeps owner and mode of {package.path} over package upgrades",
    ]
    assert client.apply()["changes"] == {}


def test_upgrade_keeps_owner_and_mode(client, package):
    """After an upgrade the new version is there, with our owner and mode; no run was needed, none changes anything."""
    client.apply()
    package.install(2)
    assert client.machine.read(package.path).endswith("echo 2\n")
    assert package.restricted()
    assert client.apply()["changes"] == {}


def test_override_of_the_site_is_replaced(client, package):
    """An override that would open the viewer is drift."""
    client.machine.run(["dpkg-statoverride", "--add", "root", "root", "0755", package.path])
    client.apply()
    assert override(client, package) == f"root spicegrp 750 {package.path}\n"


def test_removing_leaves_dpkg_working(client, package):
    """dpkg refuses to work while an override names a group that is gone: the override goes first."""
    client.apply()
    client.minion.call("spice_viewer.remove")
    assert override(client, package) == ""
    package.install(3)
    assert package.rights() == (0, 0o755)
