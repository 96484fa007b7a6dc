"""Newer code for a minion that runs: it takes effect in the next job, and a sync that is cut short breaks nothing."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from daemons.conftest import PATIENCE

PACKAGE = "_utils/spicegrants"
# A function of a module that returns a value of the package, and leaves it in a file if it is asked to.
MARKER = """

from pathlib import Path as _Path

from spicegrants.core.validation import MARKER as _MARKER


def marker(path=None):
    if path:
        _Path(path).write_text(_MARKER)
    return _MARKER
"""


def until(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Release:
    """What the master serves, and what the minion does with it."""

    def __init__(self, master, minion, served):
        self.master, self.minion, self.served = master, minion, served
        self.code = Path(minion.config["extension_modules"])

    def publish(self, marker, *, padding="", needs=""):
        """Serve another version: a marker in a module and in the package, which has every file changed.

        ``needs`` is a file of the package that cannot do without the others' newer version.
        """
        self.withdraw()
        for path in (self.served / PACKAGE).rglob("*.py"):
            path.write_text(f"{path.read_text()}{padding}\n# {marker}\n")
        names, module = self.served / PACKAGE / "core" / "validation.py", self.served / "_modules" / "spice_grant.py"
        names.write_text(f"{names.read_text()}\nMARKER = {marker!r}\n")
        module.write_text(module.read_text() + MARKER)
        if needs:
            path = self.served / PACKAGE / needs
            path.write_text(
                f"{path.read_text()}\nfrom spicegrants.core.validation import MARKER\n\nassert MARKER == {marker!r}\n"
            )

    def withdraw(self):
        """Serve what is committed."""
        subprocess.run(["git", "-C", str(self.served), "checkout", "--quiet", "."], check=True)

    def salt(self, *words, **options):
        """Run a function on the minion; its data and the exit code."""
        done = self.master.salt_cli(timeout=PATIENCE).run(*words, minion_tgt=self.minion.id, **options)
        return done.data, done.returncode

    def sync(self):
        """Sync all."""
        assert self.salt("saltutil.sync_all")[1] == 0

    def marker(self):
        """What the minion runs."""
        return self.salt("spice_grant.marker")[0]

    def synced(self):
        """The text of the package on the minion."""
        found = {path: path.read_text() for path in (self.code / "utils" / "spicegrants").rglob("*.py")}
        assert found
        return found


@pytest.fixture
def release(master, minion, served):
    """A release that is synced, with the marker ``first``; what is committed is synced again afterwards."""
    made = Release(master, minion, served)
    made.publish("first")
    made.sync()
    assert made.marker() == "first"
    yield made
    made.withdraw()
    made.sync()


def test_the_next_job_of_a_running_minion_runs_the_code_that_was_synced(release):
    for marker in ("the second one", "the third"):
        release.publish(marker)
        assert release.marker() != marker
        release.sync()
        assert release.marker() == marker


@pytest.mark.full
def test_newer_code_takes_effect_though_the_minions_own_process_has_imported_the_older(release, tmp_path):
    """A schedule runs functions in the minion's own process first: its children inherit what that has imported."""
    path = tmp_path / "marker"
    job = {"function": "spice_grant.marker", "job_kwargs": f"{{path: {path}}}", "seconds": 1, "persist": False}
    data, _ = release.salt("schedule.add", "marker", **job)
    assert data["result"] is True, data
    try:
        until(lambda: path.exists() and path.read_text() == "first")
        release.publish("the second one")
        release.sync()
        assert release.marker() == "the second one"
        until(lambda: path.read_text() == "the second one")
    finally:
        release.salt("schedule.delete", "marker", persist=False)


@pytest.mark.full
def test_a_sync_that_is_killed_while_it_downloads_leaves_the_older_code_whole(release):
    before = release.synced()
    release.publish("the second one", padding="\n" + "#" * 2**18)  # so much that it takes a while
    release.salt("saltutil.sync_modules")  # only the package is still to come
    cached = Path(release.minion.config["cachedir"]) / "files" / "base" / PACKAGE
    older = {path: path.stat().st_mtime_ns for path in cached.rglob("*.py")}
    script = Path(sys.executable).with_name("salt-call")
    killed = subprocess.Popen(
        [sys.executable, script, "-c", release.minion.config_dir, "saltutil.sync_utils"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while killed.poll() is None:
        newer = [path for path in older if path.stat().st_mtime_ns != older[path]]
        if newer:
            killed.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    assert killed.wait() == -signal.SIGKILL
    assert 0 < len([path for path in older if path.stat().st_mtime_ns != older[path]]) < len(older)
    assert release.synced() == before
    assert release.marker() == "first"
    release.sync()
    assert release.marker() == "the second one"


@pytest.fixture
def little_room(release):
    """A file system for the package on the minion on which hardly anything more has room."""
    place = release.code / "utils" / "spicegrants"
    kept = place.with_name("kept")
    shutil.copytree(place, kept)
    used = sum(-(-path.stat().st_size // 4096) * 4 for path in place.rglob("*.py")) + 64
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used}k", "tmpfs", str(place)], check=True)
    shutil.copytree(kept, place, dirs_exist_ok=True)
    shutil.rmtree(kept)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def kernel():
    """The grants in the kernel."""
    listed = ["nft", "--stateless", "list", "map", "inet", "spice_grant", "grants4"]
    return subprocess.run(listed, capture_output=True, check=True, text=True).stdout


@pytest.mark.full
def test_a_sync_that_ends_half_way_changes_no_rule_and_the_next_one_repairs_it(release, little_room):
    """The disk is full after some files, and these do not go with the others: the run fails, and the rules stay."""
    assert release.salt("state.apply", "spice")[1] == 0
    rules, before = kernel(), release.synced()
    assert rules.count(": accept") == 2
    release.publish("the second one", padding="\n" + "#" * 8192, needs="audit/__init__.py")
    release.salt("saltutil.sync_all")
    after = release.synced()
    changed = {str(path.relative_to(little_room)) for path in after if after[path] != before[path]}
    assert "audit/__init__.py" in changed and "core/validation.py" not in changed
    data, code = release.salt("state.apply", "spice")
    (state,) = data.values()
    assert (state["result"], state["changes"]) == (False, {}) and code != 0
    assert state["comment"].startswith("Nothing was changed. The code of this minion is not whole")
    assert kernel() == rules
    subprocess.run(["mount", "-o", "remount,size=64m", str(little_room)], check=True)
    release.sync()
    assert release.marker() == "the second one"
    assert release.salt("state.apply", "spice")[1] == 0
    assert kernel() == rules
