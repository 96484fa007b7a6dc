"""The sandbox of a confined viewer: files in sight there, and the command that creates it. Pure.

Root creates it without a user namespace: the owner of one may ptrace what runs in it. There is no /proc: through
/proc/self/fd a display server could make the viewer load code from a descriptor that it sends. Nothing can be written
anywhere. If pillar allows files, one directory of the user's can be written, and in it nothing can be executed or
loaded. Network, and so the firewall's view of the process, stay the machine's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spicegrants.core.paths import CONNECTIONS, RUN, connection_file

BUBBLEWRAP, SETPRIV = "/usr/bin/bwrap", "/usr/bin/setpriv"
# Where, outside, what is made for one viewer lies; and where that is in sight of it.
STAGE = "/var/lib/spice-grant"
COOKIE, CONNECTION = "cookie", "connection"
# GStreamer's list of the system's plug-ins: where root keeps it, where a viewer reads it, and where it is made.
REGISTRY, REGISTRY_SEEN, REGISTRY_MADE = f"{RUN}/plug-ins", "/var/cache/plug-ins", "/tmp/plug-ins"  # noqa: S108
# The one directory of a user's, in their home, that a viewer may be allowed.
FILES, SHARED = "files", "Console"
# A session's sockets by what they are staged as, and their names below /run/user/UID.
WAYLAND, DISPLAY = "wayland", "display"
SOUND = {"pipewire": "pipewire-0", "pulse": "pulse/native"}
# Parts of the root directory that hold programs; on some systems they are links into /usr.
PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Below these everything is in sight, read-only.
VISIBLE = ("/usr/", "/etc/")
# What would be started for a link or a file: nothing is.
HANDLERS = ("/usr/share/applications", "/usr/local/share/applications", "/usr/share/dbus-1", "/usr/local/share/dbus-1")
# A theme may describe a program's windows, and so what is called when they show; and its name, which any client of the
# display says, may be a path that leads out of these, to wherever the user has something in sight.
THEMES = ("/usr/share/themes", "/usr/local/share/themes")
_DEVICES = ("null", "zero", "full", "random", "urandom")
# Not the host name: window managers would say that the viewer runs elsewhere.
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try")
# The first process in it is bubblewrap's, root's: it needs only what the drop to the user needs.
_NEEDED = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
_HOME = "/home"
_LOCALE = re.compile(r"LANG|LANGUAGE|LC_[A-Z]{1,20}")
_PLAIN = re.compile(r"[A-Za-z0-9_.@:-]{1,64}")
_WAYLAND = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class System:
    """The parts of this machine's layout that matter.

    programs
        Existing :data:`PROGRAMS` by name: a link's target, ``None`` for a directory.

    handlers
        Existing :data:`HANDLERS`.

    themes
        Existing :data:`THEMES`.

    resolver
        The target of /etc/resolv.conf, if it is outside /etc.

    registry
        Whether there is a :data:`REGISTRY`.
    """

    programs: Mapping[str, str | None]
    handlers: tuple[str, ...] = ()
    themes: tuple[str, ...] = ()
    resolver: str | None = None
    registry: bool = False


@dataclass(frozen=True)
class Session:
    """The parts of a user's desktop that a viewer gets.

    display, wayland
        Number of the X display for the viewer, or name of a Wayland socket: one of the two.

    cookie
        Whether a cookie for the X display is staged.

    sounds
        Existing :data:`SOUND` files.

    shared
        The place of the user's directory for files, if there is one.

    locale
        Variables of the language for messages.
    """

    display: str | None = None
    wayland: str | None = None
    cookie: bool = False
    sounds: tuple[str, ...] = ()
    shared: str | None = None
    locale: Mapping[str, str] = field(default_factory=dict)


def wayland_socket(text: str) -> str | None:
    """Return the name of a Wayland socket in the user's runtime directory; ``None`` for anything else."""
    return text if _WAYLAND.fullmatch(text) else None


