"""No space, no right to write, no program, no process: the run says what is wrong, and the next one is whole."""

import contextlib
import errno
import os
import shutil

import pytest
from functional.office import FILES, difference

from amount import first_of
from faults.proof import ONE, OPEN_ONE, OPEN_OTHER, OTHER, halfway, idle_session, sudo_works, survives, whole
from scene.machine import ROOT_PATH
from scene.requirements import unavailable
from scenes import ADDRESS, ADDRESS6

PAGE = 4096
ASIDE = "/tmp/aside"  # noqa: S108 - the machine's own


def fails(result, *words):
    """Insist that a state failed and names what is wrong."""
    assert result["result"] is False
    for word in words:
        assert word in result["comment"]


def complaint(answer):
    """What a run that failed says."""
    text = answer.get("error") or "\n".join(answer["data"]["errors"])
    assert text and answer.get("retcode") != 0
    return text


@contextlib.contextmanager
def read_only(office, directory):
    """A directory that is mounted read-only."""
    office.client.run(["mount", "--bind", directory, directory])
    office.client.run(["mount", "-o", "remount,bind,ro", directory])
    try:
        yield
    finally:
        office.client.run(["umount", "--lazy", directory])


@contextlib.contextmanager
def hidden(office, *names):
    """Programs that are not installed."""
    paths = [shutil.which(name, path=ROOT_PATH) for name in names]
    for path in paths:
        office.client.run(["mv", path, f"{path}.hidden"])
    try:
        yield
    finally:
        for path in paths:
            office.client.run(["mv", f"{path}.hidden", path])


