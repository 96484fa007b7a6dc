"""What users see: the launcher, and what they can read, write and start of what is ours."""

import configparser
import json
import os
import pty
import select
import sys
import time

import pytest

from functional.office import FILES, PASSWORDS, STATE, UIDS, changed, started
from scene import need
from scenes import GROUP, SUDOERS, VIEWER, article
from spicegrants.core.paths import BASH_COMPLETION
from spicegrants.viewer import desk

PILLAR = changed(
    article(),
    vms={**article()["spice"]["vms"], "books": {"server": "mysrv", "tls_port": 20007}},
    grants={
        **article()["spice"]["grants"],
        "nogrant-books": {"user": "nogrant", "vm": "books"},
        "nogrant-leaptest": {"user": "nogrant", "vm": "leaptest", "nopasswd": True},
    },
)
RVIEWER = "/usr/local/bin/rviewer"
DESKTOP = "/usr/local/share/applications/rviewer.desktop"
MENUS = {user: f"/etc/spice-grant/menu/{uid}" for user, uid in UIDS.items()}
ASKPASS = "/usr/bin/ssh-askpass"
# Tries what can be done with each path, and says what was possible.
TRY = """
import json, os, sys
ways = {
    "read": lambda path: os.close(os.open(path, os.O_RDONLY)),
    "write": lambda path: os.close(os.open(path, os.O_RDWR)),
    "truncate": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
    "list": os.listdir,
    "add": lambda path: open(path + "/x", "x"),
    "rename": lambda path: os.rename(path, path + ".x"),
    "link": lambda path: os.link(path, path + ".y"),
    "chmod": lambda path: os.chmod(path, 0o777),
    "take": lambda path: os.chown(path, os.getuid(), -1),
}
done = {}
for path in sys.argv[1:]:
    can = done[path] = []
    for what, way in ways.items():
        try:
            way(path)
            can.append(what)
        except OSError:
            pass
    if os.path.isfile(path) and os.access(path, os.X_OK):
        can.append("start")
print(json.dumps(done))
"""


def _possible(office, user, group=None):
    """What a user, with another group if one is given, can do with all paths of ours."""
    command = ["find", "/etc/spice-grant", "/var/lib/spice-grant"]
    paths = [*office.client.run(command).stdout.split(), SUDOERS, VIEWER, RVIEWER, *desk.PATHS]
    done = office.client.run([sys.executable, "-I", "-S", "-c", TRY, *paths], user=user, group=group)
    return {path: set(can) for path, can in json.loads(done.stdout).items()}


# Files


@pytest.mark.parametrize("user", [*UIDS, "outsider"])
def test_what_a_user_can_do_with_our_files(looked_at, user):
    """Users read their own menu, the launcher and what is about it; with everything else they can do nothing at all."""
    if user == "outsider":
        looked_at.client.run(["useradd", "--uid", "1050", "outsider"])
    possible = _possible(looked_at, user)
    desired = {path: set() for path in possible}
    desired["/etc/spice-grant"] = {"read", "list"}
    desired[RVIEWER] = {"read", "start"}
    desired.update({path: {"read"} for path in desk.PATHS})
    if user in MENUS:
        desired[MENUS[user]] = {"read"}
    assert len(possible) > 12
    assert possible == desired


def test_what_the_viewer_itself_can_do_with_our_files(looked_at):
    """A process with the viewer's group reads connection files besides, and starts the viewer; it writes nothing."""
    possible = _possible(looked_at, "myself", GROUP)
    desired = {path: set() for path in possible}
    desired.update({path: {"read"} for path in possible if path.endswith(".vv")})
    desired["/etc/spice-grant"] = desired["/etc/spice-grant/vms"] = {"read", "list"}
    desired[RVIEWER] = desired[VIEWER] = {"read", "start"}
    desired.update({path: {"read"} for path in (*desk.PATHS, MENUS["myself"])})
    assert possible == desired


