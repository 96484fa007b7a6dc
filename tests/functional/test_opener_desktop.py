"""The opener and the user's desktop: displays, cookies, sound and files as they may be, and the viewer's end."""

import pytest

from functional.confined import (
    DISPLAY,
    FAILED,
    IMPOSSIBLE,
    NO_DESKTOP,
    ON_X,
    SOCKET,
    WITNESS,
    desk,
    pillar,
    prepare,
    serve,
)
from functional.office import PASSWORDS
from scene import need
from spicegrants.viewer import xauth

need("bwrap", "xauth")
PILLAR = pillar()
__all__ = ["desk", "prepare"]


@pytest.mark.parametrize(
    "display",
    ["", ":8", "localhost:7", "192.168.2.2:7", ":7:0", ":../X7", ":7 ", f"{SOCKET}/", ":99999999", ":7.0.0"],
)
def test_a_display_that_is_none_of_this_machine(desk, display):
    done, seen = desk.open("myself", env={"DISPLAY": display})
    assert (done.returncode, seen) == (NO_DESKTOP, None)
    assert "there is no desktop of this machine" in done.stderr


def test_without_a_desktop_the_sandbox_is_tried_all_the_same(desk, looked_at):
    """So whoever calls it without one is told of all else that is missing."""
    looked_at.client.run(["mount", "--bind", "/bin/false", "/usr/bin/bwrap"])
    try:
        done, seen = desk.open("myself", env={"DISPLAY": ""})
    finally:
        looked_at.client.run(["umount", "/usr/bin/bwrap"])
    assert (done.returncode, seen) == (IMPOSSIBLE, None) and "no sandbox can be made" in done.stderr


@pytest.mark.parametrize(
    "made", [["touch"], ["mkfifo"], ["mkdir"], ["ln", "-s", SOCKET], ["ln", "-s", "/home/myself"], ["ln", "-s", "/"]]
)
def test_a_display_that_is_no_socket(desk, looked_at, made):
    """A file, a pipe, a directory, a link to a socket or elsewhere: none of it is shown to the viewer."""
    path = f"{SOCKET}1"
    looked_at.client.run([*made, path], user="myself")
    try:
        done, seen = desk.open("myself", env={"DISPLAY": f":{DISPLAY}1"})
    finally:
        looked_at.client.run(["rm", "-rf", path])
    assert (done.returncode, seen) == (NO_DESKTOP, None)


_SWAP = """
import os, sys
path, target, other = sys.argv[1:]
while True:
    os.symlink(target, path + ".link")
    os.rename(path + ".link", path)
    os.link(other, path + ".sock", follow_symlinks=False)
    os.rename(path + ".sock", path)
"""


def test_a_display_that_becomes_something_else_meanwhile(desk, looked_at):
    """Socket and link to the user's home in turn, thousands of times a second: the home is never in sight."""
    looked_at.client.write("/home/myself/evil.so", "x", mode=0o755, owner="myself")
    path = f"{SOCKET}2"
    swapping = looked_at.client.popen(
        ["/usr/bin/python3", "-IS", "-c", _SWAP, path, "/home/myself", SOCKET], user="myself"
    )
    outcomes = set()
    try:
        for _ in range(12):
            done, seen = desk.open("myself", env={"DISPLAY": f":{DISPLAY}2"})
            outcomes.add(done.returncode)
            assert seen is None or seen["users"] == [f"{SOCKET.rpartition('X')[0]}X{seen['env']['DISPLAY'][1:]}"]
    finally:
        swapping.kill_tree()
        looked_at.client.run(["rm", "-f", path, f"{path}.link", f"{path}.sock"])
    assert outcomes <= {0, IMPOSSIBLE, NO_DESKTOP}


def test_the_one_cookie_of_the_display_arrives_and_no_other(desk, looked_at):
    """From the file that XAUTHORITY names, or the one in the user's home."""
    for number, file in ((DISPLAY, "/home/myself/.Xauthority"), (9, "/home/myself/.Xauthority")):
        add = f"add :{number} . {str(number) * 32}\n"
        looked_at.client.run(["xauth", "-q", "-f", file, "source", "-"], user="myself", input=add)
    for env in (ON_X, {**ON_X, "XAUTHORITY": "/home/myself/.Xauthority"}):
        _, seen = desk.open("myself", env=env)
        assert seen["cookie"].endswith("77" * 16) and "99" * 16 not in seen["cookie"]
        assert seen["env"]["XAUTHORITY"] == "/home/.cookie"
    looked_at.client.run(["rm", "/home/myself/.Xauthority"])
    assert desk.open("myself")[1]["cookie"] is None


