"""The opener: sudo starts it for a user; it starts the confined viewer on one console that they may open now.

No word of the user is believed: of their environment only the names of a display and of a language are used, and the
objects that they name are opened with the user's own rights. Anything that cannot be determined opens nothing.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spicegrants.core import languages, validation
from spicegrants.core.accounts import Account
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.languages import say
from spicegrants.core.paths import STATE, connection_file
from spicegrants.host import disk, mounts, run
from spicegrants.policy import state_file, ticket_protocol
from spicegrants.policy.model import Policy
from spicegrants.viewer import admission, connection_text, sandbox, xauth
from spicegrants.viewer.live import caller, confinement, desktop_session, read_once, recording, ticket

# Exit codes. That of a viewer that ended by itself with an error is not passed on.
ENDED, REFUSED, WRONG_USAGE, IMPOSSIBLE, FAILED, NO_DESKTOP = range(6)
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
# What a user may have set to hinder root's work; and no core file: there may be a password in it. One byte is a limit
# that the kernel heeds also where it hands cores to a program.
_LIMITS = {
    resource.RLIMIT_AS: _UNLIMITED,
    resource.RLIMIT_CPU: _UNLIMITED,
    resource.RLIMIT_DATA: _UNLIMITED,
    resource.RLIMIT_FSIZE: _UNLIMITED,
    resource.RLIMIT_STACK: (8 * 2**20, resource.RLIM_INFINITY),
    resource.RLIMIT_NOFILE: (1024, 4096),
    resource.RLIMIT_CORE: (1, 1),
}


def main() -> int:
    """Open a console; return the exit code. Hindrances are one line on standard error."""
    environment = dict(os.environ)
    language = languages.chosen(environment)
    name = ""
    try:
        if os.getresuid() != (0, 0, 0):
            raise SystemFault("this is for sudo to start")
        _clean()
        arguments = sys.argv[1:]
        if len(arguments) != 1 or validation.object_name(arguments[0]):
            return _report(WRONG_USAGE, "usage: open NAME, through sudo")
        name = arguments[0]
        account, gid, policy, refusal = _request(name, environment, language)
        if refusal:
            recording.refused(policy, account, name, "opener", refusal.why)
            return _report(REFUSED, refusal.text)
        hindrance = recording.launch(policy, account, name)
        if hindrance:
            # What is wrong with the machine is in English.
            why = say(language, "it could not be recorded, as it must be: {why}", why=hindrance)
            return _report(IMPOSSIBLE, say(language, "{name} cannot be opened: {why}.", name=name, why=why))
        return _open(name, account, gid, policy, environment, language)
    except (SpiceGrantError, OSError, ValueError) as error:
        # What is wrong with the machine is for its administrator: that is in English.
        name = name or say(language, "the console")
        text = say(language, "{name} cannot be opened: {why}. Tell your administrator.", name=name, why=error)
        return _report(IMPOSSIBLE, text)


def _report(code: int, message: str) -> int:
    line = "".join(character if character.isprintable() else " " for character in message)
    # Standard error may be closed, or full.
    with contextlib.suppress(OSError):
        os.write(2, f"rviewer: {line}\n".encode())
    return code


def _clean() -> None:
    """Give up everything inherited from the user's processes: descriptors, limits, signals, timers, mask, directory."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for limit, values in _LIMITS.items():
        # In a container root may lack the right to raise what somebody had limited.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, values)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Who reads what is said may be gone, or its file be full: that must not decide how this ends.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    os.chdir("/")


class _Refusal(NamedTuple):
    """What a refused user reads, and the reason in English."""

    text: str
    why: str


