"""A session for each line of Salt that is supported, as ``nox -s salt-3006``; base.txt has the one of development.

And two for releases, which docs/releasing.md explains.
"""

import os
import pathlib
import shutil

import nox

# The newest releases that could be installed with all that they require when this was written.
OLDER = {"3006": "3006.28", "3007": "3007.15"}
NOTES = "towncrier==26.9.0"
BUILD = ("build==1.6.1", "readme-renderer[md]==46.0", "twine==7.0.0")
PYTHON = os.environ.get("PYTHON") or "/usr/bin/python3"

nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"


def requirements():
    """What tests need besides Salt, pinned."""
    lines = pathlib.Path("requirements/test.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line]


def older(session, version):
    """What a version of Salt can change, with an older one; or what is named behind ``--``."""
    session.install("--quiet", f"salt=={version}", *requirements())
    tests = session.posargs or ["-m", "salt", "tests/unit", "tests/functional"]
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", *tests)


@nox.session(name="salt-3006", python=PYTHON)
def salt_3006(session):
    """Tests with Salt 3006."""
    older(session, OLDER["3006"])


@nox.session(name="salt-3007", python=PYTHON)
def salt_3007(session):
    """Tests with Salt 3007."""
    older(session, OLDER["3007"])


@nox.session(name="salt-3008", venv_backend="none")
def salt_3008(session):
    """All tests, with the Salt that development uses, in .venv."""
    session.run("make", "test", *session.posargs)


@nox.session(python=PYTHON)
def changelog(session):
    """Make a section of CHANGELOG.md of the files in changelog/: ``nox -s changelog -- 1.2.0``."""
    (version,) = session.posargs
    session.install("--quiet", NOTES)
    session.run("towncrier", "build", "--yes", "--version", version)


@nox.session(python=PYTHON)
def release(session):
    """Build wheel and sdist of the commit's tag into dist, and check them."""
    tag = ["git", "describe", "--exact-match", "--match", "v[0-9]*"]
    version = session.run(*tag, external=True, silent=True, stderr=None).strip().removeprefix("v")
    if session.run("git", "status", "--porcelain", external=True, silent=True):
        session.error("there is something that is not committed")
    if f"\n## {version} - 2" not in pathlib.Path("CHANGELOG.md").read_text(encoding="utf-8"):
        session.error(f"CHANGELOG.md has no section of {version} with its date")
    session.install("--quiet", *BUILD)
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, pathlib.Path("dist").iterdir()))
