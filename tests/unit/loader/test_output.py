"""The outputter as Salt loads and calls it: by whom it is named, and what it does with anything that it gets."""

import contextlib
import fcntl
import io
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest
import salt.config
import salt.output
from salt.loader.lazy import LazyLoader

from checkout import ROOT

pytestmark = pytest.mark.salt

LIST = [{"user": "myself", "vm": "debianx", "open": True, "state": "open", "grants": {"a": {"when": "always"}}}]
SHOWN = {
    *(
        f"spice_grant.{name}"
        for name in ("list", "who", "timeline", "verify", "denials", "sessions", "loans", "locks", "status")
    ),
    "spice_grant.review",
    *(f"spice_host.{name}" for name in ("consoles", "sessions", "loans", "locks", "status")),
    *("spice_grant.explain", "spice_firewall.rules", "spice_sudoers.rules", "spice_viewer.status"),
}


@pytest.fixture
def opts(tmp_path):
    """A minion's options, with the checkout for its modules."""
    config = tmp_path / "minion"
    config.write_text(json.dumps({"root_dir": str(tmp_path), "id": "desk-1", "file_client": "local"}))
    made = salt.config.minion_config(str(config))
    made.update(outputter_dirs=[str(ROOT / "_output")], grains={}, color=False)
    return made


@pytest.fixture
def display(opts, monkeypatch):
    """Shows data as the commands of Salt do; returns what comes on standard output."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def shown(data, encoding="utf-8", out="spice_grant", **further):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stream)
            salt.output.display_output(data, out, {**opts, **further})
            stream.flush()
        return raw.getvalue().decode(encoding)

    return shown


def test_functions_name_it(opts):
    """All that answer with tables; Salt finds it by the name of the function in its file."""
    functions = LazyLoader([str(ROOT / "_modules")], opts, tag="module")
    assert {name for name in functions if getattr(functions[name], "__outputter__", None) == "spice_grant"} == SHOWN


def test_a_table(display):
    assert display({"desk-1": LIST}).splitlines() == [
        "desk-1:",
        "  1 access: 1 open",
        "  user    vm       state  grants  password",
        "  ------------------------------------------",
        "  myself  debianx  open   a       the user's",
    ]


@pytest.mark.parametrize("out", ["json", "yaml", "nested"])
def test_another_outputter_is_not_ours(display, out):
    assert display({"desk-1": LIST}, output=out) == display({"desk-1": LIST}, out=out)


def test_each_minion_is_shown_by_itself(display):
    """What a minion of another version says, or one that failed, is nested; the others' tables stay."""
    odd = {"a": "Minion did not return.", "b": ["an error"], "c": None, "d": True, "e": {"state": "other"}}
    shown = display({**odd, "f": LIST})
    for minion, answer in odd.items():
        assert display({minion: answer}, out="nested").strip() in shown
    assert shown.rstrip().endswith(display({"f": LIST}).rstrip())


@pytest.mark.parametrize("data", [None, [], "text", ["a", {"b": 1}], {}, {"retcode": 1}])
def test_what_is_no_answer_of_a_minion_is_nested(display, data):
    assert display(data) == display(data, out="nested")


def test_nothing_that_a_minion_says_moves_the_cursor(display):
    """In tables and out of them, in names too."""
    evil = "\x1b[2J\x1b]0;x\x07\u202e\r"
    shown = display({evil: [{**LIST[0], "user": evil, "grants": {evil: evil}}], "b": {evil: [evil]}, "c": evil})
    assert "\\x1b[2J\\x1b]0;x\\x07\\u202e\\r" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_colours(display):
    """None where Salt has none; with them the text is the same."""
    coloured = display({"desk-1": LIST}, color=True)
    assert "\x1b" not in display({"desk-1": LIST}) and "\x1b[0;32mopen\x1b[0;0m" in coloured


def test_where_the_terminal_shows_ascii_only(display):
    """No sign of another kind, unless the data have it: that is escaped."""
    verify = {"ok": True, "differences": [], "unproven": [], "matrix": {"jürgen": {"debianx": {"granted": False}}}}
    assert "?" in display({"desk-1": verify}, "ascii") and "j\\xfcrgen" in display({"desk-1": verify}, "ascii")
    assert "jürgen" in display({"desk-1": verify}, "latin-1")


@pytest.mark.parametrize("columns, width", [("10", 40), ("60", 60), ("140", 140), ("9999", 240)])
def test_the_width_is_that_of_the_terminal(display, monkeypatch, columns, width):
    long = [{**LIST[0], "state": "open " * 200}]
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, display({"desk-1": long}).splitlines())) in range(width - 6, width + 1)


ON_A_TERMINAL = """
import json, sys
import salt.output
opts = json.loads(sys.argv[1])
entries = [{**each, "state": "open " * 200} for each in opts.pop("list")]
salt.output.display_output({"desk-1": entries}, "spice_grant", opts)
"""


def test_on_a_real_terminal(opts, monkeypatch):
    """Its width, and colours by themselves."""
    monkeypatch.delenv("COLUMNS", raising=False)
    outside, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 133, 0, 0))
    given = {key: opts[key] for key in ("outputter_dirs", "extension_modules", "optimization_order", "cachedir")}
    command = [sys.executable, "-c", ON_A_TERMINAL, json.dumps({**given, "list": LIST})]
    with open(outside, "rb", buffering=0) as terminal:
        with subprocess.Popen(command, stdout=inside) as process:
            os.close(inside)
            shown = b""
            # Where the last one of the other side is closed, Linux calls that an error.
            with contextlib.suppress(OSError):
                while more := terminal.read(4096):
                    shown += more
        assert process.returncode == 0
    assert b"\x1b[0;32mopen" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert max(map(len, plain.splitlines())) in range(128, 134)


def test_into_a_file(display, monkeypatch, tmp_path):
    """As wide as ever, whatever the terminal's width, and with all signs."""
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "shown"
    assert display({"desk-1": [{**LIST[0], "state": "open " * 200}]}, "ascii", output_file=str(path)) == ""
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 80


def test_an_empty_answer_says_why(display):
    asked = {"fun": "spice_grant.timeline", "arg": ["eve"]}
    assert "opens anything to eve" in display({"desk-1": []}, **asked)
    assert display({"desk-1": []}, fun="jobs.lookup_jid") == "desk-1:\n  Nothing: spice_grant.list shows all.\n"


def test_what_the_runner_returns(display):
    rows = {"retcode": 0, "minions": [{"minion": "desk-1", "state": "in sync", "why": ""}]}
    assert display(rows).splitlines()[0] == "1 minion: 1 in sync"
    assert display({"retcode": 1, "errors": ["fileserver: \x07"]}) == "fileserver: \\x07\n"
    assert display({"retcode": 1, "pillar": "spice:\n  grants: {}  # \x07\n"}) == "spice:\n  grants: {}  # \\x07\n"
