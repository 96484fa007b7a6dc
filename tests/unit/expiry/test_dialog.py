"""How a message is shown: as a notification if that is taken, else by the first dialog that is installed."""

import pytest

from spicegrants.expiry.live import dialog

TITLE = "SPICE console closed"
TEXT = "Your access to the console of VM debianx was removed."


@pytest.fixture
def desktop(tmp_path, monkeypatch):
    """A desktop with one X display and no programs at all."""
    monkeypatch.setattr(dialog, "DISPLAYS", str(tmp_path / "displays"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "displays").mkdir()
    (tmp_path / "displays" / "X0").touch()
    (tmp_path / "bin").mkdir()
    return tmp_path


def install(desktop, program, then="exit 0"):
    """Install a program that notes how it was called."""
    path = desktop / "bin" / program
    path.write_text(f'#!/bin/sh\necho "$DISPLAY $(/usr/bin/basename $0) $*" >> {desktop}/calls\n{then}\n')
    path.chmod(0o755)


def calls(desktop):
    noted = desktop / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


@pytest.mark.parametrize("program", ["zenity", "kdialog", "xmessage"])
@pytest.mark.parametrize(
    "notifications", [None, "exit 1", "exec /usr/bin/sleep 60"], ids=["none", "refused", "hanging"]
)
def test_dialog(desktop, monkeypatch, program, notifications):
    monkeypatch.setattr(dialog, "PATIENCE", 0.5)
    monkeypatch.delenv("DISPLAY", raising=False)
    install(desktop, program)
    if notifications:
        install(desktop, "notify-send", notifications)
    dialog.main(TITLE, TEXT)
    (call,) = [line for line in calls(desktop) if "notify-send" not in line]
    assert call.startswith(f":0 {program} ")
    assert TITLE in call and TEXT in call


def test_notification_that_is_taken_is_enough(desktop):
    for program in ("notify-send", "zenity", "kdialog", "xmessage"):
        install(desktop, program)
    dialog.main(TITLE, TEXT)
    (call,) = calls(desktop)
    assert call.endswith(f"notify-send --urgency=critical --app-name=SPICE consoles -- {TITLE} {TEXT}")


def test_one_dialog_on_each_display(desktop):
    """Whatever else lies where the displays are."""
    for name in ("X12", "X1_", "Y1", "X", "aX3", "X4 "):
        (desktop / "displays" / name).touch()
    for program in ("kdialog", "xmessage"):
        install(desktop, program, "exit 1")
    dialog.main(TITLE, TEXT)
    assert sorted(line.split()[:2] for line in calls(desktop)) == [[":0", "kdialog"], [":12", "kdialog"]]


@pytest.mark.parametrize("lacking", ["programs", "displays"])
def test_nothing_to_show_it_with(desktop, lacking):
    if lacking == "displays":
        install(desktop, "xmessage")
        (desktop / "displays" / "X0").unlink()
        (desktop / "displays").rmdir()
    dialog.main(TITLE, TEXT)
    assert calls(desktop) == []
