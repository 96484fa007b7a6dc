"""Changes of files, as the kernel reports them."""

import os
import shutil

import pytest

from spicegrants.drift.live.inotify import Inotify


@pytest.fixture
def place(tmp_path):
    """A directory with a file that matters, one that does not, and a directory of ours."""
    (tmp_path / "own").mkdir()
    for name in ("passwd", "motd", "own/file"):
        (tmp_path / name).write_text("as it was\n")
    return tmp_path


@pytest.fixture
def files(place):
    """What listens."""
    made = Inotify()
    assert watch(made, place) == (True, [])
    yield made
    made.close()


def watch(files, place):
    """Watch what matters there."""
    return files.watch({str(place): frozenset({"passwd", "own"}), str(place / "own"): None})


def changed(files, place):
    """The names that changed, below the directory."""
    paths, dropped = files.changes()
    assert not dropped
    return {os.path.relpath(path, place) for path in paths}


def replace(path):
    """Do as editors do."""
    path.with_name("written").write_text("new\n")
    path.with_name("written").rename(path)


WAYS = {
    "written": lambda path: path.write_text("new\n"),
    "replaced": replace,
    "removed": lambda path: path.unlink(),
    "moved away": lambda path: path.rename(path.parent.parent / "elsewhere"),
    "mode": lambda path: path.chmod(0o600),
    "replaced by a link": lambda path: (path.unlink(), path.symlink_to("motd")),
    "truncated": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_done_to_a_file_is_noticed(files, place, way):
    WAYS[way](place / "passwd")
    assert "passwd" in changed(files, place) <= {"passwd", "own"}
    assert changed(files, place) == set()
    WAYS[way](place / "own" / "file")
    assert "own/file" in changed(files, place)


def test_a_file_that_is_written_to_and_not_closed_is_noticed(files, place):
    with (place / "passwd").open("a") as stream:
        stream.write("one more\n")
        stream.flush()
        assert changed(files, place) == {"passwd"}


def test_what_is_read_or_does_not_matter_is_not_noticed(files, place):
    replace(place / "motd")
    (place / "passwd").read_text()
    os.listdir(place / "own")
    (place / "passwd.lock").write_text("")
    # What a run of ours is about to put into place.
    (place / "own" / ".spice-grant.0123456789ab").write_text("")
    assert changed(files, place) == set()


def test_a_directory_that_is_replaced_is_watched_anew(files, place):
    shutil.rmtree(place / "own")
    assert {"own", "own/file"} <= changed(files, place)
    assert watch(files, place)[0] is False
    (place / "own").mkdir()
    assert changed(files, place) == {"own"}
    # Between the two something may have been missed: that is said, once.
    assert watch(files, place) == (True, [])
    assert watch(files, place) == (False, [])
    changed(files, place)
    (place / "own" / "file").write_text("x")
    assert changed(files, place) == {"own/file"}


def test_a_directory_that_is_missing_is_noticed_when_it_comes(files, place):
    files.watch({str(place / "a" / "b"): None})
    (place / "b").mkdir()
    assert changed(files, place) == set()
    (place / "a").mkdir()
    assert changed(files, place) == {"a"}


def test_what_is_not_watched_any_more_is_not_noticed(files, place):
    files.watch({str(place / "own"): None})
    (place / "passwd").write_text("x")
    (place / "own" / "file").chmod(0o600)
    assert changed(files, place) == {"own/file"}


def test_when_the_kernel_drops_some_that_is_known(files, place):
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as stream:
        room = int(stream.read())
    for number in range(room // 2 + 10):
        for name in ("passwd", "own"):
            os.chmod(place / name, 0o700 + number % 2)
    assert files.changes()[1] is True
    assert files.changes() == (set(), False)


def test_what_cannot_be_watched_is_said(files, place):
    loop = place / "loop"
    loop.symlink_to(loop)
    fresh, hindrances = files.watch({str(loop / "x"): None, str(place): frozenset({"passwd"})})
    assert not fresh
    assert hindrances == [f"changes in {loop}/x are not noticed: Too many levels of symbolic links"]
