"""The ready-made hook that checks what is pushed, with real repositories and the real check."""

import os
import shlex
import subprocess
import sys

import pytest
import yaml

from checkout import ROOT
from unit.build import article

TOP = "base:\n  '*': [spice]\n"
OFFICE = yaml.safe_dump({"spice": article()})
BAD_VM = OFFICE.replace("vm: debianx", "vm: debain")
MESSAGE = "spice.sls: spice:grants:myself-debianx:vm: no vm 'debain', did you mean 'debianx'?"


class Desk:
    """A bare repository with the hook, a clone of it, and a master's directories."""

    def __init__(self, top):
        self.top, self.bare, self.work = top, top / "bare.git", top / "work"
        self.minions, self.scratch = top / "pki", top / "scratch"
        for directory in (self.minions, self.scratch, top / "salt"):
            directory.mkdir()
        (top / "salt" / "master").write_text("nodegroups: {desks: 'L@desk-1'}\n", encoding="utf-8")
        # By a name on the path, since the hook takes blanks for the ends of words.
        words = shlex.join([sys.executable, str(ROOT / "tools" / "check.py")])
        (top / "bin").mkdir()
        (top / "bin" / "check").write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        (top / "bin" / "check").chmod(0o755)
        self.env = {
            "PATH": f"{top}/bin:{os.environ['PATH']}",
            "HOME": str(top),
            "TMPDIR": str(self.scratch),
            "SPICE_GRANT_MINIONS": str(self.minions),
            "SPICE_GRANT_CHECK": f"check --config {top}/salt --pillar-root .",
        }
        # The branch that minions follow is not HEAD, which git itself would not delete.
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=other", self.bare], check=True)
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", self.work], check=True)
        (self.bare / "hooks" / "pre-receive").symlink_to(ROOT / "etc" / "git" / "pre-receive")
        self.accept("desk-1")

    def accept(self, *names):
        """Accept minions' keys."""
        for name in names:
            (self.minions / name).touch()

    def git(self, *words):
        """Run git in the clone: its exit code, and what it said."""
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(
            ["git", "-C", self.work, *identity, *words], env=self.env, capture_output=True, text=True, check=False
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def commit(self, **files):

        for name, text in {"top": TOP, **files}.items():
            path = self.work / (name if "." in name else f"{name}.sls")
            path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        assert self.git("commit", "--quiet", "--message=one")[0] == 0
        return self.git("rev-parse", "HEAD")[1]

    def push(self, what="main"):
        """Push; whether it was taken, and what git said."""
        code, output = self.git("push", "--quiet", str(self.bare), what)
        assert not [*self.scratch.iterdir()], "something is left"
        return code == 0, output

    def head(self, branch="main"):
        """The commit of a branch of the bare repository."""
        return self.git("ls-remote", str(self.bare), f"refs/heads/{branch}")[1].partition("\t")[0]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def first(desk):
    """A good commit, which was taken."""
    commit = desk.commit(spice=OFFICE)
    assert desk.push() == (True, "")
    return commit


def test_a_wrong_commit_is_refused_with_file_path_and_reason(desk, first):
    """Of each minion, whatever its name; the next commit that is right is taken."""
    desk.accept("-x", "desk two")
    desk.commit(spice=BAD_VM)
    taken, output = desk.push()
    assert not taken and all(f"remote: {name}: {MESSAGE}" in output for name in ("-x", "desk two", "desk-1"))
    assert desk.head() == first
    desk.commit(spice=f"{OFFICE}{OFFICE}")
    taken, output = desk.push()
    assert not taken and "desk-1: spice.sls: " in output and "found conflicting ID 'spice'" in output
    assert desk.head() == first
    last = desk.commit(spice=OFFICE)
    assert desk.push() == (True, "") and desk.head() == last


def test_the_masters_options_count(desk, first):
    """What is wrong for a node group of the master is found; it is no minion's by default."""
    desk.commit(top="base:\n  desks: [{match: nodegroup}, spice]\n", spice=BAD_VM)
    taken, output = desk.push()
    assert not taken and MESSAGE in output


def test_other_branches_and_a_deleted_one_are_not_its_business(desk, first):
    wrong = desk.commit(spice=BAD_VM)
    assert desk.push("main:aside") == (True, "") and desk.head("aside") == wrong
    assert desk.push(":main") == (True, "") and desk.head() == ""
    desk.env["SPICE_GRANT_BRANCH"] = "aside"
    assert desk.push() == (True, "") and desk.head() == wrong


def test_among_several_branches_the_one_that_counts_is_checked(desk, first):
    desk.git("branch", "aside")
    desk.commit(spice=BAD_VM)
    code, output = desk.git("push", "--quiet", str(desk.bare), "aside", "main", "main:zzz")
    assert code == 1 and MESSAGE in output
    assert (desk.head("aside"), desk.head(), desk.head("zzz")) == ("", first, "")


def test_what_git_leaves_out_of_archives_is_checked(desk, first):
    """The master checks commits out, and has such a file."""
    more = "spice: {grants: {guest-web: {user: guest, vm: nosuch}}}\n"
    files = {"top": "base:\n  '*': ['spice*']\n", "spice-more": more, ".gitattributes": "*more.sls export-ignore\n"}
    desk.commit(**files)
    taken, output = desk.push()
    assert not taken and "spice-more.sls: spice:grants:guest-web:vm: no vm 'nosuch'" in output and desk.head() == first


def test_a_replacement_hides_nothing(desk, first):
    """The master does not fetch it, and has what was replaced."""
    wrong = desk.commit(spice=BAD_VM)
    assert desk.git("push", "--quiet", str(desk.bare), f"{first}:refs/replace/{wrong}")[0] == 0
    taken, output = desk.push()
    assert not taken and MESSAGE in output and desk.head() == first


def test_with_no_minion_accepted_nothing_can_be_checked_and_it_says_so(desk):
    """The first push to a new master; nobody follows it."""
    (desk.minions / "desk-1").unlink()
    wrong = desk.commit(spice=BAD_VM)
    assert desk.push() == (True, "remote: No minion is accepted yet: nothing was checked.") and desk.head() == wrong


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SPICE_GRANT_MINIONS", "/nowhere", "'/nowhere/'"),
        ("SPICE_GRANT_MINIONS", "/dev/null", "'/dev/null/'"),
        ("SPICE_GRANT_CHECK", "/nowhere/spice-grant-check", "/nowhere/spice-grant-check: "),
        ("SPICE_GRANT_CHECK", "check", "where is the pillar?"),
    ],
)
def test_what_cannot_be_checked_is_refused(desk, first, name, value, message):
    desk.env[name] = value
    desk.commit(spice=OFFICE, more="{}\n")
    taken, words = desk.push()
    assert not taken and message in words and desk.head() == first
