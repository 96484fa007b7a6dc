"""Scripts that run in machines with Salt imported already: forks of a :mod:`scene.forkserver`, one for each process."""

import contextlib
import functools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

from scene.forkserver import LONGEST
from scene.machine import SceneError, descendants

PATIENCE = 60  # seconds for what takes none


class Worker:
    """A script that runs in a machine; ``stdin`` and ``stdout`` are pipes to it."""

    def __init__(self, pid, stdin, stdout):
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self._handle = os.pidfd_open(pid)

    def ended(self, timeout=0):
        """Tell whether the script has ended, or ends within ``timeout`` seconds."""
        return bool(select.select([self._handle], [], [], timeout)[0])

    def kill(self):
        """Kill the script and all its descendants."""
        for pid in [] if self.ended() else [*descendants(self.pid), self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.ended(PATIENCE)
        os.close(self._handle)
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()


@functools.lru_cache
def _server(owner):
    """Return the connection to this process's server, which starts with the first call."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, pathlib.Path(__file__).with_name("forkserver.py"), str(theirs.fileno())]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd="/"
        )
    return ours, process


def start(machine, script, *words, stderr):
    """Run a Python script in a machine, as root; return the :class:`Worker`.

    stderr
        A file for the script's standard error.
    """
    connection, _ = _server(os.getpid())
    request = {
        "machine": machine.pid,
        "argv": [str(script), *map(str, words)],
        "env": machine.environment("root"),
    }
    (stdin, to_it), (from_it, stdout) = os.pipe(), os.pipe()
    try:
        socket.send_fds(connection, [json.dumps(request).encode()], [stdin, stdout, stderr.fileno()])
        answer = connection.recv(LONGEST)
    finally:
        os.close(stdin)
        os.close(stdout)
    streams = os.fdopen(to_it, "wb"), os.fdopen(from_it, "rb")
    try:
        return Worker(int(answer), *streams)
    except (OSError, ValueError) as error:
        for stream in streams:
            stream.close()
        raise SceneError(f"no Salt in {machine.name}: {answer.decode(errors='replace') or error}") from error
