"""The package itself: what it imports, and whether it notices that its files changed."""

import ast
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import spicegrants
from spicegrants import _entry

HERE = pathlib.Path(spicegrants.__file__).parent
# Each package may import those of lower floors; packages of one floor know nothing of each other.
FLOORS = {
    "core": 0,
    "schedule": 1,
    "host": 1,
    "policy": 2,
    "record": 3,
    "firewall": 4,
    "routing": 4,
    "sudo": 4,
    "viewer": 4,
    "expiry": 5,
    "accounting": 5,
    "audit": 5,
    "hypervisor": 5,
    "engine": 6,
    "drift": 6,
}
FILES = [path for path in sorted(HERE.rglob("*.py")) if path.parent != HERE]
# Programs by themselves, and what reads the data of time zones, which Python's own module for them reads as well.
ALONE = ("launcher.py", "zones.py")


def name(path):
    """The path of a file below the package."""
    return str(path.relative_to(HERE))


def reads_the_system(path):
    """Whether a file may read and change the running system."""
    return path.parent.name == "live" or path.relative_to(HERE).parts[0] in ("host", "engine")


def imported(path):
    """Return the modules that a file imports, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("path", [*HERE.rglob("*.py")], ids=name)
def test_only_the_standard_library_is_imported(path):
    """It must load in any minion's Python; Salt itself is for the loader's files."""
    known = {"spicegrants", *getattr(sys, "stdlib_module_names", ())}
    if len(known) == 1:
        pytest.skip("this Python does not list its standard library")
    assert {name.partition(".")[0] for name in imported(path)} <= known


@pytest.mark.parametrize("path", FILES, ids=name)
def test_packages_import_from_lower_floors_only(path):
    mine = path.relative_to(HERE).parts[0]
    for found in imported(path):
        top, _, rest = found.partition(".")
        other = rest.partition(".")[0]
        if top == "spicegrants" and other in FLOORS and other != mine:
            assert FLOORS[other] < FLOORS[mine], found


PURE = [path for path in FILES if not reads_the_system(path) and path.name not in ALONE]


@pytest.mark.parametrize("path", PURE, ids=name)
def test_the_rest_reads_and_writes_nothing(path):
    """Neither the system nor a clock: what it decides depends on its arguments only."""
    forbidden = {"os", "subprocess", "socket", "time", "pwd", "grp", "shutil", "random", "secrets", "tempfile"}
    names = imported(path)
    assert not {name.partition(".")[0] for name in names} & forbidden
    assert not [found for found in names if re.match(r"spicegrants\.(host|engine|\w+\.live)\b", found)]
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
    (directory / "__pycache__" / "validation.cpython-311.pyc").write_bytes(b"")
    assert module.stale() is False


@pytest.mark.parametrize("name", ["core/validation.py", "host/run.py", "__init__.py"])
def test_a_file_that_changed(copied, name):
    module, directory = copied
    path = directory / name
    status = path.stat()
    path.write_text(path.read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert module.stale() is True, "another size"


def test_a_file_that_was_written_again(copied):
    module, directory = copied
    status = (directory / "core/validation.py").stat()
    os.utime(directory / "core/validation.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert module.stale() is True


@pytest.mark.parametrize("name", ["newer.py", "host/newer.py"])
def test_a_new_file(copied, name):
    module, directory = copied
    (directory / name).write_text("", encoding="utf-8")
    assert module.stale() is True


@pytest.mark.parametrize("name", ["core/validation.py", "host/run.py"])
def test_a_file_that_is_gone(copied, name):
    module, directory = copied
    (directory / name).unlink()
    assert module.stale() is True


def test_the_directories_for_salts_loader():
    """Of an editable install these are the checkout's."""
    root = HERE.parents[1]
    kinds = ("modules", "states", "beacons", "runners", "output")
    assert _entry.loader_dirs() == {kind: [str(root / f"_{kind}")] for kind in kinds}


def test_it_imports_without_salt():
    code = (
        "import sys; sys.modules['salt'] = None; "
        "import spicegrants.policy.merge, spicegrants.engine.enforcement, spicegrants.audit.explain"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", sorted({path.parent for path in FILES}), ids=name)
def test_each_package_says_what_it_is_for(package):
    assert (package / "__init__.py").read_text(encoding="utf-8").startswith('"""')


def test_modules_of_an_older_version_beside_the_packages_hinder_nothing(tmp_path):
    """As where Salt's ``clean_dynamic_modules`` is off: of a module and a package of one name the package is taken."""
    shutil.copytree(HERE, tmp_path / "spicegrants", ignore=shutil.ignore_patterns("__pycache__"))
    for package in {path.parent for path in FILES if path.parent.parent == HERE}:
        (tmp_path / "spicegrants" / f"{package.name}.py").write_text("raise RuntimeError(__file__)\n", encoding="utf-8")
    code = "import spicegrants.engine.enforcement, spicegrants.drift.live.monitor, spicegrants.audit.live.trial"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
