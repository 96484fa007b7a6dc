"""Run programs: lists of words, a fixed environment, no shell."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from spicegrants.core.errors import CommandFailed, LiveStateUnreadable, SpiceGrantError, SystemFault

SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
# nft reads and prints times in its own zone; messages and numbers are wanted plain.
ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C", "TZ": "UTC"}
TIMEOUT = 120
# Seconds that a program may take.
LIMITS: list[float] = [TIMEOUT]
# Programs that timed out, and when: they are not tried again in the same run, or for so many seconds.
_silent: dict[str, float] = {}
_SPARED = 300


def find(program: str) -> str:
    """Return the path of a program; raise :class:`~spicegrants.core.errors.CommandFailed` if there is none."""
    path = _path(program)
    if path is None:
        raise _absent([program])
    return path


def need(*programs: str) -> None:
    """Raise :class:`~spicegrants.core.errors.CommandFailed` that names all of these programs that are missing."""
    absent = missing(*programs)
    if absent:
        raise _absent(absent)


def missing(*programs: str) -> list[str]:
    """Return those programs that are not installed."""
    return [program for program in programs if _path(program) is None]


def not_installed(programs: Sequence[str]) -> str:
    """Say that programs are not installed; empty for none."""
    return ", ".join(f"{program} is not installed" for program in programs)


def _absent(programs: Sequence[str]) -> CommandFailed:
    return CommandFailed(f"{not_installed(programs)} (looked in {SEARCH})", programs)


def _path(program: str) -> str | None:
    for directory in SEARCH.split(":"):
        path = os.path.join(directory, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Limit the seconds that programs may take."""
    LIMITS.append(seconds)
    try:
        yield
    finally:
        LIMITS.pop()


def afresh() -> None:
    """Begin a run: programs that did not answer in the one before are tried again."""
    _silent.clear()


def attempt(command: list[str], *, text: str | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run a program and return its result, whatever its exit code.

    text
        Its standard input; nothing by default.

    options
        Passed to :func:`subprocess.run`.
    """
    line = [find(command[0]), *command[1:]]
    if command[0] in _silent and time.monotonic() < _silent[command[0]] + _SPARED:
        raise CommandFailed(f"{command[0]} cannot be run: it has not answered before")
    # What a program prints is in no encoding that one could rely on.
    arguments: dict[str, Any] = {"encoding": "utf-8", "errors": "replace", "timeout": LIMITS[-1], **options}
    arguments.update({"input": text} if text is not None else {"stdin": subprocess.DEVNULL})
    try:
        return subprocess.run(line, capture_output=True, env=ENVIRONMENT, cwd="/", check=False, **arguments)
    except subprocess.TimeoutExpired as error:
        _silent[command[0]] = time.monotonic()
        raise CommandFailed(f"{command[0]} has not answered within {error.timeout:.0f} s") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error}") from error


def run(command: list[str], *, text: str | None = None, **options: Any) -> str:
    """Run a program that must succeed; return its output."""
    result = attempt(command, text=text, **options)
    if result.returncode:
        message = (result.stderr or result.stdout).strip()[:2000]
        raise CommandFailed(f"{' '.join(command[:4])} ended with {result.returncode}: {message}")
    return result.stdout


def as_json(printed: str, command: str, kind: type = dict) -> Any:
    """Parse a program's output as JSON.

    kind
        The type that it must have.
    """
    try:
        found = json.loads(printed)
    except (ValueError, RecursionError) as error:
        raise LiveStateUnreadable(f"{command} printed what is no JSON: {error}") from error
    if not isinstance(found, kind):
        raise LiveStateUnreadable(f"{command} printed JSON of another kind than it does")
    return found


@contextlib.contextmanager
def understood(program: str) -> Iterator[None]:
    """Raise ``LiveStateUnreadable`` where the output of a program cannot be parsed."""
    try:
        yield
    except SpiceGrantError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise LiveStateUnreadable(f"{program} printed something else than it does ({what})") from error


def as_root() -> None:
    """Raise unless the process runs as root."""
    if os.geteuid() != 0:
        raise SystemFault("this needs root: it reads and writes firewall, sudoers and the viewer's rights")
