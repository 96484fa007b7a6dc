"""``python -m scene run -- COMMAND``: run a command in a fresh machine, with this terminal, directory, environment."""

import argparse
import contextlib
import os
import signal
import sys
import time

from scene.machine import Machine, Process, SceneError

GRACE = 10  # seconds that the command has to end after a signal


class _Signalled(BaseException):
    def __init__(self, number):
        self.number = number
        super().__init__(number)


def _raise(number, frame):
    raise _Signalled(number)


def _wait_gone(pid, seconds):
    deadline = time.monotonic() + seconds
    while pid is not None and os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.02)


def run(name, argv):
    """Run the command in a machine; return its exit code, or 128 + number of the signal that ended it."""
    inner = None
    try:
        with Machine(name) as machine:
            env = {**os.environ, "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1"}
            process = Process(machine.enter(argv, cwd=os.getcwd()), env=env)
            try:
                while inner is None and process.poll() is None:
                    inner = process.inner()
                    time.sleep(0.002)
                code = process.wait()
            except _Signalled as caught:
                # A signal of the terminal has reached the command already.
                if caught.number != signal.SIGINT:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(caught.number)
                _wait_gone(inner or process.inner(), GRACE)
                code = -caught.number
    except SceneError as err:
        print(f"scene: {err}", file=sys.stderr)
        return 125
    return code if code >= 0 else 128 - code


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scene", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="run a command in a fresh machine and pass on its exit code")
    runner.add_argument("--name", default="scene", help="host name of the machine")
    runner.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    options = parser.parse_args(argv)
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        parser.error("no command")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise)
    return run(options.name, argv)


if __name__ == "__main__":
    sys.exit(main())
