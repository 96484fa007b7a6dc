"""The command that makes a viewer's sandbox. What is really in sight there, tests/functional tries."""

from dataclasses import replace

import pytest

from spicegrants.viewer import sandbox
from spicegrants.viewer.sandbox import Session, System

MERGED = System({"bin": "usr/bin", "lib": "usr/lib"}, ("/usr/share/applications",), ("/usr/share/themes",))
ON_X = Session(display="0", cookie=True)
PROGRAM = ["/usr/bin/remote-viewer", "--", "/etc/spice-grant/vms/debianx.vv"]


def command(system=MERGED, session=ON_X, program=PROGRAM, vm="debianx"):
    return sandbox.command(system, session, 1021, 995, program, vm)


def binds(words):
    """What is shown, by where."""
    return {words[place + 2]: words[place + 1] for place, word in enumerate(words) if word.startswith("--ro-bind")}


def test_it_ends_with_the_drop_and_the_program():
    words = command()
    drop = words[words.index("--") + 1 :]
    assert drop[-len(PROGRAM) :] == PROGRAM
    assert drop[0] == "/usr/bin/setpriv"
    assert {"--reuid=+1021", "--regid=+995", "--clear-groups", "--no-new-privs", "--bounding-set=-all"} <= set(drop)


def test_no_user_namespace_no_proc_and_nothing_that_can_be_written():
    words = command()
    assert not {"--unshare-user", "--unshare-user-try", "--unshare-all", "--unshare-net", "--proc", "--bind"} & set(
        words
    )
    assert {"--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session"} <= set(words)
    in_memory = {words[place + 1] for place, word in enumerate(words) if word == "--tmpfs"}
    read_only = [words[place + 1] for place, word in enumerate(words) if word == "--remount-ro"]
    assert in_memory < set(read_only) and read_only[-1] == "/"


def test_one_connection_file_and_one_display():
    shown = binds(command())
    assert [path for path in shown if path.startswith("/etc/spice-grant")] == [PROGRAM[-1]]
    assert shown["/tmp/.X11-unix/X0"] == f"{sandbox.STAGE}/display"  # noqa: S108
    assert shown["/home/.cookie"] == f"{sandbox.STAGE}/cookie"
    assert "/home/.cookie" not in binds(command(session=Session(display="0")))


def test_wayland_instead():
    shown = binds(command(session=Session(wayland="wayland-1", sounds=("pulse", "pipewire"))))
    assert not [path for path in shown if "X11" in path]
    assert shown["/run/user/1021/wayland-1"] == f"{sandbox.STAGE}/wayland"
    assert shown["/run/user/1021/pulse/native"] == f"{sandbox.STAGE}/pulse"
    assert shown["/run/user/1021/pipewire-0"] == f"{sandbox.STAGE}/pipewire"


def test_a_directory_of_the_users_where_that_is_allowed():
    words = command(session=Session(display="0", shared=sandbox.shared_directory("myself")))
    place = words.index("--bind")
    assert words[place : place + 3] == ["--bind", f"{sandbox.STAGE}/files", "/home/myself/Console"]
    assert words[place - 4 : place] == ["--perms", "0755", "--dir", "/home/myself"]


def test_nobody_gets_from_a_theme_to_a_directory_of_the_users():
    themes = ["--perms", "0000", "--tmpfs", "/usr/share/themes"]
    words = command(session=Session(display="0", shared="/home/myself/Console"))
    place = words.index("/usr/share/themes")
    assert words[place - 3 : place + 1] == themes
    assert words[words.index("/usr/share/themes", place + 1) - 1] == "--remount-ro"
    assert "/usr/share/themes" not in command()


def test_a_viewer_elsewhere_and_a_system_with_its_programs_elsewhere():
    words = command(System({"bin": None}, resolver="/run/systemd/resolve/stub-resolv.conf"), program=["/opt/v/viewer"])
    shown = binds(words)
    assert {"/opt/v/viewer", "/bin", "/run/systemd/resolve/stub-resolv.conf"} <= set(shown)
    assert "/opt/v/viewer" not in binds(command())


def test_the_environment_is_made_anew():
    made = sandbox.environment(1021, "myself", Session(display="0", cookie=True, locale={"LANG": "de_DE.UTF-8"}))
    assert (made["DISPLAY"], made["XAUTHORITY"], made["LANG"]) == (":0", "/home/.cookie", "de_DE.UTF-8")
    assert made["DBUS_SESSION_BUS_ADDRESS"] == "disabled:" and made["NO_AT_BRIDGE"] == "1"
    assert "XAUTHORITY" not in sandbox.environment(1021, "myself", Session(display="0"))
    assert not {"DISPLAY", "PULSE_SERVER"} & set(sandbox.environment(1021, "myself", Session(wayland="wayland-0")))


def test_only_names_of_languages_are_kept():
    offered = {
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "../../home/myself/locale",
        "LANGUAGE": "de:en",
        "LC_TIME": "de_DE@euro",
        "LC_PAPER": "a" * 65,
        "LC_NAME": "x\n",
        "LD_PRELOAD": "x.so",
        "LOCPATH": "x",
    }
    assert sandbox.locale(offered) == {"LANG": "de_DE.UTF-8", "LANGUAGE": "de:en", "LC_TIME": "de_DE@euro"}


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "/run/user/1021/wayland-0", "a\n", "a b", ".hidden"])
def test_what_names_no_wayland_socket(text):
    assert sandbox.wayland_socket(text) is None
    assert sandbox.wayland_socket("wayland-0") == "wayland-0"


def test_the_list_of_plug_ins_is_in_sight_where_there_is_one():
    """Read-only, and named to GStreamer: without it a viewer looks at all plug-ins at each start."""
    words = command(replace(MERGED, registry=True))
    assert binds(words)[sandbox.REGISTRY_SEEN] == sandbox.REGISTRY
    assert words[words.index("GST_REGISTRY") - 1 :][:3] == ["--setenv", "GST_REGISTRY", sandbox.REGISTRY_SEEN]
    assert sandbox.REGISTRY_SEEN not in command() and "GST_REGISTRY" not in command()


def test_plug_ins_are_looked_at_without_rights_and_network():
    words = sandbox.registry_command(MERGED, 1234567890, ["/usr/bin/python3", "-"])
    assert words[-2:] == ["/usr/bin/python3", "-"] and "--reuid=+1234567890" in words and "--no-new-privs" in words
    assert {"--unshare-net", "--unshare-pid", "--die-with-parent"} <= set(words)
    assert not {"--bind", "--proc", "--unshare-user"} & set(words)
    writable = {words[place + 1] for place, word in enumerate(words) if word == "--tmpfs"}
    assert writable - {words[place + 1] for place, word in enumerate(words) if word == "--remount-ro"} == {"/tmp"}  # noqa: S108