ODD_FILES = {
    "a pipe": "mkfifo {path}",
    "a directory": "mkdir {path}",
    "a device": "ln -s /dev/zero {path}",
    "a terminal": "ln -s /dev/tty {path}",
    "root's": "ln -s /root/cookie {path}",
    "another user's": "ln -s /home/mybro/cookie {path}",
    "what is stored": "ln -s /var/lib/spice-grant/state.json {path}",
    "a loop": "ln -s {path} {path}",
    "a gigabyte": "truncate --size=1G {path}",
}


@pytest.mark.parametrize("odd", ODD_FILES)
def test_odd_files_in_place_of_cookies(desk, looked_at, odd):
    """Looked at with the user's own rights, not waited for, and nothing of them is reported."""
    path = "/home/myself/odd"
    looked_at.client.write("/root/cookie", "root's secret", mode=0o600)
    looked_at.client.write("/home/mybro/cookie", "a secret", mode=0o600, owner="mybro")
    looked_at.client.run(["sh", "-c", ODD_FILES[odd].format(path=path)], user="myself")
    try:
        done, seen = desk.open("myself", env={**ON_X, "XAUTHORITY": path})
    finally:
        looked_at.client.run(["rm", "-rf", path])
    assert (done.returncode, seen["cookie"]) == (0, None)
    assert "XAUTHORITY" not in seen["env"] and "secret" not in done.stderr


def test_no_cookie_is_needed_where_the_display_lets_its_user_in(desk):
    """Compositors differ in what they set: a file that is not there, or /dev/null, or nothing."""
    for cookies in ("/nowhere", "/dev/null", ""):
        done, seen = desk.open("myself", env={**ON_X, "XAUTHORITY": cookies})
        assert (done.returncode, seen["cookie"]) == (0, None) and "rviewer" not in done.stderr


def test_a_home_that_several_machines_share(desk, looked_at):
    """Their records are of no use here, and one for any machine, as GDM and SDDM write, is."""
    path = "/home/myself/shared"
    add = "".join(f"add other{number}/unix:{DISPLAY} . {str(number) * 32}\n" for number in range(3))
    looked_at.client.run(["xauth", "-q", "-f", path, "source", "-"], user="myself", input=add)
    env = {**ON_X, "XAUTHORITY": path}
    assert desk.open("myself", env=env)[1]["cookie"] is None
    # xauth writes no such record; the one of the viewer's own file is one.
    wild = xauth.file_of(b"w" * 16)
    looked_at.client.write(path, looked_at.client.path(path).read_bytes() + wild, owner="myself")
    assert desk.open("myself", env=env)[1]["cookie"] == wild.hex()
    looked_at.client.run(["rm", path])


def test_a_desktop_on_wayland_with_sound(desk, looked_at):
    """Its sockets, and no display of X beside them; a name that leads elsewhere is none."""
    runtime = "/run/user/1021"
    serve(looked_at, "myself", *(f"{runtime}/{name}" for name in ("wayland-3", "pulse/native", "pipewire-0", "other")))
    _, seen = desk.open("myself", env={**ON_X, "WAYLAND_DISPLAY": "wayland-3"})
    assert (seen["env"]["WAYLAND_DISPLAY"], seen["env"]["GDK_BACKEND"]) == ("wayland-3", "wayland")
    assert "DISPLAY" not in seen["env"] and seen["displays"] == []
    assert seen["runtime"] == ["pipewire-0", "pulse/native", "wayland-3"]
    assert seen["env"]["PULSE_SERVER"] == f"unix:{runtime}/pulse/native"
    for name in ("../1021/wayland-3", f"{runtime}/wayland-3", "nothing"):
        _, seen = desk.open("myself", env={**ON_X, "WAYLAND_DISPLAY": name})
        assert seen["env"]["GDK_BACKEND"] == "x11" and "wayland-3" not in seen["runtime"]


