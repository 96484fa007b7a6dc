"""Nobody is locked out of sudo, whatever the rest of the sudoers tree is like, and interrupted runs are made good."""

import os
import time

import pytest

from functional.office import FILES, OPEN, Office, changed, sentences
from scenes import ADDRESS, GROUP, SUDOERS, article

# One grant goes, one comes.
EDITED = changed(
    article(), grants={"n": {"user": "nogrant", "vm": "debianx"}, "b": article()["spice"]["grants"]["mybro-leaptest"]}
)


def prepare(office):
    """What somebody else may do with sudo, which must stay so."""
    office.client.write("/etc/sudoers.d/site", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)


def _sudo_works(office):
    return office.sudo("nogrant", "/usr/bin/id", "-u", password=None).stdout == "0\n"


@pytest.mark.parametrize(
    "path, text",
    [
        ("/etc/sudoers.d/broken", "this does not parse\n"),
        ("/etc/sudoers.d/aaa", "Cmnd_Alias SPICE_GRANT = /usr/bin/true\n"),
        ("/etc/sudoers.d/zzz", "Cmnd_Alias SPICE_GRANT = /usr/bin/true\n"),
    ],
)
def test_a_tree_that_would_not_parse_is_never_installed(shared, path, text):
    """Another file is broken, or has an alias of our name: the run fails, our file gives nothing, and revokes as ever.

    sudo works for all others as before; once that file is right one run makes good.
    """
    shared.client.write(path, text, mode=0o440)
    before = shared.snapshot()
    shared.minion.set_pillar(EDITED)
    dry, real = shared.apply(test=True), shared.apply()
    for result in (dry, real):
        assert result["result"] is False
        assert "the sudoers tree would not parse, so it stays as it was" in result["comment"]
    assert dry["changes"] == real["changes"]
    lines = [line for line in sentences(real["changes"]).splitlines() if "sudo: " in line]
    assert lines and all("sudo: no longer lets myself" in line for line in lines)
    content = shared.client.read(SUDOERS)
    assert "myself" not in content and "mybro ALL=" in content and "nogrant" not in content
    assert shared.snapshot()["mounts"] == before["mounts"]
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "refused"
    assert not shared.opens("nogrant", FILES["debianx"])
    assert _sudo_works(shared)
    shared.client.run(["rm", path])
    result = shared.applied()
    assert all("sudo: " in line for line in sentences(result["changes"]).splitlines())
    assert shared.opens("nogrant", FILES["debianx"])
    assert not shared.opens("myself", FILES["debianx"])


def test_other_things_in_the_directory_do_no_harm(shared):
    """What sudo itself passes over, a dangling link among it, keeps nobody from being granted or revoked anything."""
    for command in ("ln -s /none x", "mkdir y", "mkfifo z", "touch back.up tilde~"):
        shared.client.run(command.split(), cwd="/etc/sudoers.d")
    shared.client.write("/etc/sudoers.d/x.bak", "this does not parse\n")
    try:
        shared.applied(EDITED)
        assert shared.opens("nogrant", FILES["debianx"])
        assert _sudo_works(shared)
    finally:
        shared.client.run(["rm", "-rf", "x", "y", "z", "back.up", "tilde~", "x.bak"], cwd="/etc/sudoers.d")


def test_a_sudoers_that_includes_no_directory_is_reported(shared):
    """If sudo does not read the directory of our file, every run fails and says so."""
    before = shared.client.read("/etc/sudoers")
    shared.client.write("/etc/sudoers", before.replace("@includedir", "#@includedir"), mode=0o440)
    try:
        for pillar in (article(), EDITED, EDITED):
            result = shared.apply(pillar)
            assert result["result"] is False
            assert f"/etc/sudoers does not include {SUDOERS}" in result["comment"]
    finally:
        shared.client.write("/etc/sudoers", before, mode=0o440)
    shared.applied()


def test_nothing_temporary_is_left(shared):
    """After runs that change every file, good ones and refused ones, there is no file but the named ones."""
    shared.client.run(["rm", "-r", "/etc/spice-grant", SUDOERS, "/usr/local/bin/rviewer"])
    shared.applied()
    shared.client.write("/etc/sudoers.d/broken", "this does not parse\n", mode=0o440)
    shared.apply(EDITED)
    shared.client.run(["rm", "/etc/sudoers.d/broken"])
    shared.applied()
    content = {}
    for directory in ("/etc/spice-grant", "/etc/sudoers.d", "/usr/local/bin", "/var/lib/spice-grant", "/run", "/tmp"):  # noqa: S108
        depth = ["-maxdepth", "1"] if directory == "/tmp" else []  # noqa: S108
        command = ["find", directory, "-mindepth", "1", *depth, "-name", "*spice-grant*", "-o", "-name", ".*"]
        command += ["-o", "-path", "*spice-grant/*"]
        content[directory] = set(shared.client.run(command).stdout.split())
    menus = {f"/etc/spice-grant/menu/{uid}" for uid in (1022, 1023)}
    files = {FILES["debianx"], FILES["leaptest"]}
    ours = {"/etc/spice-grant/menu", "/etc/spice-grant/vms"}
    assert content["/etc/spice-grant"] == {*ours, *menus, *files}
    assert content["/etc/sudoers.d"] == {SUDOERS}
    assert content["/var/lib/spice-grant"] == {f"/var/lib/spice-grant/{name}.json" for name in ("state", "guard")}
    run = {f"/run/spice-grant/{name}" for name in ("last-run", "record.lock")}
    assert content["/run"] == {"/run/spice-grant.lock", "/run/spice-grant", *run}
    assert content["/usr/local/bin"] == content["/tmp"] == set()  # noqa: S108


def test_the_check_of_the_tree_leaves_no_mount(shared):
    """The tree is checked in a mount namespace of its own: afterwards the mounts are as before."""
    before = shared.snapshot()["mounts"]
    shared.applied(EDITED)
    assert shared.snapshot()["mounts"] == before


@pytest.mark.parametrize("mark", ["/var/lib/spice-grant/state.json", "/etc/spice-grant/vms", SUDOERS])
def test_a_killed_run_is_made_good(mark):
    """A first run that is killed on the way never leaves a console open to anybody else; the next one completes it."""
    with Office() as office:
        minion, client = office.minion, office.client
        program = os.path.join(os.path.dirname(os.sys.executable), "salt-call")
        process = client.popen([program, "--local", "-c", minion.conf, "state.apply", "spice"])
        deadline = time.monotonic() + 60
        while not client.path(mark).exists() and process.poll() is None:
            assert time.monotonic() < deadline
        process.kill_tree()
        process.wait()
        guarded = "spice_grant" in office.nft("list", "tables")
        assert not guarded or office.openings() <= OPEN
        assert guarded or mark.startswith("/var")
        office.applied()
        assert office.openings() == OPEN
        assert office.opens("mybro", FILES["leaptest"], password=None)
        assert office.minion.call("spice_grant.plan")["changes"] == {}
