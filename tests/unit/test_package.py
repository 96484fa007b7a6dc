"""The package itself: what it imports, and whether it notices that its files changed."""

import ast
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import spicegrants
from checkout import ROOT
from spicegrants import _entry

HERE = pathlib.Path(spicegrants.__file__).parent
# Not the launcher, a program by itself, nor what looks whether the package's own files changed, nor what reads the data
# of time zones, which Python's own module for them reads as well.
PURE = sorted(path for path in HERE.glob("*.py") if path.name not in ("launcher.py", "__init__.py", "zones.py"))


def imported(path):
    """Return the modules that a file imports, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("path", [*HERE.rglob("*.py")], ids=lambda path: str(path.relative_to(HERE)))
def test_only_the_standard_library_is_imported(path):
    """It must load in any minion's Python; Salt itself is for the loader's files."""
    known = {"spicegrants", *getattr(sys, "stdlib_module_names", ())}
    if len(known) == 1:
        pytest.skip("this Python does not list its standard library")
    assert {name.partition(".")[0] for name in imported(path)} <= known


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_the_core_reads_and_writes_nothing(path):
    """Neither the system nor a clock: what it decides depends on its arguments only."""
    forbidden = {"os", "subprocess", "socket", "time", "pwd", "grp", "shutil", "random", "secrets", "tempfile"}
    names = imported(path)
    assert not {name.partition(".")[0] for name in names} & forbidden
    assert not [name for name in names if name.startswith("spicegrants.host")]
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not [call for call in calls if call == "open" or call.endswith((".now", ".today", ".utcnow"))]


@pytest.fixture
def copied(tmp_path):
    """A copy of the package, imported under another name."""
    directory = tmp_path / "copied"
    shutil.copytree(HERE, directory, ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.spec_from_file_location("copied", directory / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, directory


def test_fresh(copied):
    module, directory = copied
    assert module.stale() is False
    (directory / "notes.txt").write_text("no code", encoding="utf-8")
    (directory / "__pycache__").mkdir(exist_ok=True)
    (directory / "__pycache__" / "names.cpython-311.pyc").write_bytes(b"")
    assert module.stale() is False


@pytest.mark.parametrize("name", ["names.py", "host/run.py", "__init__.py"])
def test_a_file_that_changed(copied, name):
    module, directory = copied
    path = directory / name
    status = path.stat()
    path.write_text(path.read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert module.stale() is True, "another size"


def test_a_file_that_was_written_again(copied):
    module, directory = copied
    status = (directory / "names.py").stat()
    os.utime(directory / "names.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert module.stale() is True


@pytest.mark.parametrize("name", ["newer.py", "host/newer.py"])
def test_a_new_file(copied, name):
    module, directory = copied
    (directory / name).write_text("", encoding="utf-8")
    assert module.stale() is True


@pytest.mark.parametrize("name", ["names.py", "host/run.py"])
def test_a_file_that_is_gone(copied, name):
    module, directory = copied
    (directory / name).unlink()
    assert module.stale() is True


def test_the_directories_for_salts_loader():
    """Of an editable install these are the checkout's."""
    root = HERE.parents[1]
    kinds = ("modules", "states", "beacons", "runners")
    assert _entry.loader_dirs() == {kind: [str(root / f"_{kind}")] for kind in kinds}


def test_it_imports_without_salt():
    code = (
        "import sys; sys.modules['salt'] = None; import spicegrants.declared, spicegrants.viewer, spicegrants.explain"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*HERE.rglob("*.py")], ids=lambda path: str(path.relative_to(HERE)))
def test_the_architecture_says_what_a_module_is_for(path):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert path.name == "__init__.py" or f"`{path.name}`" in text
