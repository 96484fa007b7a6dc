"""The package as pip installs it: Salt finds the modules through the entry point, without any directory option."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A directory into which pip has installed the package from the checkout's own files."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    names = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(source)], check=True)
    return target


@pytest.fixture(scope="module")
def salt_call(installed, tmp_path_factory):
    """Run salt-call with the installed package, and no configuration but directories for its own files."""
    directory = tmp_path_factory.mktemp("salt")
    options = {"file_client": "local", "master_type": "disable", "id": "x", "enable_fqdns_grains": False}
    roots = {name: str(directory / name) for name in ("root_dir", "cachedir", "pki_dir", "sock_dir")}
    (directory / "minion").write_text(json.dumps({**options, **roots, "log_file": str(directory / "log")}))

    def run(*words):
        done = subprocess.run(
            [Path(sys.executable).with_name("salt-call"), "--local", "-c", directory, "--out=json", *words],
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)["local"]

    return run


def test_all_modules_are_found(salt_call):
    """Execution and state modules load from the installed package."""
    functions = salt_call("sys.list_functions", "spice_grant", "spice_firewall", "spice_sudoers", "spice_viewer")
    assert {"spice_grant.verify", "spice_firewall.rules", "spice_sudoers.rules", "spice_viewer.status"} <= set(
        functions
    )
    states = [f"spice_grant.{name}" for name in ("absent", "present", "removed")]
    assert salt_call("sys.list_state_functions", "spice_grant") == states


def test_versions_report_lists_the_extension(installed, salt_call):
    """The distribution has its name and version."""
    (info,) = installed.glob("saltext_spice_grant-*.dist-info")
    assert "Name: saltext-spice-grant" in (info / "METADATA").read_text()
    assert (installed / "spicegrants" / "launcher.py").is_file()
    assert not (installed / "salt").exists()


def test_a_pillar_can_be_checked(installed):
    """The command is installed, and runs with the installed package."""
    done = subprocess.run(
        [sys.executable, installed / "bin" / "spice-grant-check", "--pillar-root", ROOT / "pillar", "desk-1"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("desk-1: good, grants: 2\n", "")


def test_every_function_documents_itself(salt_call):
    """sys.doc shows each function with a CLI example."""
    for name, text in salt_call("sys.doc", "spice_grant").items():
        assert "CLI Example" in text, name
