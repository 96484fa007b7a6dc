"""The launcher and times: what it lists, what it opens, and what it says of what is closed."""

import time

import pytest

from spicegrants.core.paths import MENUS
from spicegrants.viewer import files, launcher
from unit.build import EVENING_WINDOWS, TIMED, desired
from unit.desk import call


@pytest.fixture
def clock(desk, monkeypatch):
    """A desk in Berlin, on Tuesday 2026-11-24 at 12:00."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    monkeypatch.setattr(launcher.time, "time", lambda: NOON + 0.9)
    yield desk
    monkeypatch.undo()
    time.tzset()


NOON = 1795518000
HOUR = 3600
EVER = 2**32
MORNING, NOW, EVENING = (
    [NOON - 4 * HOUR, NOON - HOUR],
    [NOON - HOUR, NOON + 6 * HOUR],
    [NOON + 8 * HOUR, NOON + 9 * HOUR],
)


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (None, ""),
        ([[0, EVER]], ""),
        ([NOW], "\tuntil 18:00"),
        ([[NOON - HOUR, NOON + 6 * HOUR + 7]], "\tuntil 18:00:07"),
        ([[0, NOON + 6 * HOUR]], "\tuntil 18:00"),
        ([[NOON - HOUR, NOON + 12 * HOUR]], "\tuntil Wed 2026-11-25 00:00"),
        ([[NOON - HOUR, NOON + 14 * HOUR]], "\tuntil Wed 2026-11-25 02:00"),
        ([[NOON - HOUR, EVER]], ""),
        ([[NOON, NOON + 1]], "\tuntil 12:00:01"),
        ([MORNING, EVENING], "\tclosed, opens Tue 2026-11-24 20:00"),
        ([EVENING, MORNING], "\tclosed, opens Tue 2026-11-24 20:00"),
        ([[NOON + 20 * HOUR, EVER]], "\tclosed, opens Wed 2026-11-25 08:00"),
        ([[NOON - HOUR, NOON]], "\tclosed, no further window is known"),
        ([], "\tclosed, no further window is known"),
    ],
)
def test_list_says_when(clock, capsys, windows, words):
    """In the caller's own time; a day only where it is not today."""
    clock.grants({"books": windows}, books=True)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr() == (f"books{words}\n", "")


def test_what_is_open_is_listed_first(clock, capsys):
    clock.grants({"a": [MORNING], "b": [NOW], "c": [EVENING]}, a=True, b=True, c=True, d=True)
    assert launcher.main(["--list"]) == 0
    assert [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    "windows",
    [
        5,
        {},
        ((1, 2),),
        "x",
        "1",
        "-",
        "1-",
        "1-2-3",
        "1-2 3",
        "1-2,3-4",
        "1-2\n",
        "1.5-2",
        "\u0661-\u0662",
        "2-1",
        "2-2",
        "-1-2",
        f"1-{EVER + 1}",
        f"1-{10**30}",
        "1" * 5000,
    ],
)
def test_windows_that_cannot_be_read_close_nothing(clock, capsys, windows):
    """The launcher decides nothing: sudo does."""
    clock.grants({"books": windows}, books=False)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr() == ("books\n", "")
    assert clock.opened() == clock.opened("books") == call("books")


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([EVENING], "it opens Tue 2026-11-24 20:00"),
        ([[NOON + 20 * HOUR, EVER]], "it opens Wed 2026-11-25 08:00"),
        ([MORNING], "no further window is known"),
        ([], "no further window is known"),
    ],
)
def test_a_closed_console_is_not_opened(clock, capsys, windows, words):
    clock.grants({"books": windows}, books=False, wiki=False)
    assert launcher.main(["books"]) == 1
    assert capsys.readouterr() == ("", f"rviewer: books is closed now; {words}.\n")
    assert clock.opened("wiki") == call("wiki")


def test_another_time_zone(clock, capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    clock.grants({"books": [NOW]}, books=True)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr().out == "books\tuntil 22:30\n"


def test_the_one_console_that_is_open_opens_straight_away(clock):
    clock.grants({"books": [EVENING], "wiki": [NOW]}, books=False, wiki=False)
    assert clock.opened() == call("wiki")


def test_none_that_is_open(clock, capsys):
    clock.grants({"books": [EVENING], "wiki": [MORNING]}, books=False, wiki=False)
    assert launcher.main([]) == 1
    text = "books, opens Tue 2026-11-24 20:00; wiki, no further window is known"
    assert capsys.readouterr() == ("", f"rviewer: Closed now: {text}.\n")


def test_several_in_a_terminal(clock, capsys):
    clock.grants({"books": [EVENING], "wiki": [NOW]}, books=False, wiki=False, debianx=True)
    assert launcher.main([]) == 0
    assert capsys.readouterr().out == (
        "You may open:\n  rviewer debianx\n  rviewer wiki\tuntil 18:00\n"
        "Closed now:\n  books, opens Tue 2026-11-24 20:00\n"
    )


def test_only_what_is_open_is_offered(clock):
    clock.terminal(False)
    clock.programs["zenity"] = "/usr/bin/zenity"
    clock.grants({"books": [EVENING]}, books=False, wiki=False, debianx=False)
    clock.chosen = "wiki"
    assert clock.opened() == call("wiki")
    assert clock.dialogs[0][-2:] == ["debianx", "wiki"] and "books" not in clock.dialogs[0]


@pytest.mark.parametrize("moment", [EVENING_WINDOWS[0][0], EVENING_WINDOWS[-1][1] - 1])
def test_the_menu_with_times_that_a_run_writes(clock, monkeypatch, moment):
    """Launcher and viewer layer agree on the form."""
    compiled = desired({**TIMED, "grants__myself-debianx__nopasswd": True})
    clock.menu.write_bytes(files.desired_entries(compiled, b"")[f"{MENUS}/1021"].content)
    monkeypatch.setattr(launcher.time, "time", lambda: moment)
    assert clock.opened() == call("debianx")
    monkeypatch.setattr(launcher.time, "time", lambda: EVENING_WINDOWS[-1][1])
    assert launcher.main([]) == 1
