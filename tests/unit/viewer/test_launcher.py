"""The launcher: as a user starts it, with sudo, dialogs and terminal replaced."""

import ast
import signal
import subprocess
import sys

import pytest

from spicegrants.core.paths import MENUS
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import Lock, Temporary
from spicegrants.viewer import desk as desk_files
from spicegrants.viewer import files, launcher
from unit.build import desired, inventory, policy
from unit.desk import call

TWO = {"debianx": False, "leaptest": True}


def test_one_console_opens_straight_away(desk):
    desk.grants(debianx=True)
    assert desk.opened() == call("debianx")


def test_by_name(desk):
    desk.grants(**TWO)
    assert desk.opened("leaptest") == call("leaptest")
    assert desk.opened("debianx") == call("debianx")


def test_the_menu_that_a_run_writes(desk):
    """Launcher and viewer layer agree on the form."""
    compiled = desired()
    desk.menu.write_bytes(files.desired_entries(compiled, b"")[f"{MENUS}/1021"].content)
    assert desk.opened() == call("debianx")
    assert f"{MENUS}/" == "/etc/spice-grant/menu/"


def test_a_confined_viewer_is_opened_by_the_opener(desk):
    """As root, by the name of the vm alone, where the run that wrote the menu says so."""
    desk.menu.write_bytes(files.desired_entries(desired(unconfinable=""), b"")[f"{MENUS}/1021"].content)
    assert desk.opened() == ["-u", "root", "--", "/usr/local/lib/spice-grant/open", "debianx"]


def test_several_are_listed_in_a_terminal(desk, capsys):
    desk.grants(**TWO)
    assert launcher.main([]) == 0
    assert capsys.readouterr() == ("You may open:\n  rviewer debianx\n  rviewer leaptest\n", "")


@pytest.mark.parametrize("consoles", [{"debianx": True}, {"leaptest": True, "debianx": False}])
def test_list(desk, capsys, consoles):
    """For other programs to read; nothing is opened, even if there is just one."""
    desk.grants(**consoles)
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr() == ("\n".join(sorted(consoles)) + "\n", "")


@pytest.mark.parametrize("name", ["leaptest", "", "DEBIANX", "debianx ", "../../etc/passwd", "\x1b[2J"])
def test_a_console_that_is_not_granted(desk, capsys, name):
    desk.grants(debianx=True)
    assert launcher.main([name]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == (
        f"rviewer: You may not open {name!r}. You may open: debianx. If you need another one, ask your administrator.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["debianx"], ["--list"]])
def test_without_any_grant(desk, capsys, arguments):
    assert launcher.main(arguments) == 1
    said = "rviewer: No SPICE console is granted to you on this machine. Ask your administrator.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lisst"],
        ["-x"],
        ["--", "debianx"],
        ["debianx", "leaptest"],
        ["--list", "debianx"],
        ["-g", "root"],
        ["--help", "x"],
    ],
)
def test_wrong_usage(desk, capsys, arguments):
    desk.grants(**TWO)
    assert launcher.main(arguments) == 2
    assert capsys.readouterr() == ("", "usage: rviewer [--list] [NAME]\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(desk, capsys, option):
    assert launcher.main([option]) == 0
    out, err = capsys.readouterr()
    assert "usage: rviewer [--list] [NAME]" in out and "Exit codes:" in out and not err


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"{", b"[]", b"{}", b"null", b"5", b'{"consoles": null}', b'{"consoles": 5}', b"\xff\xfe"],
)
def test_a_broken_menu(desk, capsys, content):
    desk.menu.write_bytes(content)
    assert launcher.main(["debianx"]) == 1
    assert capsys.readouterr().err.startswith("rviewer: Your list of consoles cannot be read: ")