def _request(vm: str, environment: Mapping[str, str], language: str) -> tuple[Account, int, Policy, _Refusal | None]:
    """Return the caller, the viewer's GID, the policy, and why the caller may not open the console, if so."""
    uid = environment.get("SUDO_UID", "")
    if not (uid.isascii() and uid.isdigit() and int(uid) > 0):
        raise SystemFault("it is not sudo that started this for a user")
    try:
        entry = pwd.getpwuid(int(uid))
        if pwd.getpwnam(entry.pw_name).pw_uid != entry.pw_uid or environment.get("SUDO_USER") != entry.pw_name:
            raise SystemFault(f"UID {uid} and {entry.pw_name!r} are not the same account to all who were asked")
        stored = state_file.load_one(disk.read_text(STATE), entry.pw_name, vm)
        if stored.policy is None:
            raise SystemFault(f"there is no {STATE}: run state.apply spice")
        gid = grp.getgrnam(stored.policy.viewer.group).gr_gid
    except (KeyError, OverflowError) as error:
        raise SystemFault(f"account or group is not known: {error}") from error
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    now = int(time.time())
    why = admission.refusal(stored, gid, account, vm, now, language)
    if why is None:
        return account, gid, stored.policy, None
    whom = admission.whom(stored, account, vm, language)
    text = say(language, "{name} cannot be opened: {why}. Ask {whom}.", name=vm, why=why, whom=whom)
    return account, gid, stored.policy, _Refusal(text, admission.refusal(stored, gid, account, vm, now) or "")


def _open(vm: str, account: Account, gid: int, policy: Policy, environment: Mapping[str, str], language: str) -> int:
    """Start the viewer; without a desktop do all that comes before that, so that this can be tried."""
    mounts.own_namespace()
    seen = _look(account, environment, policy.vms[vm].allow)
    connection = _connection(vm)
    # Before the store is out of sight, where the key lies.
    if seen.desktop and policy.gives_tickets(vm):
        answer = ticket.ask(policy, account.name, vm)
        if answer.ticket is None:
            why = ticket.refusal(policy, answer, language)
            recording.refused(policy, account, vm, "host", ticket.refusal(policy, answer, languages.ENGLISH))
            return _report(REFUSED, say(language, "{name} cannot be opened: {why}.", name=vm, why=why))
        connection = connection_text.with_ticket(connection, answer.ticket)
    desktop = _staged(seen, account, gid, environment)
    _put(sandbox.CONNECTION, connection, gid)
    layout = confinement.layout()
    trial = sandbox.command(layout, desktop or sandbox.Session(), account.uid, gid, [sandbox.SETPRIV, "--version"], vm)
    if desktop is None:
        if (result := run.attempt(trial)).returncode:
            raise _impossible(result)
        text = say(language, "there is no desktop of this machine: neither DISPLAY nor WAYLAND_DISPLAY names one")
        return _report(NO_DESKTOP, text)
    options = [f"--spice-shared-dir={desktop.shared}"] if desktop.shared else []
    program = [policy.viewer.paths[0], *options, "--", connection_file(vm)]
    command = sandbox.command(layout, desktop, account.uid, gid, program, vm)
    code = _run(command, sandbox.environment(account.uid, account.name, desktop), account.uid)
    if code is None:
        raise _impossible(run.attempt(trial))
    if policy.gives_tickets(vm) and (text := _thrown_out(policy, account, vm, language)):
        return _report(REFUSED, text)
    if code == 0:
        return ENDED
    text = say(language, "the viewer ended with {code}", code=code)
    # It may have ended because the display wants the cookie.
    if seen.problem:
        text += "; " + say(language, "the file with your display's cookies {problem}", problem=seen.problem)
    return _report(FAILED, text)


def _thrown_out(policy: Policy, account: Account, vm: str, language: str) -> str:
    """Say why the KVM host has ended a session; empty if it has not, or cannot be asked."""
    try:
        # The viewer has ended, and the key lies under what was staged for it.
        mounts.uncover(sandbox.STAGE)
        answer = ticket.ask(policy, account.name, vm, ticket_protocol.WHY)
    except (SystemFault, OSError):
        return ""
    if answer.refusal not in ticket.ENDS:
        recording.ended(account, vm, "")
        return ""
    recording.ended(account, vm, ticket.refusal(policy, answer, languages.ENGLISH))
    return say(language, "{name} was closed: {why}.", name=vm, why=ticket.refusal(policy, answer, language))


def _impossible(result: subprocess.CompletedProcess) -> SystemFault:
    return SystemFault(f"no sandbox can be made: {' '.join(result.stderr.split())[:200]}")


class _Look(NamedTuple):
    """What was found of a user's desktop: descriptors by staged name, its display or Wayland socket, and its cookie.

    problem
        What is wrong with the user's file of cookies, if anything is.
    """

    found: Mapping[str, int]
    display: str | None
    wayland: str | None
    cookie: bytes | None
    problem: str | None

    @property
    def desktop(self) -> bool:
        """Tell whether there is a desktop."""
        return (self.display, self.wayland) != (None, None)


