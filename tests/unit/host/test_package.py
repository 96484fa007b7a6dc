"""Programs that are made of this package: they hold what they need, and nothing else."""

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from spicegrants.expiry.live import clock, dialog
from spicegrants.expiry.live import layer as expiry
from spicegrants.firewall.live import egress
from spicegrants.host import package
from spicegrants.viewer.live import layer as viewer
from spicegrants.viewer.live import opener

IMPORT = "import sys; sys.path.insert(0, sys.argv[1]); import {0}; print({0}.__file__)"
LOADED = "import sys; sys.path.insert(0, sys.argv[1]); import {0}; print(*sys.modules)"


@pytest.mark.parametrize(
    ("module", "parts"),
    [(clock, expiry.PACKAGES), (egress, expiry.PACKAGES), (opener, viewer.PARTS)],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_it_runs_with_the_systems_own_python_and_nothing_else(tmp_path, module, parts):
    """Isolated, no Salt, no checkout: every module that it needs is in it. Interfaces are covered by the clock's."""
    path = tmp_path / "program"
    path.write_bytes(package.program(module.__name__, parts))
    command = ["/usr/bin/python3", "-I", "-S", "-c", IMPORT.format(module.__name__), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == f"{path}/{module.__name__.replace('.', '/')}.py", done.stderr


def test_a_user_waits_for_no_module_that_the_opener_does_not_use(tmp_path):
    """What is in it is what it imports; and nothing of the standard library that takes long and that it can do without.

    ``difflib`` is for findings, ``zoneinfo`` for what has times. What is said in another language comes seldom.
    """
    path = tmp_path / "program"
    path.write_bytes(package.program(opener.__name__, viewer.PARTS))
    command = ["/usr/bin/python3", "-IS", "-c", LOADED.format(opener.__name__), path]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.split())
    with zipfile.ZipFile(path) as packed:
        names = [Path(name) for name in packed.namelist()]
    modules = {".".join(name.parent.parts if name.stem == "__init__" else name.with_suffix("").parts) for name in names}
    seldom = {f"spicegrants.{name}" for name in viewer.SELDOM}
    assert modules - {"__main__"} - seldom == {name for name in loaded if name.partition(".")[0] == "spicegrants"}
    assert not loaded & {"argparse", "concurrent.futures", "difflib", "logging", "pathlib", "shutil", "zoneinfo"}


def test_what_a_user_runs_is_in_it():
    with zipfile.ZipFile(io.BytesIO(package.program(clock.__name__, expiry.PACKAGES))) as packed:
        assert packed.read("spicegrants/expiry/live/dialog.py") == Path(dialog.__file__).read_bytes()
