"""Ask sudo's own tools whether a tree parses, what it holds, and who may run which commands."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterable
from typing import Any, TypedDict

from spicegrants.core.entries import File
from spicegrants.core.errors import CommandFailed, LiveStateUnreadable, SystemFault
from spicegrants.core.paths import SUDOERS
from spicegrants.host import background, disk, mounts, run
from spicegrants.schedule.intervals import contains
from spicegrants.sudo import sudo_rs, sudoers
from spicegrants.sudo.commands import SudoRule

# As the site has it, and as openSUSE's package has it: sudo takes the first that there is.
_MAINS = ("/etc/sudoers", "/usr/etc/sudoers")


class Traits(TypedDict):
    """Properties of sudo that the compiler must know, by their names in the inventory."""

    sudo_rs: bool
    sudo_opens_early: bool
    sudo_intercepts: bool


def traits() -> Traits:
    """Return the properties of this machine's sudo."""
    reported = version()
    return {
        "sudo_rs": sudo_rs.is_sudo_rs(reported),
        "sudo_opens_early": sudoers.opens_early(reported),
        "sudo_intercepts": sudoers.intercepts(reported),
    }


# What it says, whatever it answers, where this machine's own name is not known.
_NAMELESS = ": unable to resolve host "
# What the program said that was asked last: a run asks several times.
_versions: dict[tuple[str, int, int, int], str] = {}


def main() -> str:
    """Return the path of sudo's main file."""
    return next(filter(os.path.exists, _MAINS), _MAINS[0])


def is_rs() -> bool:
    """Tell whether sudo is sudo-rs; false without any sudo."""
    return sudo_rs.is_sudo_rs(version())


def version() -> str:
    """Return the version that sudo reports; empty without any sudo."""
    path = shutil.which("sudo", path=run.SEARCH)
    if path is None:
        return ""
    status = os.stat(path)
    key = (path, status.st_dev, status.st_ino, status.st_mtime_ns)
    if key not in _versions:
        result = run.attempt(["sudo", "--version"])
        # sudo-rs 0.2.5 says it on standard error.
        output = result.stdout or result.stderr
        if result.returncode:
            return output
        _versions.clear()
        _versions[key] = output
    return _versions[key]


def tree(ours: str | None = None) -> dict[str, Any]:
    """Return the whole tree as cvtsudoers(1) parses it.

    ours
        Text to use in place of our file, where that can be done. Defaults to the installed one; with many rules it
        takes long to read.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if it does not parse, or if there is no cvtsudoers.
    """
    command = ["cvtsudoers", "-f", "json", main()]
    if ours is not None:
        # Where no mount namespace can be made, all is read.
        with contextlib.suppress(CommandFailed):
            return parsed(_staged(ours, command))
    return parsed(run.run(command))


def own_tree() -> dict[str, Any] | None:
    """Return our installed file as cvtsudoers parses it; ``None`` if it is missing or does not parse.

    With sudo-rs, which has no such tool, our own rules are returned in that form.
    """
    found = disk.read(SUDOERS)
    if not isinstance(found, File):
        return None
    if is_rs():
        return sudo_rs.tree(found.content.decode(errors="replace"))
    result = run.attempt(["cvtsudoers", "-f", "json", SUDOERS])
    return parsed(result.stdout) if result.returncode == 0 else None


def parsed(printed: str) -> dict[str, Any]:
    """Return the tree in cvtsudoers' output, which is empty for a file without any rule."""
    if not printed.strip():
        return {}
    tree = run.as_json(sudoers.mend(printed), "cvtsudoers")
    if not sudoers.is_tree(tree):
        raise LiveStateUnreadable("cvtsudoers printed what is no tree of sudoers")
    return sudoers.normalize(tree)


