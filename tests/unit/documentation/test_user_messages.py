"""docs/users.md has what the launcher says, word for word."""

import json
import shutil
import sys
import time

import pytest

from checkout import ROOT
from readme import printed
from spicegrants.viewer import launcher

PAGE = (ROOT / "docs" / "users.md").read_text(encoding="utf-8")
OPENS = 1795507200  # Tue 2026-11-24 08:00 UTC
NOW = OPENS - 16 * 3600
ENDS = NOW + 2 * 3600  # 18:00
CONSOLES = {
    "analysis": {"password": False, "windows": f"{OPENS}-{OPENS + 3600}"},
    "books": {"password": False, "windows": f"{NOW}-{ENDS}"},
    "debianx": {"password": True},
}


@pytest.fixture
def menu(monkeypatch, tmp_path):
    """Be somebody at a desk on Monday at 16:00 UTC, without dialogs and terminal; write their menu."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SUDO_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launcher, "MENUS", str(tmp_path))
    monkeypatch.setattr(launcher.os, "getuid", lambda: 1021)
    monkeypatch.setattr(launcher.time, "time", lambda: NOW)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "stdin", None)
    yield (tmp_path / "1021").write_text
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def refusal(menu, capsys):
    """Start the launcher, which refuses; return what it says."""

    def start(*arguments, consoles=CONSOLES, text=None):
        content = json.dumps({"opener": "/opener", "consoles": consoles}) if text is None else text
        if content:
            menu(content)
        assert launcher.main([*arguments]) == 1
        return capsys.readouterr().err.removeprefix("rviewer: ").rstrip("\n")

    return start


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"text": ""}),
        (["boks"], {}),
        (["analysis"], {}),
        ([], {"consoles": {"analysis": CONSOLES["analysis"]}}),
        (["debianx"], {}),
    ],
)
def test_the_page_has_what_the_launcher_says(refusal, arguments, options):
    assert f"| {refusal(*arguments, **options)} |" in PAGE


def test_the_page_has_how_a_menu_is_reported_that_cannot_be_read(refusal):
    assert f"| {refusal(text='{').partition(':')[0]}: ... |" in PAGE


def test_the_page_shows_what_the_launcher_lists(menu, monkeypatch, capsys):
    menu(json.dumps({"opener": "/opener", "consoles": CONSOLES}))
    monkeypatch.setattr(launcher, "terminal", lambda: True)
    assert launcher.main([]) == 0
    assert capsys.readouterr().out == printed("Open a console", "docs/users.md")
