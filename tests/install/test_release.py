"""How a version is released: by its tag, and only what is committed and in the changelog."""

import subprocess
import sys

import pytest

from checkout import copy_checkout

VERSION = "9.8.7"


@pytest.fixture
def repository(tmp_path):
    """A checkout with a commit, in which ``make release`` can be tried."""
    copy_checkout(tmp_path / "checkout")
    made = tmp_path / "checkout"
    git(made, "init", "--quiet", "--initial-branch=main")
    changelog = made / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8") + f"\n## {VERSION} - 2031-02-03\n", encoding="utf-8")
    commit(made)
    return made


def git(where, *words):
    identity = ["-c", "user.name=admin", "-c", "user.email=admin@example.com"]
    subprocess.run(["git", "-C", where, *identity, *words], check=True, capture_output=True)


def commit(where):
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "-m", "all")


def released(where):
    """Do what ``make release`` does; return how it ended, and what it said."""
    command = [sys.executable, "-m", "nox", "--session", "release"]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.full
def test_what_is_tagged_is_built_and_checked(repository):
    git(repository, "tag", "-m", "all", f"v{VERSION}")
    code, output = released(repository)
    assert code == 0, output
    names = {path.name for path in (repository / "dist").iterdir()}
    assert names == {f"saltext_spice_grant-{VERSION}-py3-none-any.whl", f"saltext_spice_grant-{VERSION}.tar.gz"}
    assert output.count("PASSED") == 2


def test_what_is_not_tagged_committed_and_told_of_is_not_released(repository):
    assert released(repository)[0] != 0
    git(repository, "tag", "-m", "all", "v9.9.9")
    code, output = released(repository)
    assert code != 0 and "no section of 9.9.9" in output
    (repository / "README.md").write_text("changed", encoding="utf-8")
    code, output = released(repository)
    assert code != 0 and "not committed" in output
    assert not (repository / "dist").exists()


@pytest.mark.full
def test_changes_are_told_from_their_files(repository):
    """A file for each: its name says what kind of a change it is."""
    (repository / "changelog" / "+word.fixed.md").write_text("What was wrong is right.\n", encoding="utf-8")
    command = [sys.executable, "-m", "nox", "--session", "changelog", "--", "9.9.9"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    section = text.partition("\n## 9.9.9 - ")[2].partition("\n## ")[0]
    assert "- What was wrong is right.\n" in section.partition("\n### Fixed\n")[2].partition("\n### ")[0]
    assert not (repository / "changelog" / "+word.fixed.md").exists()
