"""The launcher's dialogs on a real desktop, as its icon starts it: the list with the hours, and what is refused."""

import subprocess
import time

import pytest

from functional.office import FILES, changed
from scene import Desktop, need
from scenes import article

ANNE = "Anne (Tür 12)"
# A day that is over, and one that comes: whatever this machine's clock says.
PAST, COMING = "2020-01-02", "2099-12-24"
PILLAR = changed(
    article(),
    vms={**article()["spice"]["vms"], "books": {"server": "mysrv", "tls_port": 20007, "contact": ANNE}},
    time={"zone": "UTC"},
    viewer={"confine": False, "contact": "IT (phone 1)"},
    grants={
        "debianx": {"user": "nogrant", "vm": "debianx", "nopasswd": True},
        "leaptest": {"user": "nogrant", "vm": "leaptest", "nopasswd": True, "valid_from": PAST},
        "books": {"user": "nogrant", "vm": "books", "nopasswd": True, "valid_from": COMING},
    },
)
OPENS = "Thu 2099-12-24 00:00 UTC"


@pytest.fixture
def desktop(looked_at):
    """A desktop of somebody who has three consoles, of which one is closed."""
    need("Xvfb", "xauth", "xwininfo", "xdotool", "zenity")
    with Desktop(looked_at.client, "nogrant") as made:
        yield made


def click(desktop, **env):
    """Start the launcher as an icon does."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return desktop.popen(["/usr/local/bin/rviewer"], env={"TZ": "UTC", **env}, **pipes)


def press(desktop, process, part, *keys):
    """Wait for a window, and type until it is gone: a window that has just come up may not hear yet."""
    desktop.wait_window(part)
    deadline = time.monotonic() + 60
    while process.poll() is None and any(part in title for title in desktop.windows()):
        assert time.monotonic() < deadline, f"{part} does not go"
        desktop.run(["xdotool", "key", *keys])
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("language", "titles", "words"),
    [
        ("C", ("SPICE consoles", "SPICE console books"), f"it opens {OPENS}. If you need it sooner, ask {ANNE}."),
        ("de_DE.UTF-8", ("SPICE-Konsolen", "SPICE-Konsole books"), "und öffnet Do 2099-12-24 00:00 UTC."),
    ],
)
def test_a_closed_console_can_be_chosen_and_says_when_it_opens(desktop, language, titles, words):
    """It is the last of the list. All letters arrive, whether the machine has that language or not."""
    process = click(desktop, LANG=language)
    press(desktop, process, titles[0], "End", "Return")
    press(desktop, process, titles[1], "Return")
    assert process.wait(60) == 1
    assert words in process.stderr.read()


def test_an_open_console_that_is_chosen_opens(desktop, looked_at):
    """The first of the list; what stands in for its viewer says so."""
    process = click(desktop)
    started = 'ps -eo args | grep -q "^/usr/bin/remote-viewer -- $0"'
    try:
        press(desktop, process, "SPICE consoles", "Home", "Return")
        deadline = time.monotonic() + 60
        while looked_at.client.run(["sh", "-c", started, FILES["debianx"]], check=False).returncode:
            assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
            time.sleep(0.2)
    finally:
        process.kill_tree()


def test_nothing_is_opened_where_nothing_is_chosen(desktop):
    process = click(desktop)
    press(desktop, process, "SPICE consoles", "Escape")
    assert (process.wait(60), process.stderr.read()) == (1, "")


def test_who_has_nothing_reads_whom_to_ask(looked_at):
    """Also without any menu: that is for everybody to read."""
    need("Xvfb", "xauth", "xwininfo", "xdotool", "zenity")
    with Desktop(looked_at.client, "mybro") as desktop:
        process = click(desktop)
        press(desktop, process, "SPICE consoles", "Return")
        assert process.wait(60) == 1
        assert process.stderr.read().endswith("is granted to you on this machine. Ask IT (phone 1).\n")
