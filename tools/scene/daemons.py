"""Salt's daemons in machines, set up as its packages do it: configured in /etc/salt, logging to /var/log/salt."""

import json
import pathlib
import subprocess
import sys

from scene.machine import SceneError

ETC = "/etc/salt"
# Salt 3008's workers import in two threads. Both drop the entry of a path of Python's that leads nowhere, one of them
# stumbles over it, and the worker answers nobody from then on. So that path leads to an archive without a file.
ARCHIVES = [path for path in sys.path if path.endswith(".zip")]
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)
QUICK = {"enable_fqdns_grains": False, "enable_gpu_grains": False, "log_granular_levels": {"asyncio": "critical"}}


class Daemon:
    """``salt-master`` or ``salt-minion``; ``options`` is the main file, and ``included`` holds files beside it."""

    def __init__(self, machine, kind, options, included=()):
        self.machine, self.kind = machine, kind
        self._process = None
        for path in ARCHIVES:
            machine.write(path, EMPTY_ARCHIVE)
        machine.write(f"{ETC}/{kind}", json.dumps(options, indent=1) + "\n")
        for path in map(pathlib.Path, included):
            machine.write(f"{ETC}/{kind}.d/{path.name}", path.read_bytes())
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    @property
    def runs(self):
        """Tell whether the daemon's first process exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        """The PID of the daemon's first process, as the host counts."""
        return self._process.inner()

    def start(self):
        """Start the daemon; it takes some seconds until it answers."""
        self._process = self.machine.popen(
            script(f"salt-{self.kind}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self):
        """Kill the daemon with all its processes, as when the power fails."""
        if self._process is not None:
            self._process.kill_tree()
            self._process.wait()

    def log(self):
        """Return the daemon's log."""
        try:
            return self.machine.read(f"/var/log/salt/{self.kind}")
        except FileNotFoundError:
            return ""


class Master(Daemon):
    """A master that accepts every minion's key."""

    def __init__(self, machine, options=None, included=()):
        super().__init__(
            machine,
            "master",
            {"auto_accept": True, "worker_threads": 3, "log_level": "warning", **(options or {})},
            included,
        )

    def salt(self, function, *words, target="*", check=True, timeout=120):
        """Run ``salt '*' FUNCTION ...``, or on some minions; return the answers by minion, and the exit code."""
        return self._run(["salt", "--static", f"--timeout={timeout}", target, function, *words], check)

    def salt_run(self, function, *words, check=True):
        """Run ``salt-run FUNCTION ...``; return its result, and the exit code."""
        return self._run(["salt-run", function, *words], check)

    def _run(self, command, check):
        asked = [*script(command[0]), "--out=json", *command[1:]]
        done = self.machine.run(asked, check=False, timeout=300)
        try:
            data = json.loads(done.stdout or "null")
        except ValueError as err:
            raise SceneError(f"{' '.join(command)} said {done.stdout}{done.stderr}") from err
        if check and done.returncode != 0:
            raise SceneError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return data, done.returncode


def script(name):
    """Return the command for one of Salt's programs in a machine."""
    return [sys.executable, str(pathlib.Path(sys.executable).with_name(name))]
