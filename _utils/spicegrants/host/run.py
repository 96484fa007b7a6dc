"""Runs programs: lists of words, a fixed environment, no shell."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from spicegrants.errors import CommandFailed, LiveStateUnreadable, SystemFault

SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
# nft reads and prints times in its own zone; messages and numbers are wanted plain.
ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C", "TZ": "UTC"}
TIMEOUT = 120


def find(program: str) -> str:
    """Return the path of a program; raise :class:`~spicegrants.errors.CommandFailed` if there is none."""
    for directory in SEARCH.split(":"):
        path = os.path.join(directory, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise CommandFailed(f"{program} is not installed (looked in {SEARCH})")


def attempt(command: list[str], *, text: str | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run a program and return how it ended, whatever its exit code.

    text
        What it gets as standard input; nothing by default.

    options
        Passed to :func:`subprocess.run`.
    """
    line = [find(command[0]), *command[1:]]
    given: dict[str, Any] = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
    given.update(options)
    try:
        return subprocess.run(
            line, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", timeout=TIMEOUT, check=False, **given
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error}") from error


def run(command: list[str], *, text: str | None = None, **options: Any) -> str:
    """Run a program that must succeed; return what it printed."""
    done = attempt(command, text=text, **options)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[:2000]
        raise CommandFailed(f"{' '.join(command[:4])} ended with {done.returncode}: {said}")
    return done.stdout


def as_json(printed: str, command: str) -> Any:
    """Read what a program printed as JSON."""
    try:
        return json.loads(printed)
    except ValueError as error:
        raise LiveStateUnreadable(f"{command} printed what is no JSON: {error}") from error


def as_root() -> None:
    """Raise unless the process is root's."""
    if os.geteuid() != 0:
        raise SystemFault("this needs root: it reads and writes firewall, sudoers and the viewer's rights")
