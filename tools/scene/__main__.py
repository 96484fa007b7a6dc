"""``python -m scene run -- COMMAND``: run a command in a fresh machine, with this terminal, directory, environment."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time

from scene.machine import Machine, Process, SceneError

GRACE = 10  # seconds that the command has to end after a signal


def _end(process, inner, number):
    """Forward a signal to the command, and give it time to end."""
    # One of the terminal has reached it already.
    if number != signal.SIGINT:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
    deadline = time.monotonic() + GRACE
    inner = inner or process.inner()
    while inner is not None and os.path.exists(f"/proc/{inner}") and time.monotonic() < deadline:
        time.sleep(0.02)


def _followed(process, received):
    """Wait for the command's end, or for a signal; return the exit code in subprocess's form."""
    inner = None
    while process.poll() is None:
        inner = inner or process.inner()
        if received:
            _end(process, inner, received[0])
            return -received[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    return process.returncode


def run(name, argv):
    """Run the command in a machine; return its exit code, or 128 + number of the signal that ended it."""
    # Noted, not raised: a signal may come while the command is just being started.
    received = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        with Machine(name) as machine:
            env = {**os.environ, "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1"}
            # Descriptors that this process was given are the command's as well.
            process = Process(machine.enter(argv, cwd=os.getcwd()), env=env, close_fds=False)
            code = _followed(process, received)
    except SceneError as err:
        print(f"scene: {err}", file=sys.stderr)
        return 125
    return code if code >= 0 else 128 - code


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m scene", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="run a command in a fresh machine and pass on its exit code")
    runner.add_argument("--name", default="scene", help="host name of the machine")
    runner.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    options = parser.parse_args(argv)
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        parser.error("no command")
    return run(options.name, argv)


if __name__ == "__main__":
    sys.exit(main())