def test_a_menu_that_cannot_be_opened(desk, capsys):
    desk.menu.mkdir()
    assert launcher.main([]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_sudo_that_cannot_be_started(desk, capsys, monkeypatch):
    def missing(program, arguments, environment):
        raise FileNotFoundError(2, "No such file or directory")

    desk.grants(debianx=True)
    monkeypatch.setattr(launcher.os, "posix_spawn", missing)
    assert launcher.main([]) == 1
    assert "/usr/bin/sudo cannot be started" in capsys.readouterr().err


# What is locked

SHUT = {"locked": True, "windows": ""}


@pytest.mark.parametrize("arguments", [[], ["debianx"], ["--list"]])
def test_the_only_console_is_locked(desk, capsys, arguments):
    desk.grants({}, {"debianx": {**SHUT, "contact": "Anne"}}, debianx=False)
    assert launcher.main(arguments) == 1
    assert capsys.readouterr() == ("", "rviewer: debianx is locked. Ask Anne.\n")


def test_several_are_locked(desk, capsys):
    desk.grants({}, {"debianx": SHUT, "leaptest": SHUT}, **TWO)
    for arguments in ([], ["--list"]):
        assert launcher.main(arguments) == 1
        assert capsys.readouterr() == ("", "rviewer: Locked: debianx, leaptest. Ask your administrator.\n")
    assert launcher.main(["leaptest"]) == 1
    assert capsys.readouterr().err == "rviewer: leaptest is locked. Ask your administrator.\n"
    assert launcher.main(["boks"]) == 1
    assert "You may not open 'boks'. You may open: none. If" in capsys.readouterr().err


def test_what_is_locked_beside_what_is_not(desk, capsys):
    """It is refused by its name, and is never counted among what can be opened."""
    desk.grants({"books": []}, {"leaptest": {"locked": True}}, debianx=False, leaptest=False, books=False)
    assert desk.opened() == call("debianx")
    assert launcher.main(["leaptest"]) == 1
    assert capsys.readouterr().err == "rviewer: leaptest is locked. Ask your administrator.\n"
    assert launcher.main(["boks"]) == 1
    assert "You may open: books, debianx." in capsys.readouterr().err
    assert launcher.main(["--list"]) == 0
    assert capsys.readouterr().out == "debianx\nbooks\tclosed, no further window is known\n"
    desk.grants({"books": []}, {"leaptest": SHUT}, leaptest=False, books=False)
    assert launcher.main([]) == 1
    assert "Closed now: books, no further window is known; leaptest, locked. If" in capsys.readouterr().err
    desk.grants({}, {"leaptest": SHUT}, leaptest=False, books=False, debianx=False)
    assert launcher.main([]) == 0
    assert capsys.readouterr().out.endswith("  rviewer debianx\nClosed now:\n  leaptest, locked\n")


def test_the_menu_that_a_run_writes_of_what_is_locked(desk, capsys):
    compiled = compile_policy(policy(), inventory(), temporary=Temporary(locks=(Lock("all", "", "", 0),)))
    desk.menu.write_bytes(files.desired_entries(compiled, b"")[f"{MENUS}/1021"].content)
    assert launcher.main([]) == 1
    assert capsys.readouterr().err == "rviewer: debianx is locked. Ask your administrator.\n"


@pytest.mark.parametrize("program", ["zenity", "kdialog"])
def test_what_is_locked_is_in_the_dialog(icon, capsys, program):
    icon.programs[program] = f"/usr/bin/{program}"
    icon.grants({}, {"books": SHUT}, debianx=False, leaptest=False, books=False)
    icon.speaks(LANG="de")
    icon.chosen = "books"
    assert launcher.main([]) == 1
    words = ["books", "gesperrt"] if program == "zenity" else ["books", "books, gesperrt"]
    assert icon.dialogs[0][-2:] == words and "books ist gesperrt." in icon.dialogs[1][-1]


# From a desktop icon


@pytest.fixture
def icon(desk):
    """Started without a terminal."""
    desk.terminal(False)
    return desk


def test_without_a_terminal_a_program_asks_for_the_password(icon):
    icon.programs["ksshaskpass"] = "/usr/bin/ksshaskpass"
    icon.grants(debianx=True)
    assert icon.opened() == ["-A", *call("debianx")]
    assert launcher.os.environ["SUDO_ASKPASS"] == "/usr/bin/ksshaskpass"


def test_such_a_program_says_what_the_password_is_for(icon, monkeypatch):
    icon.programs["ksshaskpass"] = "/usr/bin/ksshaskpass"
    icon.grants(debianx=True)
    icon.opened()
    assert launcher.os.environ["SUDO_PROMPT"] == "Your own password, to open the console debianx:"
    monkeypatch.delenv("SUDO_PROMPT")
    icon.speaks(LANG="de_DE.UTF-8")
    icon.opened()
    assert launcher.os.environ["SUDO_PROMPT"] == "Ihr eigenes Passwort, um die Konsole debianx zu öffnen:"
    monkeypatch.setenv("SUDO_PROMPT", "mine")
    icon.opened()
    assert launcher.os.environ["SUDO_PROMPT"] == "mine"


def test_in_a_terminal_sudo_asks_in_its_own_words(desk):
    desk.grants(debianx=True)
    desk.opened()
    assert "SUDO_PROMPT" not in launcher.os.environ


def test_the_users_own_choice_of_such_a_program(icon, monkeypatch):
    monkeypatch.setenv("SUDO_ASKPASS", "/usr/bin/mine")
    icon.programs["ssh-askpass"] = "/usr/bin/ssh-askpass"
    icon.grants(debianx=True)
    assert icon.opened()[0] == "-A"
    assert launcher.os.environ["SUDO_ASKPASS"] == "/usr/bin/mine"


def test_without_such_a_program_it_is_said_what_to_do(icon, capsys):
    icon.grants(debianx=True)
    assert launcher.main([]) == 1
    assert "Run 'rviewer debianx' in a terminal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "stderr", "shown"),
    [
        (0, "", None),
        (1, "rviewer: debianx cannot be opened: it is locked\n", "debianx cannot be opened: it is locked"),
        (3, "lecture\nrviewer: the console cannot be opened: why\n", "the console cannot be opened: why"),
        (4, "Gtk-WARNING\nrviewer: the viewer ended with -9\n", "the viewer ended with -9"),
        (
            1,
            "Sorry, try again.\nsudo: 3 incorrect password attempts\n\n",
            "debianx cannot be opened: 3 incorrect password attempts. Ask your administrator.",
        ),
        (
            1,
            "Sorry, user myself is not allowed to execute 'open debianx' as root on desk.\n",
            "debianx cannot be opened: Sorry, user myself is not allowed to execute 'open debianx' as root on desk. "
            "Ask your administrator.",
        ),
        (1, "", "debianx cannot be opened: sudo ended with 1. Ask your administrator."),
        (-9, "Gtk-WARNING\n", "debianx cannot be opened: sudo ended with -9. Ask your administrator."),
        (1, "sudo: no password was provided\nsudo: a password is required\n", None),
        (1, "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n", None),
    ],
)
def test_what_sudo_and_the_opener_say_is_shown_on_the_desktop(icon, monkeypatch, code, stderr, shown):
    """There is no terminal in which they could say it; who cancels knows it."""
    answer(icon, monkeypatch, code, stderr)
    assert launcher.main([]) == code
    sudo, *dialogs = icon.dialogs
    assert sudo == [launcher.SUDO, "-A", "-u", "root", "--", "/usr/local/lib/spice-grant/open", "debianx"]
    assert [dialog[-1] for dialog in dialogs] == ([] if shown is None else [f"--text={shown}"])


