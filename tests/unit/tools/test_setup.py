"""What set-up shows while it runs other programs: their last line on a terminal, and what they said if they fail."""

import os
import subprocess
import sys

import pytest
import setup

import terminals
from checkout import ROOT

STEP = "import setup; setup.run(['sh', '-c', {script!r}], {shown}); print('next step')"
FINE = "echo fetching; echo unpacking"


def step(script, shown="str", **streams):
    """A step of set-up in a process of its own."""
    command = [sys.executable, "-c", STEP.format(script=script, shown=shown)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")}, text=True, **streams)


def test_a_terminal_shows_the_last_line_of_what_runs():
    drawn, output, code = terminals.run(lambda **streams: step(FINE, **streams))
    assert "\rfetching" in drawn and "\runpacking" in drawn and terminals.left(drawn) == [""]
    assert (output, code) == ("next step\n", 0)


def test_without_a_terminal_it_shows_nothing():
    with step(FINE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.communicate() == ("next step\n", "")


def test_what_is_chosen_of_a_line_is_shown():
    drawn, _, code = terminals.run(lambda **streams: step(FINE, "lambda line: line[7:]", **streams))
    assert "\ring" not in drawn and "\rng" in drawn and code == 0


def test_a_step_that_fails_ends_set_up_with_what_it_said():
    with step("seq 30; exit 7", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, errors = process.communicate()
    assert process.returncode == 1 and output == ""
    assert errors.splitlines() == [*map(str, range(11, 31)), "setup: sh -c seq 30; exit 7 ended with 7"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("dlstatus:12:41.9512:Retrieving file 12 of 57", "41 %, Retrieving file 12 of 57"),
        ("pmstatus:qemu-utils:62.5000:Unpacking qemu-utils (amd64): x", "62 %, Unpacking qemu-utils (amd64): x"),
        ("pmstatus:odd", ""),
        (
            "Get:3 http://mirror.example/debian bookworm/main Packages [8,790 kB]",
            "Get:3 http://mirror.example/debian bookworm/main Packages [8,790 kB]",
        ),
        ("Unpacking qemu-utils (1:7.2) ...", ""),
        ("", ""),
    ],
)
def test_of_apt_get_its_reports_are_shown(line, shown):
    assert setup.said_by_apt(line) == shown