def check(text: str) -> None:
    """Check that our file with this text parses, alone and in the tree.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if it does not.

    visudo sees the tree as it would be, in a mount namespace of its own with a copy of the directory in memory. Nothing
    is written where sudo could read it, and nothing is left behind, however this ends.

    sudo-rs skips a line that it does not accept. So a tree that it refuses even without our file is no reason to keep
    ours from closing something.
    """
    check_alone(text)
    whole = [_visudo(), "-c", "-f", main()]
    try:
        _staged(text, whole)
    except CommandFailed:
        if not is_rs() or _accepts("", whole):
            raise


def check_alone(text: str) -> None:
    """Check that our file with this text parses by itself, whatever other files hold.

    Raises :class:`~spicegrants.core.errors.CommandFailed` if it does not.
    """
    run.run([_visudo(), "-c", "-f", "/dev/stdin" if is_rs() else "-"], text=text)


def _visudo() -> str:
    return "visudo-rs" if is_rs() and shutil.which("visudo-rs", path=run.SEARCH) else "visudo"


def _accepts(text: str, command: list[str]) -> bool:
    try:
        _staged(text, command)
    except CommandFailed:
        return False
    return True


def _staged(text: str, command: list[str]) -> str:
    """Run a program that sees the tree with this text as our file; return its output."""
    directory = os.path.dirname(SUDOERS)
    # It may be a link of root's.
    if not os.path.isdir(directory):
        raise SystemFault(f"there is no directory {directory}: is sudo installed?")
    copies = _copies(directory)
    copies[os.path.basename(SUDOERS)] = (text.encode(), 0o440, 0, 0)

    def staged() -> str:
        try:
            mounts.own_namespace()
            mounts.in_memory(directory)
            for name, (content, mode, uid, gid) in copies.items():
                descriptor = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "wb") as stream:
                    stream.write(content)
                    os.fchown(descriptor, uid, gid)
                    os.fchmod(descriptor, mode)
        except OSError as error:
            raise CommandFailed(f"{command[0]} cannot be run in a mount namespace of its own: {error}") from error
        return run.run(command)

    try:
        return background.apart(staged)
    except RuntimeError as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error}") from error


def _copies(directory: str) -> dict[str, tuple[bytes, int, int, int]]:
    """Return the other files in our file's directory."""
    copies = {}
    for name in disk.names_in(directory):
        path = f"{directory}/{name}"
        if path == SUDOERS:
            continue
        try:
            status = os.stat(path)
            if status.st_size > disk.LARGEST:
                raise SystemFault(f"{path} is too large for a file of sudoers: {status.st_size} bytes")
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as stream:
                    content = stream.read()
                copies[name] = (content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        except FileNotFoundError:
            # A link to nothing: sudo passes over it as well.
            continue
        except OSError as error:
            raise SystemFault(f"{path} cannot be read: {error}") from error
    return copies


def included(whole: dict[str, Any]) -> bool:
    """Tell whether the whole tree includes our file."""
    return sudoers.ALIAS in whole.get("Command_Aliases", {})


def heeds(rules: Iterable[SudoRule], now: int) -> bool:
    """Tell whether sudo heeds our file, by its answer about the first of the rules that holds now."""
    holding = (rule for rule in rules if contains(rule.windows, now))
    return all(allows(rule.user, rule.call) for rule in itertools.islice(holding, 1))


def allows(user: str, call: list[str]) -> bool:
    """Tell whether sudo would let a user make a call (options and command, as after ``sudo``)."""
    return bool(answer(user, call))


def answer(user: str, call: list[str]) -> bool | None:
    """Tell the same; ``None`` if sudo does not answer root, as with ``Defaults !root_sudo`` or ``requiretty``.

    A refusal is silent; a user who may not ask gets a message.
    """
    options = []
    words = list(call)
    while words and words[0] in ("-u", "-g"):
        options += [words.pop(0), words.pop(0)]
    result = run.attempt(["sudo", "-n", "-l", "-U", user, *options, "--", *words])
    if result.returncode not in (0, 1):
        raise CommandFailed(f"sudo -l ended with {result.returncode}: {result.stderr.strip()[:500]}")
    messages = [line for line in result.stderr.splitlines() if line.strip() and _NAMELESS not in line]
    return None if result.returncode and messages else result.returncode == 0
