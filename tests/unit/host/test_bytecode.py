"""Bytecode for programs: made once, by the system's Python, used by it alone, and never instead of another source."""

import io
import os
import subprocess
import zipfile

import pytest

from spicegrants.core.errors import CommandFailed
from spicegrants.host import bytecode, package, run
from spicegrants.viewer.live import layer, opener

ARGUMENTS = (opener.__name__, layer.PARTS)
MODULE = "spicegrants/core/paths.py"
ASK = "import sys; sys.path.insert(0, sys.argv[1]); from spicegrants.core import paths; print(paths.STORE)"


@pytest.fixture(autouse=True)
def run_directory(tmp_path, monkeypatch):
    """A directory for the note, and nothing compiled yet."""
    directory = tmp_path / "run"
    monkeypatch.setattr(bytecode, "RUN", str(directory))
    monkeypatch.setattr(bytecode, "NOTE", f"{directory}/bytecode")
    monkeypatch.setattr(bytecode, "_made", {})
    return directory


@pytest.fixture(scope="module")
def compiled():
    """The opener, compiled."""
    return bytecode.program(*ARGUMENTS, b"")


@pytest.fixture
def no_compiler(monkeypatch):
    """Another process, in which nothing was compiled, and no program can be run."""
    monkeypatch.setattr(bytecode, "_made", {})

    def refused(*arguments, **options):
        raise CommandFailed("nothing may be compiled")

    monkeypatch.setattr(run, "attempt", refused)


def members(program):
    with zipfile.ZipFile(io.BytesIO(program)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def with_member(program, directory, name, content):
    """Write a program of which one file is another; return its path."""
    path = directory / "program"
    with zipfile.ZipFile(path, "w") as packed:
        for each, found in {**members(program), name: content}.items():
            packed.writestr(each, found)
    return path


def asked(path):
    done = subprocess.run(["/usr/bin/python3", "-IS", "-c", ASK, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_sources_stay_and_each_has_its_bytecode(compiled):
    plain = members(package.program(*ARGUMENTS))
    found = members(compiled)
    assert {name: found[name] for name in plain} == plain
    assert {name for name in found if name not in plain} == {f"{name}c" for name in plain if name != "__main__.py"}


def test_it_is_used(compiled, tmp_path):
    """What the bytecode says is what runs: here it says something else than its source."""
    head = members(compiled)[f"{MODULE}c"][:16]
    script = "import marshal, sys; sys.stdout.buffer.write(marshal.dumps(compile(sys.argv[1], sys.argv[2], 'exec')))"
    command = ["/usr/bin/python3", "-IS", "-c", script, "STORE = 'bytecode'", MODULE]
    made = subprocess.run(command, capture_output=True, check=True)
    assert asked(with_member(compiled, tmp_path, f"{MODULE}c", head + made.stdout)) == "bytecode"


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: b"\0\0\r\n" + found[4:],
        lambda found: found[:8] + bytes(8) + found[16:],
        lambda found: b"",
    ],
    ids=["of another Python", "of another source", "empty"],
)
def test_what_does_not_fit_is_not_used(compiled, tmp_path, damage):
    path = with_member(compiled, tmp_path, f"{MODULE}c", damage(members(compiled)[f"{MODULE}c"]))
    assert asked(path) == "/var/lib/spice-grant"


def test_the_same_sources_give_the_same_bytes(compiled, monkeypatch):
    """A run that has no note any more finds no difference, and a run for a test says what another one does."""
    assert bytecode.program(*ARGUMENTS, b"") == compiled
    monkeypatch.setattr(bytecode, "_made", {})
    assert bytecode.program(*ARGUMENTS, compiled) == compiled


def test_what_is_noted_is_not_compiled_again(compiled, run_directory, no_compiler):
    run_directory.mkdir(mode=0o700)
    key = bytecode._digest(package.program(*ARGUMENTS), bytecode._python().encode())
    (run_directory / "bytecode").write_bytes(bytecode._note(key, compiled))
    assert bytecode.program(*ARGUMENTS, compiled) == compiled
    for altered in (b"", compiled + b"\0", package.program(*ARGUMENTS)):
        with pytest.raises(CommandFailed):
            bytecode.program(*ARGUMENTS, altered)


@pytest.mark.parametrize("change", ["note", "python", "sources"])
def test_what_is_noted_of_something_else_does_not_count(compiled, run_directory, no_compiler, monkeypatch, change):
    run_directory.mkdir(mode=0o700)
    key = bytecode._digest(package.program(*ARGUMENTS), bytecode._python().encode())
    note = bytecode._note(key, compiled)
    (run_directory / "bytecode").write_bytes(note[:40] if change == "note" else note)
    if change == "python":
        monkeypatch.setattr(bytecode, "_python", lambda: "/usr/bin/python3.99 1 1")
    parts = (*layer.PARTS, "core.units") if change == "sources" else layer.PARTS
    with pytest.raises(CommandFailed):
        bytecode.program(opener.__name__, parts, compiled)


def test_a_note_that_cannot_be_read_only_takes_time(compiled, run_directory):
    (run_directory / "bytecode").mkdir(parents=True)
    assert bytecode.program(*ARGUMENTS, compiled) == compiled


@pytest.mark.skipif(os.geteuid() != 0, reason="root's files")
def test_a_run_notes_what_it_compiled_and_nothing_else(compiled, run_directory, monkeypatch):
    run_directory.parent.chmod(0o755)
    bytecode.remember()
    assert not run_directory.exists()
    bytecode.program(*ARGUMENTS, b"")
    bytecode.remember()
    note = run_directory / "bytecode"
    before = note.stat()
    bytecode.remember()
    assert note.stat() == before and before.st_mode & 0o777 == 0o600
    monkeypatch.setattr(run, "attempt", None)
    monkeypatch.setattr(bytecode, "_made", {})
    assert bytecode.program(*ARGUMENTS, compiled) == compiled
    bytecode.forget()
    assert not note.exists()