def test_owner_and_mode(looked_at):
    """Owner, group and mode of everything, as the documents say."""
    gid = looked_at.gid()
    desired = {
        "/etc/spice-grant": (0, 0, 0o755),
        "/etc/spice-grant/vms": (0, gid, 0o750),
        "/etc/spice-grant/menu": (0, 0, 0o711),
        FILES["debianx"]: (0, gid, 0o640),
        MENUS["myself"]: (0, 0, 0o640),
        VIEWER: (0, gid, 0o750),
        SUDOERS: (0, 0, 0o440),
        STATE: (0, 0, 0o600),
        os.path.dirname(STATE): (0, 0, 0o700),
        RVIEWER: (0, 0, 0o755),
        **dict.fromkeys(desk.PATHS, (0, 0, 0o644)),
    }
    status = {path: looked_at.client.stat(path) for path in desired}
    assert {path: (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) for path, stat in status.items()} == desired


def test_a_connection_file_pins_the_console(looked_at):
    """A connection file names host, TLS port and title, demands TLS for all channels, and holds no password."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(looked_at.client.read(FILES["debianx"]))
    assert dict(parser["virt-viewer"]) == {
        "type": "spice",
        "host": "mysrv.anraconc.de",
        "tls-port": "20002",
        "title": "debianx",
        "secure-channels": "all",
    }


# The launcher


def _rviewer(office, user, *arguments, **kw):
    return office.client.run([RVIEWER, *arguments], user=user, check=False, **kw)


def _in_terminal(office, user, *arguments, typed=""):
    """Start the launcher on a terminal, type something, and return all that appears, and the exit code."""
    leader, follower = pty.openpty()
    pipes = {"stdin": follower, "stdout": follower, "stderr": follower}
    process = office.client.popen(["setsid", "--ctty", "--wait", RVIEWER, *arguments], user=user, **pipes)
    os.close(follower)
    shown, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([leader], [], [], 0.1)[0]:
                continue
            chunk = os.read(leader, 4096)
            shown += chunk
            if typed and b"password" in shown:
                os.write(leader, f"{typed}\n".encode())
                typed = ""
    except OSError:  # the terminal's last user is gone
        pass
    finally:
        process.kill_tree()
        os.close(leader)
    return shown.decode(), process.wait()


def test_rviewer_lists_the_callers_consoles(looked_at):
    """--list shows users their own consoles, a name a line, and nobody else's."""
    assert _rviewer(looked_at, "myself", "--list").stdout == "debianx\n"
    assert _rviewer(looked_at, "mybro", "--list").stdout == "leaptest\n"
    assert _rviewer(looked_at, "nogrant", "--list").stdout == "books\nleaptest\n"


def test_rviewer_opens_by_name(looked_at):
    """A console of several is opened by its name, through sudo, by the real viewer."""
    done = _rviewer(looked_at, "nogrant", "leaptest")
    assert started(done), done


def test_rviewer_opens_the_only_console(looked_at):
    """With just one console no name is needed."""
    done = _rviewer(looked_at, "mybro")
    assert started(done), done


def test_rviewer_with_several_consoles(looked_at):
    """With several, a terminal is shown the list; without a terminal or dialog the names are printed, exit code 1."""
    shown, code = _in_terminal(looked_at, "nogrant")
    assert "rviewer books" in shown
    assert "rviewer leaptest" in shown
    assert code == 0
    done = _rviewer(looked_at, "nogrant", env={"PATH": "/none"})
    assert done.returncode == 1
    assert "You may open: books, leaptest." in done.stderr


@pytest.mark.parametrize("name", ["leaptest", "none", "../vms/leaptest", "", "debianx.vv", "%s"])
def test_rviewer_refuses_what_is_not_granted(looked_at, name):
    """Another's console, or none: exit code 1, with what the user may open."""
    done = _rviewer(looked_at, "myself", name)
    assert done.returncode == 1
    words = f"You may not open {name!r}. You may open: debianx. If you need another one, ask your administrator."
    assert done.stderr == f"rviewer: {words}\n"


def test_rviewer_without_any_grant(looked_at):
    """A user without a grant is told so: exit code 1."""
    looked_at.client.run(["useradd", "--uid", "1051", "stranger"])
    for arguments in ([], ["debianx"], ["--list"]):
        done = _rviewer(looked_at, "stranger", *arguments)
        assert done.returncode == 1
        assert done.stderr == ("rviewer: No SPICE console is granted to you on this machine. Ask your administrator.\n")