def test_a_directory_for_files_where_pillar_allows_it(desk, looked_at):
    """The one in the user's home, in which nothing can be executed or loaded; a link in its place is none."""
    evil = looked_at.client.path("/usr/lib/x86_64-linux-gnu/libz.so.1").read_bytes()
    looked_at.client.run(["mkdir", "/home/myself/Console"], user="myself")
    looked_at.client.write("/home/myself/Console/evil.so", evil, mode=0o755, owner="myself")
    looked_at.client.write("/home/myself/Console/evil.sh", "#!/bin/sh\n", mode=0o755, owner="myself")
    assert desk.open("myself")[1]["shared"] is None
    data = pillar()
    data["spice"]["vms"]["debianx"]["allow"] = ["files"]
    assert set(looked_at.applied(data)["changes"]) == {"layers"}
    try:
        _, seen = desk.open("myself")
        names, loaded, started = seen["shared"]
        assert names == ["evil.sh", "evil.so", "written"]
        assert "failed to map segment" in loaded and "Permission denied" in started
        assert seen["argv"] == [WITNESS, "--spice-shared-dir=/home/myself/Console", "--", seen["argv"][-1]]
        assert {path for path in seen["writable"] if not path.startswith(("/dev/", "/home/myself/Console"))} == set()
        assert looked_at.client.read("/home/myself/Console/written") == "x"
        looked_at.client.run(["mv", "/home/myself/Console", "/home/myself/Elsewhere"])
        for target in ("/home/myself/Elsewhere", "/", "/home/mybro"):
            looked_at.client.run(["ln", "-sfn", target, "/home/myself/Console"], user="myself")
            assert desk.open("myself")[1]["shared"] is None
    finally:
        looked_at.client.run(["rm", "-rf", "/home/myself/Console", "/home/myself/Elsewhere"])
        looked_at.applied(PILLAR)


def test_the_viewers_end(desk, looked_at):
    """A viewer that fails is distinguished from what was refused; so is one that cannot be started."""
    text = looked_at.client.read(WITNESS)
    for program in ("#!/bin/false\n", "#!/nowhere\n"):
        looked_at.client.run(["tee", WITNESS], input=program)
        done, _ = desk.open("myself")
        looked_at.client.run(["tee", WITNESS], input=text)
        assert done.returncode == FAILED and "the viewer ended with" in done.stderr and "cookies" not in done.stderr


def test_a_viewer_that_fails_without_its_cookie_says_so(desk, looked_at):
    text = looked_at.client.read(WITNESS)
    looked_at.client.run(["tee", WITNESS], input="#!/bin/false\n")
    done, _ = desk.open("myself", env={**ON_X, "XAUTHORITY": "/home"})
    looked_at.client.run(["tee", WITNESS], input=text)
    assert done.returncode == FAILED and "the file with your display's cookies is no regular file" in done.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (f"echo '{PASSWORDS['myself']}'", "the viewer ended with "),
        ("echo wrong", "debianx cannot be opened: 3 incorrect password attempts. Ask your administrator."),
        ("exit 1", ""),
    ],
    ids=["dying viewer", "wrong passwords", "cancelled"],
)
def test_opened_from_an_icon_it_says_why_nothing_opens(looked_at, asked, said):
    """Whoever speaks of sudo, opener and viewer; who cancels needs no word."""
    looked_at.client.write("/home/myself/ask", f"#!/bin/sh\n{asked}\n", mode=0o755, owner="myself")
    text = looked_at.client.read(WITNESS)
    looked_at.client.run(["tee", WITNESS], input="#!/bin/sh\nkill -9 $$\n")
    # Without dialogs: nobody answers at this display.
    env = {**ON_X, "SUDO_ASKPASS": "/home/myself/ask", "PATH": "/none"}
    done = looked_at.client.run(["/usr/local/bin/rviewer"], user="myself", env=env, check=False)
    looked_at.client.run(["tee", WITNESS], input=text)
    assert done.returncode == (FAILED if "viewer" in said else 1)
    assert done.stderr.startswith(f"rviewer: {said}") if said else done.stderr == ""
