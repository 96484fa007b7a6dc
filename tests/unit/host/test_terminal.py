"""Progress on standard error: on a terminal it shows, elsewhere it does not, and nothing of it hinders the work."""

import io
import os
import pty
import subprocess
import sys

import pytest

import terminals
from checkout import ROOT
from spicegrants.host import terminal

WORK = """
from spicegrants.host import terminal
with terminal.live_line({wanted}) as line:
    line.count("minions", 1, 2)
    print("result")
"""


def work(wanted=True, **streams):
    command = [sys.executable, "-c", WORK.format(wanted=wanted)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "_utils")}, **streams)


def test_a_terminal_shows_it_and_it_is_gone_at_the_end():
    drawn, output, code = terminals.run(work)
    assert "minions: 1 of 2" in drawn and terminals.left(drawn) == [""]
    assert (output, code) == ("result\n", 0), "none of it is in the output"


def test_a_pipe_shows_nothing():
    with work(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.communicate() == (b"result\n", b"")


def test_who_does_not_want_it_sees_nothing_on_a_terminal_either():
    assert terminals.run(lambda **streams: work(wanted=False, **streams)) == ("", "result\n", 0)


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_process_without_standard_error_works(monkeypatch, stream):
    """As a daemon may be."""
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.live_line() as line:
        line.count("minions", 1, 2)


def test_work_goes_on_when_its_terminal_is_gone(monkeypatch):
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with terminal.live_line() as line:
            line.count("minions", 1, 2)
            os.close(leader)
            line.count("minions", 2, 2)


def test_what_ends_the_work_clears_the_line(monkeypatch):
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(ValueError), terminal.live_line() as line:
            line.count("minions", 1, 2)
            raise ValueError
    assert terminals.left(terminals.read(leader)) == [""]
    os.close(leader)