def test_sudo_says_in_german_that_somebody_cancelled(icon, monkeypatch, tmp_path):
    place = tmp_path / "sudo" / "de" / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / "sudo.mo").write_bytes(desk_files.catalogue({"no password was provided": "Kein Passwort"}))
    monkeypatch.setattr(launcher, "SUDO_LOCALES", (str(tmp_path / "none"), str(tmp_path / "sudo")))
    icon.speaks(LANG="de_DE.UTF-8")
    answer(icon, monkeypatch, 1, "sudo: Kein Passwort\nsudo: Ein Passwort ist notwendig\n")
    assert launcher.main([]) == 1
    assert len(icon.dialogs) == 1
    icon.speaks(LANG="C")
    assert launcher.main([]) == 1
    assert len(icon.dialogs) == 3


def answer(icon, monkeypatch, code, stderr):
    """Let sudo end with a code and words, and dialogs be there to show them."""
    icon.programs.update({"zenity": "/usr/bin/zenity", "ssh-askpass": "/usr/bin/ssh-askpass"})
    icon.menu.write_bytes(files.desired_entries(desired(unconfinable=""), b"")[f"{MENUS}/1021"].content)
    run = icon.run

    def answered(command, **options):
        done = run(command, **options)
        return subprocess.CompletedProcess(command, code, b"", stderr.encode()) if command[0] == launcher.SUDO else done

    monkeypatch.setattr(subprocess, "run", answered)


def test_a_console_without_password_needs_no_such_program(icon):
    icon.grants(debianx=False)
    assert icon.opened() == call("debianx")


@pytest.mark.parametrize("program", ["zenity", "kdialog"])
def test_several_are_offered(icon, program):
    icon.programs[program] = f"/usr/bin/{program}"
    icon.grants(debianx=False, leaptest=False)
    icon.chosen = "leaptest"
    assert icon.opened() == call("leaptest")
    assert icon.dialogs[0][0] == program and {"debianx", "leaptest"} <= set(icon.dialogs[0])


@pytest.mark.parametrize("chosen", ["", "other", "debianx|leaptest"])
def test_nothing_chosen(icon, chosen):
    icon.programs["zenity"] = "/usr/bin/zenity"
    icon.grants(**TWO)
    icon.chosen = chosen
    assert launcher.main([]) == 1


def test_open_with_nothing_chosen_asks_again(icon):
    """As zenity takes it."""
    icon.programs["zenity"] = "/usr/bin/zenity"
    icon.grants(debianx=False, leaptest=False)
    icon.answers = [(0, ""), (0, ""), (0, "leaptest")]
    assert icon.opened() == call("leaptest")
    assert len(icon.dialogs) == 3