def test_rviewer_usage(looked_at):
    """Wrong usage is exit code 2; --help explains the rest."""
    for arguments in (["a", "b"], ["--nonsense"], ["--list", "x"], ["-x"]):
        assert _rviewer(looked_at, "myself", *arguments).returncode == 2
    done = _rviewer(looked_at, "myself", "--help")
    assert done.returncode == 0
    assert "usage: rviewer [--list] [NAME]" in done.stdout


def test_rviewer_asks_for_the_password_in_a_terminal(looked_at):
    """In a terminal sudo asks there, and the user's own password opens the console."""
    shown, code = _in_terminal(looked_at, "myself", "debianx", typed=PASSWORDS["myself"])
    assert "password" in shown
    assert "cannot open display" in shown
    assert code == 1


def test_rviewer_from_the_desktop(looked_at):
    """Without a terminal the desktop's askpass program is asked for the password, and the console opens."""
    done = _rviewer(looked_at, "myself", "debianx")
    assert done.returncode == 1
    assert "Opening debianx asks for your password, and no program is installed" in done.stderr
    script = f"#!/bin/sh\necho \"$1\" >/home/myself/asked\necho '{PASSWORDS['myself']}'\n"
    looked_at.client.write(ASKPASS, script, mode=0o755)
    try:
        done = _rviewer(looked_at, "myself", "debianx")
    finally:
        looked_at.client.run(["rm", ASKPASS])
    assert started(done), done
    assert looked_at.client.read("/home/myself/asked") == "Your own password, to open the console debianx:\n"
    looked_at.client.write("/home/myself/ask", script, mode=0o755, owner="myself")
    done = _rviewer(looked_at, "myself", env={"SUDO_ASKPASS": "/home/myself/ask"})
    assert started(done), done


def test_rviewer_speaks_german(looked_at):
    """Where the user's session does; what sudo starts does so, too."""
    german = {"LANG": "de_DE.UTF-8"}
    done = _rviewer(looked_at, "myself", "none", env=german)
    assert "'none' dürfen Sie nicht öffnen. Öffnen dürfen Sie: debianx." in done.stderr
    assert "You may not open" in _rviewer(looked_at, "myself", "none", env={**german, "LC_ALL": "C"}).stderr


def test_bash_completes_options_and_consoles(looked_at):
    """In a shell of the user's, which has loaded the file as bash-completion does."""
    script = (
        f"source {BASH_COMPLETION}; complete -p rviewer; "
        'for word in "" boo -- none; do COMP_WORDS=(rviewer "$word"); COMP_CWORD=1; _rviewer; echo "${COMPREPLY[*]}"; '
        'done; COMP_CWORD=2; _rviewer; echo "${COMPREPLY[*]}"'
    )
    done = looked_at.client.run(["bash", "--norc", "-c", script], user="nogrant")
    assert done.stdout.splitlines() == [
        "complete -F _rviewer rviewer",
        "books leaptest",
        "books",
        "--help --list",
        "",
        "",
    ]


def test_man_finds_the_page(looked_at):
    need("man")
    done = looked_at.client.run(["man", "--warnings", "rviewer"], user="mybro", env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.startswith("RVIEWER(1)") and "--list" in done.stdout
    assert done.stderr == ""


def test_the_desktop_file_starts_the_launcher(looked_at):
    """The menu entry is one that desktops read, and starts the launcher without a terminal."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(looked_at.client.read(DESKTOP))
    entry = parser["Desktop Entry"]
    assert (entry["Type"], entry["Exec"], entry["Terminal"]) == ("Application", RVIEWER, "false")
    assert entry["Name"]


def test_what_the_users_environment_holds_does_not_matter(looked_at):
    """The launcher is started with the system's Python, isolated: nothing of the user's own is imported."""
    looked_at.client.write("/home/mybro/json.py", "print('mine')\n", owner="mybro")
    env = {"PYTHONPATH": "/home/mybro", "PYTHONSTARTUP": "/home/mybro/json.py"}
    done = _rviewer(looked_at, "mybro", "--list", env=env, cwd="/home/mybro")
    assert done.stdout == "leaptest\n"
