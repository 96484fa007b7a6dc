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


@pytest.mark.parametrize(
    ("module", "packages"),
    [(clock, expiry.PACKAGES), (egress, expiry.PACKAGES), (opener, viewer.PACKAGES)],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_it_runs_with_the_systems_own_python_and_nothing_else(tmp_path, module, packages):
    """Isolated, no Salt, no checkout: every module that it needs is in it. Interfaces are covered by the clock's."""
    path = tmp_path / "program"
    path.write_bytes(package.program(module.__name__, packages))
    command = ["/usr/bin/python3", "-I", "-S", "-c", IMPORT.format(module.__name__), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == f"{path}/{module.__name__.replace('.', '/')}.py", done.stderr


def test_what_it_does_not_need_is_not_in_it():
    """No other layer in what sudo starts; nothing that needs Salt, and no bytecode of another Python."""
    with zipfile.ZipFile(io.BytesIO(package.program(opener.__name__, viewer.PACKAGES))) as packed:
        names = [Path(name).parts for name in packed.namelist()]
    assert {parts[1] for parts in names if len(parts) > 1} == {"__init__.py", *viewer.PACKAGES}
    assert not [parts for parts in names if "__pycache__" in parts]


def test_what_a_user_runs_is_in_it():
    with zipfile.ZipFile(io.BytesIO(package.program(clock.__name__, expiry.PACKAGES))) as packed:
        assert packed.read("spicegrants/expiry/live/dialog.py") == Path(dialog.__file__).read_bytes()
