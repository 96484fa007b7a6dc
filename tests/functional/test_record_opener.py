"""What the opener adds to the record: launches and refusals; and what becomes of a launch that cannot be recorded."""

import contextlib

import pytest

from functional.confined import ANYTHING, IMPOSSIBLE, REFUSED, desk, pillar, prepare, site_rule
from functional.office import changed
from functional.recorder import RECORD, events
from scene import need

need("bwrap", "xauth")
PILLAR = pillar()
__all__ = ["desk", "prepare"]


@pytest.fixture
def empty(looked_at):
    """Nothing is in the record yet."""
    looked_at.client.path(RECORD).unlink(missing_ok=True)
    return looked_at


@contextlib.contextmanager
def no_space(office):
    """The record's file system is full."""
    office.client.run(["mkdir", "-p", "/var/log/spice-grant"])
    office.client.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=0750", "none", "/var/log/spice-grant"])
    try:
        # What is there takes all of it.
        office.client.run(["sh", "-c", "head -c 8192 /dev/zero > /var/log/spice-grant/full"], check=False)
        yield
    finally:
        office.client.run(["umount", "/var/log/spice-grant"])


def test_a_launch(desk, empty):
    done, _ = desk.open("myself")
    assert done.returncode == 0
    (event,) = events(empty, "launch")
    assert (event["user"], event["uid"], event["vm"]) == ("myself", 1021, "debianx")
    assert empty.client.run(["stat", "-c", "%U:%G %a", RECORD]).stdout == "root:adm 640\n"


def test_a_refusal_and_no_more_than_six_a_minute(desk, empty):
    """In English, whatever the user reads; further ones are counted, so nobody fills the disk or drives others out."""
    with site_rule(empty, ANYTHING):
        for _ in range(9):
            done = empty.sudo("nogrant", "-u", "root", "/usr/local/lib/spice-grant/open", "debianx", password=None)
            assert done.returncode == REFUSED
    found = events(empty, "refused")
    assert len(found) == 6
    assert {(event["user"], event["vm"], event["by"], event["why"]) for event in found} == {
        ("nogrant", "debianx", "opener", "it is not granted to you")
    }


@pytest.mark.parametrize("required", [False, True])
def test_where_it_cannot_be_recorded(desk, empty, required):
    """The console opens all the same unless pillar says that it must not; then its user reads why."""
    empty.applied(changed(PILLAR, audit={"required": required}))
    with no_space(empty):
        done, _ = desk.open("myself")
        assert done.returncode == (IMPOSSIBLE if required else 0)
        assert ("it could not be recorded, as it must be" in done.stderr) is required
    assert events(empty, "launch") == []
