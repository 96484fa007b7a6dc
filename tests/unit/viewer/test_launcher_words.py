"""What the launcher says to whom: in their language, and whom they may ask."""

import locale
import time

import pytest

from spicegrants.viewer import launcher
from unit.viewer.test_launcher_times import EVENING, MORNING, NOON, NOW

ANNE = "Anne (phone 12)"


@pytest.fixture
def at_noon(desk, monkeypatch):
    """A desk in Berlin, on Tuesday 2026-11-24 at 12:00, with consoles of all kinds."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    monkeypatch.setattr(launcher.time, "time", lambda: NOON)
    desk.grants({"books": [EVENING], "old": [MORNING], "wiki": [NOW]}, books=False, old=False, wiki=False, debianx=True)
    yield desk
    monkeypatch.undo()
    time.tzset()


def said(desk, capsys, *arguments, code=1):
    """Start the launcher, which does not open anything; return what it says."""
    assert launcher.main([*arguments]) == code
    out, err = capsys.readouterr()
    return out or err.removeprefix("rviewer: ").rstrip("\n")


# Languages


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["books"],
            "books ist jetzt geschlossen und öffnet Di 2026-11-24 20:00 CET. Wenn Sie die Konsole früher "
            "brauchen, fragen Sie Ihre Administration.",
        ),
        (["old"], "old ist jetzt geschlossen; kein weiteres Zeitfenster ist bekannt. Fragen Sie Ihre Administration."),
        (
            ["boks"],
            "'boks' dürfen Sie nicht öffnen. Öffnen dürfen Sie: books, debianx, old, wiki. Wenn Sie eine andere "
            "brauchen, fragen Sie Ihre Administration.",
        ),
    ],
)
def test_refusals_in_german(at_noon, capsys, arguments, words):
    at_noon.speaks(LANG="de_DE.UTF-8")
    assert said(at_noon, capsys, *arguments) == words


def test_lists_in_german(at_noon, capsys):
    at_noon.speaks(LANG="de_AT.UTF-8")
    assert said(at_noon, capsys, "--list", code=0) == (
        "debianx\nwiki\tbis 18:00\nbooks\tgeschlossen, öffnet Di 2026-11-24 20:00 CET\n"
        "old\tgeschlossen, kein weiteres Zeitfenster bekannt\n"
    )
    assert said(at_noon, capsys, code=0).startswith("Öffnen dürfen Sie:\n  rviewer debianx\n  rviewer wiki\tbis 18:00")


def test_help_and_usage_in_german(desk, capsys):
    desk.speaks(LANG="de_DE.UTF-8")
    assert said(desk, capsys, "--help", code=0).startswith("Zeigt die SPICE-Konsolen")
    assert said(desk, capsys, "-x", code=2) == "Aufruf: rviewer [--list] [NAME]"


def test_dialogs_in_german(at_noon):
    at_noon.speaks(LANG="de_DE.UTF-8")
    at_noon.terminal(False)
    at_noon.programs["zenity"] = "/usr/bin/zenity"
    at_noon.chosen = "books"
    assert launcher.main([]) == 1
    chosen, refused = at_noon.dialogs
    assert {"--title=SPICE-Konsolen", "--text=Wählen Sie eine Konsole:", "--column=Zeiten", "offen"} <= set(chosen)
    assert "--title=SPICE-Konsole books" in refused and "öffnet Di" in refused[-1]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LANG": "C"},
        {"LC_ALL": "C", "LANGUAGE": "de"},
        {"LANG": "fr_FR.UTF-8"},
        {"LANGUAGE": "en:de", "LANG": "de"},
    ],
    ids=str,
)
def test_english_for_everybody_else(at_noon, capsys, variables):
    at_noon.speaks(**variables)
    assert said(at_noon, capsys, "books").startswith("books is closed now; it opens Tue ")


def test_without_its_catalogues_it_speaks_english(at_noon, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(launcher, "LOCALES", str(tmp_path / "none"))
    at_noon.speaks(LANG="de_DE.UTF-8")
    assert said(at_noon, capsys, "books").startswith("books is closed now; it opens Tue ")


@pytest.mark.parametrize("codeset", ["UTF-8", "ISO-8859-1", "ANSI_X3.4-1968", None])
def test_a_dialog_has_all_letters(at_noon, monkeypatch, codeset):
    """Also where the user's locale has not, or is not installed: zenity refuses what it cannot read."""

    def missing(*arguments):
        raise locale.Error("unsupported locale setting")

    monkeypatch.setattr(locale, "setlocale", missing if codeset is None else lambda *arguments: "")
    monkeypatch.setattr(locale, "nl_langinfo", lambda item: codeset)
    at_noon.speaks(LANG="de_DE.UTF-8")
    at_noon.terminal(False)
    at_noon.programs["zenity"] = "/usr/bin/zenity"
    assert launcher.main([]) == 1
    assert at_noon.environment.get("LC_ALL") == (None if codeset == "UTF-8" else "C.UTF-8")


# Whom to ask


def test_whom_the_menu_names_for_a_console(at_noon, capsys):
    at_noon.contact.write_text("everybody's helper\n", encoding="utf-8")
    at_noon.grants({"books": [EVENING], "old": [MORNING]}, {"books": {"contact": ANNE}}, books=False, old=False)
    assert said(at_noon, capsys, "books").endswith(f" If you need it sooner, ask {ANNE}.")
    assert said(at_noon, capsys, "old").endswith(" Ask everybody's helper.")


def test_whom_all_may_ask(at_noon, capsys):
    """Also who has no menu at all, or asks for something else."""
    at_noon.contact.write_text(f"{ANNE}\n", encoding="utf-8")
    assert said(at_noon, capsys, "boks").endswith(f" If you need another one, ask {ANNE}.")
    at_noon.menu.write_text("{", encoding="utf-8")
    assert said(at_noon, capsys).endswith(f" Tell {ANNE}.")
    at_noon.menu.unlink()
    assert said(at_noon, capsys) == f"No SPICE console is granted to you on this machine. Ask {ANNE}."


def test_of_several_closed_consoles_the_one_contact(at_noon, capsys):
    windows = {"books": [EVENING], "old": [MORNING]}
    at_noon.grants(windows, {name: {"contact": ANNE} for name in windows}, books=False, old=False)
    assert said(at_noon, capsys).endswith(f"If you need one sooner, ask {ANNE}.")
    at_noon.grants(windows, {"books": {"contact": ANNE}}, books=False, old=False)
    assert said(at_noon, capsys).endswith("If you need one sooner, ask your administrator.")


@pytest.mark.parametrize("contact", [5, None, ["Anne"], {"a": 1}])
def test_a_contact_that_is_no_text(at_noon, capsys, contact):
    at_noon.grants({"books": [EVENING]}, {"books": {"contact": contact}}, books=False)
    assert said(at_noon, capsys, "books").endswith("ask your administrator.")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"\n"])
def test_a_contact_for_all_that_is_no_text(at_noon, capsys, content):
    at_noon.contact.write_bytes(content)
    assert said(at_noon, capsys, "boks").endswith("ask your administrator.")
