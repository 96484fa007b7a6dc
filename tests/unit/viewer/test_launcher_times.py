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
        ([[NOON - HOUR, NOON + 12 * HOUR]], "\tuntil Wed 2026-11-25 00:00 CET"),
        ([[NOON - HOUR, NOON + 14 * HOUR]], "\tuntil Wed 2026-11-25 02:00 CET"),
        ([[NOON - HOUR, EVER]], ""),
        ([[NOON, NOON + 1]], "\tuntil 12:00:01"),
        ([MORNING, EVENING], "\tclosed, opens Tue 2026-11-24 20:00 CET"),
        ([EVENING, MORNING], "\tclosed, opens Tue 2026-11-24 20:00 CET"),
        ([[NOON + 20 * HOUR, EVER]], "\tclosed, opens Wed 2026-11-25 08:00 CET"),
        ([[NOON - HOUR, NOON]], "\tclosed, no further window is known"),
        ([], "\tclosed, no further window is known"),
    ],
)
def test_list_says_when(clock, capsys, windows, words):
    """In the caller's own time; a day only where it is not today, and then with the zone."""
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
        ([EVENING], "it opens Tue 2026-11-24 20:00 CET. If you need it sooner, ask"),
        ([[NOON + 20 * HOUR, EVER]], "it opens Wed 2026-11-25 08:00 CET. If you need it sooner, ask"),
        ([MORNING], "no further window is known. Ask"),
        ([], "no further window is known. Ask"),
    ],
)
def test_a_closed_console_is_not_opened(clock, capsys, windows, words):
    clock.grants({"books": windows}, books=False, wiki=False)
    assert launcher.main(["books"]) == 1
    assert capsys.readouterr() == ("", f"rviewer: books is closed now; {words} your administrator.\n")
    assert clock.opened("wiki") == call("wiki")


def test_another_time_zone(clock, capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    clock.grants({"books": [NOW]}, books=True)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr().out == "books\tuntil 22:30\n"


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "18:00"),
        ("Europe/Vienna", "18:00"),
        ("Europe/London", "18:00 CET"),
        ("UTC", "18:00 CET"),
        ("no zone", "18:00 CET"),
        (5, "18:00"),
        (None, "18:00"),
    ],
)
def test_an_hour_that_is_another_for_the_administrator_has_its_zone(clock, capsys, zone, words):
    """The menu says in which zone the policy is. What the desk's own zone is stays as it was."""
    clock.grants({"books": [NOW]}, {"books": {"zone": zone}}, books=True)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr().out == f"books\tuntil {words}\n"
    assert (launcher.os.environ["TZ"], time.tzname[0]) == ("Europe/Berlin", "CET")


def test_the_zone_of_a_machine_without_tz(clock, capsys, monkeypatch):
    monkeypatch.delenv("TZ")
    clock.grants({"books": [NOW]}, {"books": {"zone": "Asia/Kolkata"}}, books=True)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr().out.startswith("books\tuntil ") and "TZ" not in launcher.os.environ


def test_the_one_console_that_is_open_opens_straight_away(clock):
    clock.grants({"books": [EVENING], "wiki": [NOW]}, books=False, wiki=False)
    assert clock.opened() == call("wiki")


def test_none_that_is_open(clock, capsys):
    clock.grants({"books": [EVENING], "wiki": [MORNING]}, books=False, wiki=False)
    assert launcher.main([]) == 1
    text = "books, opens Tue 2026-11-24 20:00 CET; wiki, no further window is known"
    asked = "If you need one sooner, ask your administrator."
    assert capsys.readouterr() == ("", f"rviewer: Closed now: {text}. {asked}\n")


def test_several_in_a_terminal(clock, capsys):
    clock.grants({"books": [EVENING], "wiki": [NOW]}, books=False, wiki=False, debianx=True)
    assert launcher.main([]) == 0
    assert capsys.readouterr().out == (
        "You may open:\n  rviewer debianx\n  rviewer wiki\tuntil 18:00\n"
        "Closed now:\n  books, opens Tue 2026-11-24 20:00 CET\n"
    )


@pytest.fixture
def icon(clock):
    """Started without a terminal; three consoles, of which one is closed."""
    clock.terminal(False)
    clock.grants({"books": [EVENING], "wiki": [NOW]}, books=False, wiki=False, debianx=False)
    return clock


ROWS = [("debianx", "open"), ("wiki", "until 18:00"), ("books", "closed, opens Tue 2026-11-24 20:00 CET")]


def test_the_dialog_has_the_hours(icon):
    """What is closed comes last."""
    icon.programs["zenity"] = "/usr/bin/zenity"
    icon.chosen = "wiki"
    assert icon.opened() == call("wiki")
    assert icon.dialogs[0][-6:] == [word for row in ROWS for word in row]


def test_the_dialog_of_kde_has_the_hours(icon):
    icon.programs["kdialog"] = "/usr/bin/kdialog"
    icon.chosen = "debianx"
    assert icon.opened() == call("debianx")
    assert icon.dialogs[0][-6:] == [word for row in ROWS for word in (row[0], ", ".join(row))]


@pytest.mark.parametrize("program", ["zenity", "kdialog"])
def test_a_closed_console_that_is_chosen_says_when_it_opens(icon, program):
    icon.programs[program] = f"/usr/bin/{program}"
    icon.chosen = "books"
    assert launcher.main([]) == 1
    _, said = icon.dialogs
    assert "SPICE console books" in " ".join(said)
    assert "books is closed now; it opens Tue 2026-11-24 20:00 CET." in said[-1]


@pytest.mark.parametrize("moment", [EVENING_WINDOWS[0][0], EVENING_WINDOWS[-1][1] - 1])
def test_the_menu_with_times_that_a_run_writes(clock, monkeypatch, moment):
    """Launcher and viewer layer agree on the form."""
    compiled = desired({**TIMED, "grants__myself-debianx__nopasswd": True})
    clock.menu.write_bytes(files.desired_entries(compiled, b"")[f"{MENUS}/1021"].content)
    monkeypatch.setattr(launcher.time, "time", lambda: moment)
    assert clock.opened() == call("debianx")
    monkeypatch.setattr(launcher.time, "time", lambda: EVENING_WINDOWS[-1][1])
    assert launcher.main([]) == 1