def _look(account: Account, environment: Mapping[str, str], allow: Sequence[str]) -> _Look:
    home = pwd.getpwuid(account.uid).pw_dir
    display = xauth.display_number(environment.get("DISPLAY", ""))
    wayland = sandbox.wayland_socket(environment.get("WAYLAND_DISPLAY", ""))
    paths = {name: (path, stat.S_IFSOCK) for name, path in _sockets(account.uid, display, wayland).items()}
    if sandbox.FILES in allow:
        paths[sandbox.FILES] = (f"{home}/{sandbox.SHARED}", stat.S_IFDIR)
    cookies = environment.get("XAUTHORITY") or f"{home}/.Xauthority"
    found, cookie, problem = desktop_session.look(account, paths, cookies, display)
    wayland = wayland if sandbox.WAYLAND in found else None
    display = display if sandbox.DISPLAY in found and wayland is None else None
    return _Look(found, display, wayland, None if display is None else cookie, problem)


def _staged(seen: _Look, account: Account, gid: int, environment: Mapping[str, str]) -> sandbox.Session | None:
    """Put the viewer's view of the user's desktop where only root, and then the viewer, can see it.

    Returns the desktop; ``None`` if there is none.
    """
    # Programs look for a display's abstract socket first, and who may listen there is anybody: where the X server does
    # not, another user could. So the viewer knows it by a number that nobody can tell.
    number = None if seen.display is None else str(int.from_bytes(os.urandom(4), "big") >> 1)
    mounts.in_memory(sandbox.STAGE)
    if not seen.desktop:
        return None
    for name, descriptor in seen.found.items():
        if name == sandbox.FILES:
            os.mkdir(f"{sandbox.STAGE}/{name}")
            mounts.bind_data(descriptor, f"{sandbox.STAGE}/{name}")
        else:
            _put(name, b"", gid)
            mounts.bind(descriptor, f"{sandbox.STAGE}/{name}")
        os.close(descriptor)
    if seen.cookie is not None:
        _put(sandbox.COOKIE, xauth.file_of(seen.cookie), gid)
    sounds = tuple(name for name in sandbox.SOUND if name in seen.found)
    shared = sandbox.shared_directory(account.name) if sandbox.FILES in seen.found else None
    locale = sandbox.locale(environment)
    return sandbox.Session(number, seen.wayland, seen.cookie is not None, sounds, shared, locale)


def _connection(vm: str) -> bytes:
    content = disk.read_text(connection_file(vm))
    if content is None:
        raise SystemFault(f"there is no {connection_file(vm)}: run state.apply spice")
    return content


def _sockets(uid: int, display: str | None, wayland: str | None) -> dict[str, str]:
    """Return the paths of a desktop's sockets, if there are any, by their staged names."""
    runtime = f"/run/user/{uid}"
    found = {name: f"{runtime}/{path}" for name, path in sandbox.SOUND.items()}
    if wayland is not None:
        found[sandbox.WAYLAND] = f"{runtime}/{wayland}"
    if display is not None:
        found[sandbox.DISPLAY] = f"/tmp/.X11-unix/X{display}"  # noqa: S108 - where X servers have them
    return found


def _put(name: str, content: bytes, gid: int) -> None:
    """Write a file that only the viewer can read."""
    descriptor = os.open(f"{sandbox.STAGE}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as stream:
        os.fchown(descriptor, 0, gid)
        os.fchmod(descriptor, 0o640)
        stream.write(content)


def _run(command: Sequence[str], environment: Mapping[str, str], uid: int) -> int | None:
    """Run a sandbox in a session of its own until it ends; return its program's exit code, ``None`` if none ran.

    Once its viewer has read the staged connection file, the file is emptied. The sandbox ends with the user's
    ``rviewer``.
    """
    caller_ended = caller.descriptor(uid)
    connection = read_once.Once(f"{sandbox.STAGE}/{sandbox.CONNECTION}")
    reading, writing = os.pipe()
    with open(reading, "rb") as status:
        process = subprocess.Popen(
            [command[0], "--json-status-fd", str(writing), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd="/",
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        statuses = [
            json.loads(line) for line in connection.heed(status.fileno(), caller_ended, process.kill).splitlines()
        ]
        process.wait()
    return next((entry["exit-code"] for entry in statuses if "exit-code" in entry), None)