def locale(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the language variables of an environment, if they hold nothing but a name."""
    return {name: value for name, value in environment.items() if _LOCALE.fullmatch(name) and _PLAIN.fullmatch(value)}


def environment(uid: int, user: str, session: Session) -> dict[str, str]:
    """Return the environment of a viewer. Anything that could make it start or load something else is off."""
    if session.wayland is None:
        desktop = {"DISPLAY": f":{session.display}", "GDK_BACKEND": "x11"}
        desktop.update({"XAUTHORITY": f"{_HOME}/.{COOKIE}"} if session.cookie else {})
    else:
        desktop = {"WAYLAND_DISPLAY": session.wayland, "GDK_BACKEND": "wayland"}
    if "pulse" in session.sounds:
        # Its library looks for it by itself only in a runtime directory that is the user's own.
        desktop["PULSE_SERVER"] = f"unix:/run/user/{uid}/{SOUND['pulse']}"
    return {
        **dict(session.locale),
        **desktop,
        "PATH": "/usr/bin:/bin",
        "HOME": _HOME,
        "USER": user,
        "LOGNAME": user,
        "XDG_RUNTIME_DIR": f"/run/user/{uid}",
        # No bus: neither the session's, which would start programs, nor that of assistive technologies.
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "DBUS_SYSTEM_BUS_ADDRESS": "disabled:",
        "NO_AT_BRIDGE": "1",
        "GSETTINGS_BACKEND": "memory",
        "GIO_USE_VFS": "local",
        "GIO_USE_VOLUME_MONITOR": "unix",
        "GTK_USE_PORTAL": "0",
    }


def drop(uid: int, gid: int) -> list[str]:
    """Return the words before a command by which root permanently becomes a user with one group."""
    # The sign keeps setpriv from taking a number for somebody's name.
    ids = [f"--reuid=+{uid}", f"--regid=+{gid}", "--clear-groups"]
    nothing = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    return [SETPRIV, *ids, *nothing, "--"]


def command(system: System, session: Session, uid: int, gid: int, program: Iterable[str], vm: str | None) -> list[str]:
    """Return the command by which root runs a program in a sandbox as a user with the viewer's group.

    program
        The program and its arguments.

    vm
        The vm whose staged connection file is in sight, if one is.
    """
    program = list(program)
    words = _with_programs(system)
    if not program[0].startswith(("/usr/", *(f"/{name}/" for name in system.programs))):
        words += _read_only(program[0])
    for directory in (*system.handlers, *([CONNECTIONS] if vm else [])):
        words += ["--tmpfs", directory]
    closed = system.themes if session.shared is not None else ()
    for directory in closed:
        words += ["--perms", "0000", "--tmpfs", directory]
    words += _directories("/home", "/tmp", "/run", "/var", "/var/cache")  # noqa: S108 - the sandbox's own
    words += ["--ro-bind-try", "/var/cache/fontconfig", "/var/cache/fontconfig"]
    words += _read_only(*filter(None, [system.resolver]))
    if system.registry:
        words += ["--ro-bind", REGISTRY, REGISTRY_SEEN, "--setenv", "GST_REGISTRY", REGISTRY_SEEN]
    words += _desktop(session, uid)
    if vm:
        words += ["--ro-bind", f"{STAGE}/{CONNECTION}", connection_file(vm)]
    for directory in ("/dev", *system.handlers, *closed, *([CONNECTIONS] if vm else []), "/"):
        words += ["--remount-ro", directory]
    return [*words, "--chdir", "/", "--", *drop(uid, gid), *program]


def registry_command(system: System, uid: int, program: Iterable[str]) -> list[str]:
    """Return the command by which root has plug-ins looked at: as a user of no other rights, and without a network.

    Only there something can be written, in memory, which is gone with the program that looks.
    """
    words = [*_with_programs(system), "--unshare-net", *_directories("/home"), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    words += ["--setenv", "GST_REGISTRY", REGISTRY_MADE, "--setenv", "HOME", _HOME]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*words, "--chdir", "/", "--", *drop(uid, uid), *program]


def _with_programs(system: System) -> list[str]:
    """Return the beginning of each sandbox: namespaces, capabilities, programs and devices."""
    words = [BUBBLEWRAP, *_NAMESPACES, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += [word for name in _NEEDED for word in ("--cap-add", name)]
    words += _read_only("/usr", "/etc")
    for name, target in system.programs.items():
        words += _read_only(f"/{name}") if target is None else ["--symlink", target, f"/{name}"]
    devices = (word for name in _DEVICES for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}"))
    return [*words, "--tmpfs", "/dev", *devices]


def shared_directory(user: str) -> str:
    """Return the place of a user's directory for files: where homes are, at its own path."""
    return f"{_HOME}/{user}/{SHARED}"


def _desktop(session: Session, uid: int) -> list[str]:
    runtime = f"/run/user/{uid}"
    words = _directories("/run/user", runtime)
    if session.shared is not None:
        words += _directories(session.shared.rpartition("/")[0])
        words += ["--bind", f"{STAGE}/{FILES}", session.shared]
    if session.display is not None:
        words += _directories("/tmp/.X11-unix")  # noqa: S108
        words += ["--ro-bind", f"{STAGE}/{DISPLAY}", f"/tmp/.X11-unix/X{session.display}"]  # noqa: S108
    if session.cookie:
        words += ["--ro-bind", f"{STAGE}/{COOKIE}", f"{_HOME}/.{COOKIE}"]
    if session.wayland is not None:
        words += ["--ro-bind", f"{STAGE}/{WAYLAND}", f"{runtime}/{session.wayland}"]
    for name in session.sounds:
        words += _directories(*([f"{runtime}/pulse"] if name == "pulse" else []))
        words += ["--ro-bind", f"{STAGE}/{name}", f"{runtime}/{SOUND[name]}"]
    return words


def _read_only(*paths: str) -> list[str]:
    return [word for path in paths for word in ("--ro-bind", path, path)]


def _directories(*paths: str) -> list[str]:
    return [word for path in paths for word in ("--perms", "0755", "--dir", path)]
