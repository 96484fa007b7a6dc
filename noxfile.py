"""A session for each line of Salt that is supported, as ``nox -s salt-3006``; base.txt has the one of development."""

import os
import pathlib

import nox

# The newest releases that could be installed with all that they require when this was written.
OLDER = {"3006": "3006.28", "3007": "3007.15"}
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
