"""docs/users.md has what the launcher says, word for word."""

import json
import sys
import time

import pytest

from checkout import ROOT
from spicegrants.viewer import launcher

PAGE = (ROOT / "docs" / "users.md").read_text(encoding="utf-8")
OPENS = 1795507200  # Tue 2026-11-24 08:00 UTC
NOW = OPENS - 16 * 3600
CONSOLES = {
    "analysis": {"password": False, "windows": f"{OPENS}-{OPENS + 3600}"},
    "books": {"password": False},
    "debianx": {"password": True},
}


@pytest.fixture
def said(monkeypatch, tmp_path, capsys):
    """Start the launcher with these consoles; return what it says."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SUDO_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launcher, "MENUS", str(tmp_path))
    monkeypatch.setattr(launcher.os, "getuid", lambda: 1021)
    monkeypatch.setattr(launcher.time, "time", lambda: NOW)
    monkeypatch.setattr(launcher.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "stdin", None)

    def start(*arguments, consoles=CONSOLES, menu=None):
        content = menu if menu is not None else json.dumps({"opener": "/opener", "consoles": consoles})
        if content:
            (tmp_path / "1021").write_text(content, encoding="utf-8")
        assert launcher.main([*arguments]) == 1
        return capsys.readouterr().err.removeprefix("rviewer: ").rstrip("\n")

    yield start
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"menu": ""}),
        (["boks"], {}),
        (["analysis"], {}),
        ([], {"consoles": {"analysis": CONSOLES["analysis"]}}),
        (["debianx"], {}),
    ],
)
def test_the_page_has_what_the_launcher_says(said, arguments, options):
    assert f"| {said(*arguments, **options)} |" in PAGE


def test_the_page_has_how_a_menu_is_reported_that_cannot_be_read(said):
    assert f"| {said(menu='{').partition(':')[0]}: ... |" in PAGE
