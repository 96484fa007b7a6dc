"""The clock's program and units: what is installed, that it is always the same, and that it runs without Salt."""

import io
import signal
import subprocess
import sys
import zipfile

import pytest

from spicegrants.core import zipapp
from spicegrants.core.entries import File, Link
from spicegrants.core.paths import CLOCK
from spicegrants.core.units import CLOCK_SERVICE, CLOCK_TIMER, HOURLY_TIMER
from spicegrants.expiry import clock_units

CLOCK_MODULE = "spicegrants.expiry.live.clock"
PACKAGES = ("spicegrants", "spicegrants/expiry", "spicegrants/expiry/live")
SOURCES = {f"{package}/__init__.py": b"" for package in PACKAGES}
SOURCES["spicegrants/expiry/live/clock.py"] = b"def main():\n    return 3\n"


def test_the_same_sources_give_the_same_bytes():
    """Whatever the order, and whenever it is made."""
    backwards = dict(reversed(SOURCES.items()))
    assert zipapp.archive(SOURCES, CLOCK_MODULE) == zipapp.archive(backwards, CLOCK_MODULE)
    with zipfile.ZipFile(io.BytesIO(zipapp.archive(SOURCES, CLOCK_MODULE))) as packed:
        members = packed.infolist()
    assert [member.filename for member in members] == sorted([*SOURCES, "__main__.py"])
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}


def test_any_change_of_a_source_is_one_of_the_program():
    changed = {**SOURCES, "spicegrants/__init__.py": b"# newer\n"}
    assert zipapp.archive(changed, CLOCK_MODULE) != zipapp.archive(SOURCES, CLOCK_MODULE)


def test_the_exit_code_is_that_of_the_clock(tmp_path):
    path = tmp_path / "clock"
    path.write_bytes(zipapp.archive(SOURCES, CLOCK_MODULE))
    assert subprocess.run([sys.executable, "-I", path], check=False).returncode == 3


def test_who_interrupts_it_while_it_starts_ends_it_without_a_word(tmp_path):
    path = tmp_path / "clock"
    interrupted = b"import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    sources = {**SOURCES, "spicegrants/expiry/live/clock.py": interrupted}
    path.write_bytes(zipapp.archive(sources, CLOCK_MODULE))
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_what_is_installed():
    entries = clock_units.desired_entries(b"program")
    assert set(entries) == set(clock_units.PATHS)
    enabled = f"/etc/systemd/system/timers.target.wants/{HOURLY_TIMER}"
    assert entries.pop(enabled) == Link(f"/etc/systemd/system/{HOURLY_TIMER}")
    assert {(entry.uid, entry.gid, entry.mode) for entry in entries.values()} == {(0, 0, 0o644)}
    assert entries[CLOCK] == File(b"program", 0o644)


def test_units_read_as_systemd_reads_them(tmp_path):
    """It warns of what it does not know, and of a program that is not there: only that is expected."""
    for path, entry in clock_units.desired_entries(b"").items():
        if isinstance(entry, File) and path != CLOCK:
            (tmp_path / path.rpartition("/")[2]).write_bytes(entry.content)
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("needs systemd-analyze (package systemd)")
    lines = [line for line in done.stderr.splitlines() if "spice-grant" in line]
    assert lines == []


def test_messages_outlive_the_service_and_reach_a_desktop():
    """Else systemd would end them with the run that sends them, or hide the sockets that they go to."""
    service = clock_units.desired_entries(b"")[f"/etc/systemd/system/{CLOCK_SERVICE}"].content.decode()
    assert "\nKillMode=process\n" in service
    assert "PrivateTmp" not in service and "ProtectHome" not in service


def test_the_timer_that_is_armed_has_another_name_than_the_one_that_is_a_file():
    """Otherwise systemd-run would refuse to make it."""
    assert CLOCK_TIMER == CLOCK_SERVICE.replace(".service", ".timer") != HOURLY_TIMER


@pytest.mark.parametrize("path", clock_units.PATHS)
def test_what_is_altered_is_restored(path):
    live = clock_units.desired_entries(b"program")
    assert clock_units.plan_units(b"program", live) == ((), ())
    changes, write = clock_units.plan_units(b"program", {**live, path: File(b"altered", 0o644)})
    assert write == (path,) and changes[0].what.endswith(path) and changes[0].layer == "firewall"
    changes, _ = clock_units.plan_units(b"program", {name: entry for name, entry in live.items() if name != path})
    assert [change.what for change in changes] == [f"creates {path}"]
