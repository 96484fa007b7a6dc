"""The viewer's own Debian package, installed again and upgraded by the real apt-get."""

import subprocess

import pytest

from scene.machine import CHECKOUT
from scene.requirements import need, unavailable

pytestmark = pytest.mark.full

PACKAGE = "virt-viewer"
VIEWER = "/usr/bin/remote-viewer"
INSTALL = ["apt-get", "install", "--reinstall", "--yes"]


@pytest.fixture(scope="module")
def archive():
    """The package's file, fetched once: machines have no way to an archive."""
    need("apt-get", "dpkg-deb", "dpkg-query", "remote-viewer")
    query = ["dpkg-query", "--show", "--showformat", "${Version}", PACKAGE]
    version = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    directory = CHECKOUT / "build" / f"{PACKAGE}-{version}"
    if not list(directory.glob("*.deb")):
        directory.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", f"{PACKAGE}={version}"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            unavailable(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    (found,) = directory.glob("*.deb")
    return found


@pytest.fixture(params=["the same version", "the next version"])
def package(request, archive, client):
    """The package's file in the machine, as it is or with a higher version."""
    target = f"/var/cache/apt/archives/{archive.name}"
    client.machine.write(target, archive.read_bytes())
    if request.param == "the next version":
        client.machine.run(["dpkg-deb", "--raw-extract", target, "/srv/next"])
        control = client.machine.read("/srv/next/DEBIAN/control").splitlines()
        changed = [f"{line}+next" if line.startswith("Version: ") else line for line in control]
        client.machine.write("/srv/next/DEBIAN/control", "\n".join([*changed, ""]))
        target = "/srv/next.deb"
        client.machine.run(["dpkg-deb", "--root-owner-group", "--build", "/srv/next", target])
    return target


def install(client, package):
    """Install it, and see that the viewer really is another file."""
    before = client.machine.stat(VIEWER).st_ino
    client.machine.run([*INSTALL, package], env={"DEBIAN_FRONTEND": "noninteractive"})
    assert client.machine.stat(VIEWER).st_ino != before


def rights(machine):
    status = machine.stat(VIEWER)
    return status.st_uid, status.st_gid, machine.mode(VIEWER)


def test_apt_keeps_owner_and_mode(client, package):
    """No run comes after it, and none would have anything to do."""
    client.apply()
    install(client, package)
    assert rights(client.machine) == (0, client.machine.group_id("spicegrp"), 0o750)
    tried = client.machine.run(["/usr/bin/env", VIEWER, "--version"], user="myself", check=False)
    assert "Permission denied" in tried.stderr
    assert client.apply()["changes"] == {}


def test_apt_alone_would_open_the_viewer(client, package):
    """The trial itself: without the override the package's own owner and mode are back, until the next run."""
    client.apply()
    client.machine.run(["dpkg-statoverride", "--remove", VIEWER])
    install(client, package)
    assert rights(client.machine) == (0, 0, 0o755)
    assert client.apply()["changes"]
    assert rights(client.machine) == (0, client.machine.group_id("spicegrp"), 0o750)