class Full:
    """A directory of the office on a file system of its own that is full, but for some pages."""

    def __init__(self, office, directory):
        self.office, self.directory = office, directory
        self.filler = None

    def __enter__(self):
        client = self.office.client
        client.run(["mkdir", ASIDE])
        client.run(["mount", "-t", "tmpfs", "-o", f"size=16m,mode={client.mode(self.directory):o}", "tmpfs", ASIDE])
        client.run(["cp", "--archive", f"{self.directory}/.", ASIDE])
        client.run(["mount", "--bind", ASIDE, self.directory])
        # sudo passes over a name with a dot, and nobody reads it as one of ours.
        self.filler = client.path(self.directory) / ".filler"
        return self

    def __exit__(self, *exc):
        for directory in (self.directory, ASIDE):
            self.office.client.run(["umount", "--lazy", directory])

    def leave(self, pages):
        """Leave some pages free."""
        with open(self.filler, "wb", buffering=0) as stream:
            with contextlib.suppress(OSError):
                while True:
                    stream.write(bytes(PAGE))
            stream.truncate(stream.tell() // PAGE * PAGE - pages * PAGE)

    def free(self):
        """Make room again."""
        self.filler.unlink()


def references(office, driver):
    """What the two policies make of the machine when nothing goes wrong; the first is in force then."""
    driver.done("apply", OTHER)
    other = office.essence()
    driver.done("apply", ONE)
    return office.essence(), other


@pytest.mark.parametrize("directory", ["/var/lib/spice-grant", "/etc/sudoers.d", "/etc"])
def test_no_space_for_a_change(office, driver, directory):
    """Full at the start, then with a page more each time, so that it is full at a later file, until it is enough."""
    driver.done("apply", ONE)
    with Full(office, directory) as full:
        one, other = references(office, driver)
        for pages in range(16):
            office.minion.set_pillar(OTHER)
            full.leave(pages)
            result = office.apply()
            if result["result"]:
                break
            fails(result, directory, os.strerror(errno.ENOSPC))
            survives(office, OPEN_ONE | OPEN_OTHER, pages)
            assert halfway(office) == []
            full.free()
            whole(office, driver, OTHER, other, pages)
            whole(office, driver, ONE, one, pages)
        assert 1 <= pages < 15


def test_no_space_for_a_first_run(office, driver, walk):
    """The same on a machine without a guard, where accounts must be edited as well."""
    with Full(office, "/etc") as full:
        one, _ = references(office, driver)
        # How many are enough depends on the accounts that there are; so many always are.
        for pages in [step - 1 for step in walk(40)]:
            driver.done("remove")
            office.minion.set_pillar(ONE)
            full.leave(pages)
            result = office.apply()
            if result["result"]:
                break
            fails(result, "/etc")
            survives(office, OPEN_ONE, pages)
            assert halfway(office) == []
            full.free()
            whole(office, driver, ONE, one, pages)
        assert 1 <= pages < 39


@pytest.mark.turns(2)
@pytest.mark.parametrize("pillar", first_of([OTHER, ONE]), ids=["change", "first"])
@pytest.mark.parametrize("directory", ["/var/lib", "/etc", "/etc/sudoers.d", "/usr/local", "/run"])
def test_read_only(office, driver, directory, pillar):
    """The run names what it cannot write. What can be closed all the same is closed."""
    one, other = references(office, driver)
    if pillar is ONE:
        driver.done("remove")
    elif directory == "/usr/local":
        office.client.run(["rm", "/usr/local/bin/rviewer"])
    before = office.essence()
    with read_only(office, directory):
        text = complaint(driver.call("apply", pillar))
        assert directory in text
        survives(office, OPEN_ONE | OPEN_OTHER, directory)
        assert halfway(office) == []
    if directory == "/run" or (directory == "/var/lib" and pillar is ONE):
        assert difference(before, office.essence()) == {}
    elif directory == "/var/lib":
        assert office.openings((ADDRESS, ADDRESS6)) == OPEN_ONE & OPEN_OTHER
    elif pillar is OTHER:
        assert office.openings((ADDRESS, ADDRESS6)) == OPEN_OTHER
    whole(office, driver, pillar, one if pillar is ONE else other, directory)


@pytest.mark.turns(2)
@pytest.mark.parametrize("names", [("nft", "iptables"), ("visudo",), ("cvtsudoers",), ("sudo",)], ids=" and ".join)
def test_program_that_every_change_needs(office, driver, names):
    """Without it nothing is given, neither by a first run nor by another, and what goes closes; then it comes back."""
    one, other = references(office, driver)
    driver.done("remove")
    for pillar, reference in ((ONE, one), (OTHER, other)):
        office.minion.set_pillar(pillar)
        before = office.essence()
        with hidden(office, *names):
            result = office.apply()
        fails(result, *(f"{name} is not installed" for name in names))
        if pillar is ONE:
            assert result["comment"].startswith("Nothing was changed.")
            assert difference(before, office.essence()) == {}
        else:
            assert office.openings((ADDRESS, ADDRESS6)) == OPEN_ONE & OPEN_OTHER
        assert sudo_works(office)
        whole(office, driver, pillar, reference, names)


def test_no_groupadd(office, driver):
    """The first run needs it to make the viewer's group: without that nothing is done."""
    one, _ = references(office, driver)
    driver.done("remove")
    with hidden(office, "groupadd"):
        fails(office.apply(ONE), "Nothing was changed. groupadd is not installed")
    assert sudo_works(office)
    assert "spice_grant" not in office.nft("list", "tables")
    whole(office, driver, ONE, one, "groupadd")


def test_no_ss(office, driver):
    """An idle session of a user who loses a grant cannot be ended: the run says so, and closes all else to them."""
    _, other = references(office, driver)
    with idle_session(office) as session:
        with hidden(office, "ss"):
            fails(office.apply(OTHER), "ends what myself has open", "(ss is not installed)")
            assert not office.opens("myself", FILES["debianx"])
        survives(office, OPEN_OTHER, "ss")
        assert session.poll() is None
        driver.done("apply", OTHER)
        session.wait(60)
    whole(office, driver, OTHER, other, "ss")


def test_no_systemctl(office, driver):
    """Where systemd runs it must read its units anew; a run that cannot tell it so says that."""
    office.client.run(["mkdir", "--parents", "/run/systemd/system"])
    with hidden(office, "systemctl"):
        fails(office.apply(ONE), "systemctl is not installed")
    assert survives(office, OPEN_ONE, "systemctl"), "no guard"
    office.client.run(["rmdir", "/run/systemd/system"])
    driver.done("apply", ONE)
    assert driver.done("plan", ONE)["changes"] == {}
    survives(office, OPEN_ONE, "systemctl")


@pytest.fixture
def no_processes(office):
    """A control group in the office that holds one process and no other; its directory."""
    top = "/srv/pids"
    office.client.run(["mkdir", top])
    for kind in (["-t", "cgroup2"], ["-t", "cgroup", "-o", "pids"]):
        office.client.run(["umount", top], check=False)
        if office.client.run(["mount", *kind, "none", top], check=False).returncode == 0:
            group = office.client.path(top) / f"spice-grant-test-{os.getpid()}"
            group.mkdir()
            try:
                if (group / "pids.max").exists():
                    (group / "pids.max").write_text("1")
                    yield f"{top}/{group.name}"
                    return
            finally:
                group.rmdir()
    unavailable("the number of processes cannot be limited: there is no pids controller")


def test_no_process(office, driver, no_processes, walk):
    """From a step on no program can be started: before the first, before the second, and so on."""
    one, other = references(office, driver)
    steps = driver.call("apply", OTHER)["steps"]
    driver.done("apply", ONE)
    starting = [(number, step) for number, step in enumerate(steps, 1) if step.startswith("run ")]
    for number, step in [starting[index - 1] for index in walk(len(starting)) if index <= len(starting)]:
        text = complaint(driver.call("apply", OTHER, ["starve", number, no_processes]))
        assert f"cannot be run: {OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))}" in text, step
        survives(office, OPEN_ONE | OPEN_OTHER, step)
        assert halfway(office) == []
        whole(office, driver, OTHER, other, step)
        whole(office, driver, ONE, one, step)
    assert {step.split()[1] for _, step in starting} >= {"/usr/sbin/nft", "/usr/sbin/visudo", "/usr/bin/cvtsudoers"}
