"""Commands that, run as root through sudo, would bypass or disable enforcement.

No sudo rule should allow them. The list has programs that a sudo rule is likely to name, with arguments that undo
something; it cannot have every program that can be made to do so. A user who may start a shell as root needs none of
them.
"""

from __future__ import annotations

from typing import NamedTuple

from spicegrants.core.paths import CLOCK, LOAD_GUARD, OPENER, STATE, SUDOERS, UNITS
from spicegrants.core.units import CLOCK_SERVICE, CLOCK_TIMER, GUARD_SERVICE, HOURLY_TIMER
from spicegrants.policy.model import Viewer

ANYTHING, SHELL = "any program", "a shell"
_DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin")
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "python3", "perl", "env")
_TABLES = (
    "iptables",
    "ip6tables",
    *(f"{name}-{how}" for name in ("iptables", "ip6tables") for how in ("nft", "legacy")),
)
# How a user becomes another.
_SU = ("USER", "- USER", "-l USER", "USER -c id", "- USER -c id", "-s /bin/sh USER", "-c id USER")
_RUNUSER = ("-u USER sh", "-u USER -- sh")
_SETPRIV = ("--reuid USER sh", "--reuid=USER sh")
# Windows of time hold by the clock on the wall.
_CLOCK = {
    "date": ("-s 12:00", "--set 12:00", "--set=12:00", "112412002026"),
    "timedatectl": ("set-time 12:00", "set-ntp false", "set-ntp no"),
    "hwclock": ("--hctosys", "-s"),
    "chronyc": ("settime 12:00", "makestep"),
    "ntpdate": ("192.0.2.1",),
}
_UNITS = (GUARD_SERVICE, CLOCK_SERVICE, CLOCK_TIMER, HOURLY_TIMER)
_FILES = (SUDOERS, "/etc/sudoers", OPENER, LOAD_GUARD, f"{UNITS}/{GUARD_SERVICE}", CLOCK, STATE)


class Call(NamedTuple):
    """A command that undoes something.

    does
        The command's effect, in words.

    programs
        Possible paths of the program.

    arguments
        Joined by blanks, as sudo compares them.
    """

    does: str
    programs: tuple[str, ...]
    arguments: str = ""


def shells() -> list[Call]:
    """Return calls that let users do whatever they like as the user who runs them."""
    found = [Call(SHELL, _paths(name), arguments) for name in _SHELLS for arguments in ("", "-c id")]
    return found + [Call(SHELL, _paths("su"), arguments) for arguments in ("", "-", "root", "- root")]


def as_another(user: str) -> list[Call]:
    """Return calls that, run as root, let the caller act as another user: by a shell, or by changing the password."""
    shell = f"acting as {user}"
    found = [Call(shell, _paths("su"), words.replace("USER", user)) for words in _SU]
    found += [Call(shell, _paths("runuser"), words.replace("USER", user)) for words in (*_SU, *_RUNUSER)]
    found += [Call(shell, _paths("setpriv"), words.replace("USER", user)) for words in _SETPRIV]
    found += [
        Call(shell, _paths("sudo"), f"-u {user} sh"),
        Call(shell, _paths("login"), f"-f {user}"),
        Call(shell, _paths("machinectl"), f"shell {user}@"),
    ]
    return [*found, Call(f"changing the password of {user}", _paths("passwd"), user)]


def trial_calls(viewer: Viewer) -> list[Call]:
    """Return the calls about which sudo itself is asked: one of each kind, run as root.

    Editing files is not among them: ``sudo -l`` takes sudoedit for a program like any other.
    """
    table, unit = _paths("iptables"), _UNITS[0]
    return [
        Call(ANYTHING, _paths("true"), "spice-grant"),
        Call(SHELL, _paths("sh")),
        *(Call(path, (path,), "--help") for path in viewer.paths),
        Call("the opener", (OPENER,), "--help"),
        Call("nft flush ruleset", _paths("nft"), "flush ruleset"),
        Call("iptables -F", table, "-F"),
        Call("ip netns exec", _paths("ip"), "netns exec x sh"),
        Call(f"systemctl stop {unit}", _paths("systemctl"), f"stop {unit}"),
    ]


def with_group(viewer: Viewer) -> list[Call]:
    """Return the calls about which sudo itself is asked with the viewer's group."""
    return [
        Call(ANYTHING, _paths("true"), "spice-grant"),
        Call(SHELL, _paths("sh")),
        *(Call(path, (path,), "--help") for path in viewer.paths),
    ]


def as_root(viewer: Viewer) -> list[Call]:
    """Return calls that undo something if root runs them."""
    found = shells()
    found += [Call("nft", _paths("nft"), arguments) for arguments in ("flush ruleset", "-f -", "-i")]
    found += [Call("nft", _paths("nft"), "delete table inet spice_grant")]
    for name in _TABLES:
        arguments = ("-F", "-F OUTPUT", "-X", "-I OUTPUT -j ACCEPT", "-D OUTPUT 1")
        found += [Call(name, _paths(name), words) for words in arguments]
        found += [Call(f"{name}-restore", _paths(f"{name}-restore"))]
    found += [Call("ip", _paths("ip"), words) for words in ("netns exec x sh", "rule flush", "route flush table 0")]
    for verb in ("stop", "disable", "mask", "edit", "kill"):
        found += [Call(f"systemctl {verb} of our units", _paths("systemctl"), f"{verb} {unit}") for unit in _UNITS]
    found += [Call("visudo", _paths("visudo")), Call("salt-call", _paths("salt-call"), "state.apply spice.absent")]
    found += [Call("changing root's password", _paths("passwd"), words) for words in ("", "root")]
    found += [Call("changing anybody's password", _paths("chpasswd"), words) for words in ("", "-e")]
    found += [Call("starting any program", _paths("systemd-run"), words) for words in ("sh", "--pty sh", "--scope sh")]
    for name, many in _CLOCK.items():
        found += [Call("changing the clock", _paths(name), words) for words in many]
    group = viewer.group
    for name, words in (("gpasswd", f"-a x {group}"), ("usermod", f"-aG {group} x")):
        found += [Call(f"changing who is in {group}", _paths(name), words)]
    for path in viewer.paths:
        for name, words in (("chmod", "0755"), ("chgrp", "users"), ("chown", "root:users")):
            found += [Call(f"{name} {path}", _paths(name), f"{words} {path}")]
    for path in _FILES:
        found += [Call(f"editing {path}", ("sudoedit",), path)]
        for name in ("vi", "vim", "nano", "tee", "rm"):
            found += [Call(f"{name} {path}", _paths(name), path)]
        for name in ("cp", "mv", "install", "ln"):
            found += [Call(f"{name} to {path}", _paths(name), f"x {path}")]
    return found


def _paths(name: str) -> tuple[str, ...]:
    return tuple(f"{directory}/{name}" for directory in _DIRECTORIES)
