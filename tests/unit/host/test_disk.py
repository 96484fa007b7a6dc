"""Files as they are read: what is opened counts, whatever was at the path a moment before."""

import errno
import os

import pytest

from spicegrants.core.entries import File, Other
from spicegrants.core.errors import SystemFault
from spicegrants.host import disk


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something done between the look at a path and its opening."""

    def done(action):
        opened = os.open

        def opening(path, *arguments, **options):
            monkeypatch.setattr(os, "open", opened)
            action()
            return opened(path, *arguments, **options)

        monkeypatch.setattr(os, "open", opening)

    return done


@pytest.mark.parametrize("longer", [b"", b"x" * 5000])
def test_a_file_that_is_replaced_is_read_whole(tmp_path, meanwhile, longer):
    """A run that reads what another one is just writing anew gets all of one version, not a part of it."""
    path, newer = tmp_path / "state.json", tmp_path / "newer"
    path.write_bytes(b"older")
    newer.write_bytes(b"newer" + longer)
    newer.chmod(0o600)
    meanwhile(lambda: os.rename(newer, path))
    found = disk.read(str(path))
    assert isinstance(found, File)
    assert (found.content, found.mode) == (b"newer" + longer, 0o600)


def test_a_pipe_that_comes_into_the_place_of_a_file_is_not_waited_for(tmp_path, meanwhile):
    path, pipe = tmp_path / "state.json", tmp_path / "pipe"
    path.write_bytes(b"older")
    os.mkfifo(pipe)
    meanwhile(lambda: os.rename(pipe, path))
    assert disk.read(str(path)) == Other("special file")


@pytest.fixture
def flushed(monkeypatch):
    """Count files and directories that are flushed one by one."""
    found, really = [], os.fsync

    def fsync(descriptor):
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def files(directory, number):
    return {
        str(directory / f"file{index}"): File(f"new {index}".encode(), 0o640, os.getuid(), os.getgid())
        for index in range(number)
    }


@pytest.mark.parametrize("number", [3, 300])
def test_files_that_are_written_together(tmp_path, flushed, number):
    """All are there with content and mode, in the place of what was there; many are flushed at once."""
    (tmp_path / "file0").write_text("old")
    (tmp_path / "file1").mkdir()
    (tmp_path / "file2").symlink_to("/etc/passwd")
    entries = files(tmp_path, number)
    disk.write_all(entries)
    assert {path: disk.read(path) for path in entries} == entries
    assert len(os.listdir(tmp_path)) == number
    assert len(flushed) == (2 * number if number == 3 else 1)
    assert flushed[-1] == str(tmp_path)


@pytest.mark.parametrize("number", [3, 300])
def test_if_one_of_them_cannot_be_written_no_temporary_file_is_left(tmp_path, number):
    entries = files(tmp_path, number)
    (tmp_path / f"file{number - 1}").mkdir()
    (tmp_path / f"file{number - 1}" / "kept").write_text("somebody's")
    (tmp_path / "file0").write_text("old")
    with pytest.raises(SystemFault, match=f"file{number - 1}"):
        disk.write_all(entries)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".spice-grant")]
    assert (tmp_path / f"file{number - 1}" / "kept").read_text() == "somebody's"


def test_none_of_many_takes_its_place_before_all_are_on_the_disk(tmp_path, monkeypatch):
    """As with one: whoever reads after a crash finds the old content or the new."""
    entries = files(tmp_path, 300)
    for path in entries:
        with open(path, "w", encoding="ascii") as stream:
            stream.write("old")

    def full(directory):
        raise OSError(errno.EIO, "the disk is broken", directory)

    monkeypatch.setattr(disk, "_flush_file_system", full)
    with pytest.raises(SystemFault, match="the disk is broken"):
        disk.write_all(entries)
    assert {disk.read(path).content for path in entries} == {b"old"}
    assert len(os.listdir(tmp_path)) == 300
