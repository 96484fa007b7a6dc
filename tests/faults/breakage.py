"""What a run calls and reads, broken in each way: programs, files and directories of a workstation."""

import contextlib
import shutil

from scene.machine import ROOT_PATH

# What stands in a program's place. The rest of a call goes to the program itself.
PROGRAMS = {
    "missing": None,
    "fails": "echo cannot >&2; exit 1",
    "garbage": "echo '{garbage'",
    "cut": 'output=$(PATH.away "$@"); code=$?; printf %s "$output" | head -c $((${#output} / 2)); exit $code',
    "bytes": r"""printf '\377\374B\374ro\n'; PATH.away "$@"; code=$?; printf '\377\n'; exit $code""",
    "hangs": "exec sleep 600",
}
# What stands in a file's or directory's place.
FILES = ("gone", "a link", "a directory", "a fifo", "empty", "bytes", "large")
LARGE = 2**30


@contextlib.contextmanager
def program(machine, name, how):
    """A program that is broken in one of these ways, or another script in its place."""
    path = shutil.which(name, path=ROOT_PATH)
    machine.run(["mv", path, f"{path}.away"])
    try:
        text = PROGRAMS.get(how, how)
        if text is not None:
            machine.write(path, f"#!/bin/sh\n{text.replace('PATH', path)}\n", mode=0o755)
        yield
    finally:
        machine.run(["mv", "-f", f"{path}.away", path])


@contextlib.contextmanager
def file(machine, path, how):
    """A file, or a directory, that is something else, or holds other bytes."""
    there = machine.path(path, follow=False).exists()
    if there:
        machine.run(["mv", path, f"{path}.away"])
    try:
        _put(machine, path, how)
        yield
    finally:
        machine.run(["rm", "-rf", path])
        if there:
            machine.run(["mv", f"{path}.away", path])


def _put(machine, path, how):
    if how == "a link":
        machine.run(["ln", "-s", f"{path}.away", path])
    elif how == "a directory":
        machine.run(["mkdir", path])
    elif how == "a fifo":
        machine.run(["mkfifo", path])
    elif how in ("empty", "large"):
        machine.run(["truncate", f"--size={LARGE if how == 'large' else 0}", path])
    elif how == "bytes" or isinstance(how, bytes):
        content = how if isinstance(how, bytes) else b"\xff\xfe\x00B\xfcro\n" * 3
        machine.path(path, follow=False).write_bytes(content)
