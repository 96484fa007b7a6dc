"""The package as pip installs it: Salt finds the modules through the entry point, without any directory option."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from amount import first_of
from checkout import ROOT, copy_checkout

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkout in which building may leave its files."""
    directory = tmp_path_factory.mktemp("source") / "spice-grant"
    copy_checkout(directory)
    return directory


@pytest.fixture(scope="module")
def wheel(source):
    """The wheel."""
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", source / "dist", source], check=True)
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(source):
    """The source distribution, as any front end has it built."""
    build = "import setuptools.build_meta as backend; backend.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (path,) = (source / "dist").glob("*.tar.gz")
    return path


class Installed:
    """An environment of its own into which pip has installed the package; Salt is that of the tests."""

    def __init__(self, directory, *what):
        self.python = directory / "env" / "bin" / "python"
        self.config = directory / "config"
        venv.create(directory / "env", with_pip=False)
        (self.site,) = (directory / "env" / "lib").glob("python*/site-packages")
        (self.site / "salt-of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([*PIP, "--python", self.python, "install", "--no-deps", *what], check=True)
        self.config.mkdir()
        options = {"file_client": "local", "master_type": "disable", "id": "x", "enable_fqdns_grains": False}
        roots = {name: str(directory / name) for name in ("root_dir", "cachedir", "pki_dir", "sock_dir")}
        log = {"log_file": str(directory / "log")}
        (self.config / "minion").write_text(json.dumps({**options, **roots, **log}))

    def salt_call(self, *words):
        """Run salt-call with no configuration but directories for its own files."""
        script = Path(sys.executable).with_name("salt-call")
        done = subprocess.run(
            [self.python, script, "--local", "-c", self.config, "--out=json", *words],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)["local"]

    def where(self):
        """The directory of the package that is imported."""
        code = "import os, spicegrants; print(os.path.dirname(spicegrants.__file__))"
        done = subprocess.run([self.python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
        return Path(done.stdout.strip())


@pytest.fixture(scope="module", params=first_of(["wheel", "sdist", "editable checkout"]))
def installed(request, source, tmp_path_factory):
    """Each way to install."""
    directory = tmp_path_factory.mktemp("installed")
    if request.param == "editable checkout":
        made = Installed(directory, "--editable", source)
        assert made.where() == source / "_utils" / "spicegrants"
    else:
        made = Installed(directory, request.getfixturevalue(request.param))
        assert made.where() == made.site / "spicegrants"
    return made


def printed(installed, code):
    """What the installed Python prints for code that gets the minion's configuration as its argument."""
    command = [installed.python, "-c", code, installed.config / "minion"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True).stdout


def test_all_modules_are_found(installed):
    """Execution and state modules load, and what they import."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "_modules").glob("*.py")]
    names = {re.search(r'^__virtualname__ = "(.+)"', text, re.MULTILINE)[1] for text in texts}
    found = {name.partition(".")[0] for name in installed.salt_call("sys.list_functions", *sorted(names))}
    assert found == names
    assert {"spice_grant.repair", "spice_grant.status"} <= set(installed.salt_call("sys.list_functions", "spice_grant"))
    states = [f"spice_grant.{name}" for name in ("absent", "mod_watch", "present", "removed")]
    assert installed.salt_call("sys.list_state_functions", "spice_grant") == states


def test_the_beacon_is_found(installed):
    """It loads, with what it imports."""
    code = (
        "import salt.config, salt.loader, sys; opts = salt.config.minion_config(sys.argv[1]); "
        "print(salt.loader.beacons(opts, {})['spice_grant.validate']([]))"
    )
    assert printed(installed, code) == "(True, 'valid')\n"


def test_the_outputter_is_found(installed):
    """It loads, with what it imports."""
    code = (
        "import salt.config, salt.output, sys; opts = salt.config.minion_config(sys.argv[1]); "
        "salt.output.display_output({'x': []}, 'spice_grant', {**opts, 'fun': 'spice_grant.locks', 'color': False})"
    )
    assert printed(installed, code) == "x:\n  No locks: spice_grant.lock makes one.\n"


def test_the_distribution_has_its_name_and_brings_nothing_but_the_package(installed):
    (info,) = installed.site.glob("saltext_spice_grant-*.dist-info")
    assert "Name: saltext-spice-grant" in (info / "METADATA").read_text()
    assert (installed.where() / "viewer" / "launcher.py").is_file()
    assert not (installed.site / "salt").exists()


def test_a_pillar_can_be_checked(installed):
    """The command is installed, and runs with the installed package."""
    done = subprocess.run(
        [installed.python.with_name("spice-grant-check"), "--pillar-root", ROOT / "pillar", "desk-1"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("desk-1: good, grants: 2\n", "")


def test_every_function_documents_itself(installed):
    """sys.doc shows each function with a CLI example."""
    for name, text in installed.salt_call("sys.doc", "spice_grant").items():
        assert "CLI Example" in text, name


def test_the_wheel_holds_all_code_and_the_sdist_all_of_the_checkout(source, wheel, sdist):
    code = {f"spicegrants/{path.relative_to(source / '_utils' / 'spicegrants')}" for path in package(source)}
    for kind in ("modules", "states", "beacons", "runners", "output"):
        code |= {f"spicegrants/ext_{kind}/{path.name}" for path in (source / f"_{kind}").glob("*.py")}
    code |= {f"spicecheck/{path.name}" for path in (source / "tools" / "spicecheck").glob("*.py")}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == code
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    desired = ("etc/master.d/spice-grant.conf", "etc/minion.d/spice-grant.conf", "salt/spice/init.sls")
    assert {*desired, "Makefile", "noxfile.py", "docs/time.md", "pillar/spice.sls", "tests/checkout.py"} <= names


def package(source):
    """The files of the package."""
    return (source / "_utils" / "spicegrants").rglob("*.py")
