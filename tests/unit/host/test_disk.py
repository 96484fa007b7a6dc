"""Files as they are read: what is opened counts, whatever was at the path a moment before."""

import os

import pytest

from spicegrants.core.entries import File, Other
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