def test_kdialogs_list_has_room_and_a_choice(icon):
    icon.programs["kdialog"] = "/usr/bin/kdialog"
    icon.grants(**TWO)
    assert launcher.main([]) == 1
    (words,) = icon.dialogs
    assert words[words.index("--geometry") + 1] == "560x320"
    assert words[words.index("--default") + 1] == words[-3] == "debianx, open"


def test_several_and_nothing_to_choose_with(icon, capsys):
    icon.grants(**TWO)
    assert launcher.main([]) == 1
    assert capsys.readouterr().err == "rviewer: You may open: debianx, leaptest. Name one: rviewer NAME.\n"


@pytest.mark.parametrize("program", ["zenity", "kdialog", "notify-send"])
def test_a_refusal_is_shown_on_the_desktop(icon, program):
    icon.programs[program] = f"/usr/bin/{program}"
    assert launcher.main([]) == 1
    (dialog,) = icon.dialogs
    assert dialog[0] == program and "No SPICE console is granted" in dialog[-1]


def test_a_notification_of_a_refusal_is_whole(icon):
    """GNOME cuts those that are not urgent."""
    icon.programs["notify-send"] = "/usr/bin/notify-send"
    assert launcher.main([]) == 1
    assert icon.dialogs[0][:4] == ["notify-send", "--urgency=critical", "--app-name=SPICE consoles", "--"]


@pytest.mark.parametrize(
    ("contact", "shown"),
    [("Anne", "Ask Anne."), ("A & B <it@example.com>", "Ask A &amp; B &lt;it@example.com>.</qt>")],
)
def test_kdialog_shows_all_characters(icon, contact, shown):
    icon.programs["kdialog"] = "/usr/bin/kdialog"
    icon.contact.write_text(contact, encoding="utf-8")
    assert launcher.main([]) == 1
    text = icon.dialogs[0][-1]
    assert text.endswith(shown) and text.startswith("<qt>") is shown.endswith("</qt>")


def test_a_refusal_without_a_desktop(icon, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    icon.programs["zenity"] = "/usr/bin/zenity"
    assert launcher.main([]) == 1
    assert icon.dialogs == []


def test_who_asks_for_the_list_waits_for_no_dialog(icon, capsys):
    """A script, or the completion of a shell."""
    icon.programs["zenity"] = "/usr/bin/zenity"
    assert launcher.main(["--list"]) == 1
    assert icon.dialogs == [] and "No SPICE console is granted" in capsys.readouterr().err


def test_in_a_terminal_nothing_is_shown_on_the_desktop(desk):
    desk.programs["zenity"] = "/usr/bin/zenity"
    assert launcher.main([]) == 1
    assert desk.dialogs == []


def test_without_any_standard_input(desk, monkeypatch):
    """Python then has no sys.stdin at all."""
    monkeypatch.setattr(sys, "stdin", None)
    desk.programs["ssh-askpass"] = "/usr/bin/ssh-askpass"
    desk.grants(debianx=True)
    assert desk.opened() == ["-A", *call("debianx")]
    desk.grants(**TWO)
    assert launcher.main([]) == 1
    desk.menu.unlink()
    assert launcher.main([]) == 1


# As a program


def test_it_needs_the_systems_python_only():
    """It is installed as it is, and started by users with ``-I``."""
    with open(launcher.__file__, encoding="utf-8") as stream:
        source = stream.read()
    assert source.startswith("#!/usr/bin/python3 -IS\n")
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported <= {
        "functools",
        "gettext",
        "json",
        "locale",
        "os",
        "re",
        "shutil",
        "signal",
        "subprocess",
        "sys",
        "time",
    }


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--nonsense"], 2)])
def test_its_exit_code(arguments, code):
    command = [sys.executable, "-I", launcher.__file__, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == code and "usage: rviewer" in done.stdout + done.stderr


def test_who_waits_waits_for_nothing_that_only_other_calls_need():
    """Neither what runs dialogs, nor what looks for them, nor languages."""
    find = "import sys; exec(open(sys.argv[1]).read(), {'__name__': 'launcher'}); print(*sys.modules)"
    command = ["/usr/bin/python3", "-IS", "-c", find, launcher.__file__]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "json" in loaded and not loaded & {"argparse", "gettext", "locale", "shutil", "subprocess", "typing"}


TWICE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from spicegrants.viewer import launcher
def below(pid):
    os.kill(pid, signal.SIGTERM)
    yield from ()
launcher.below = below
signal.signal(signal.SIGTERM, launcher.end)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_second_signal_while_it_ends_is_no_error():
    """A dialog's window manager, a session's end and timeout(1) may all send one."""
    tree = launcher.__file__.partition("/spicegrants/")[0]
    done = subprocess.run([sys.executable, "-c", TWICE, tree], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
