"""A masterless minion in a machine, straight from the checkout."""

import json
import os
import pathlib
import select
import sys
import time

from scene import workers
from scene.machine import CHECKOUT, CommandTimeout, SceneError

CONF = "/etc/salt-scene"
LOADER_DIRS = {
    "module_dirs": "_modules",
    "states_dirs": "_states",
    "utils_dirs": "_utils",
    "beacons_dirs": "_beacons",
    "runner_dirs": "_runners",
    "pillar_dirs": "_pillar",
    "outputter_dirs": "_output",
}


class SaltError(SceneError):
    """An execution function raised, or a state run did not compile."""

    def __init__(self, type_name, message, trace=""):
        self.type_name, self.message, self.traceback = type_name, message, trace
        super().__init__(f"{type_name}: {message}")


class Minion:
    """Salt in a machine, with a pillar of its own. ``file_root`` is a directory that the machine sees.

    ``options`` are settings of Salt; with ``None`` for a value, Salt's own default replaces the setting made here.
    """

    timeout = 120

    def __init__(self, machine, pillar=None, file_root=None, *, id=None, conf=CONF, options=None):
        self.machine, self.conf, self.id = machine, conf, id or machine.name
        self.pillar_root = f"{conf}/pillar"
        self.log_file = f"/var/log{conf.replace('/etc', '', 1)}.log"
        self.config = self._config(file_root, options or {})
        machine.write(f"{conf}/minion", json.dumps(self.config, indent=1) + "\n")
        machine.path(self.log_file).parent.mkdir(parents=True, exist_ok=True)
        self._worker = None
        self._pending = b""
        self.set_pillar(pillar if pillar is not None else {})
        self._start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def _config(self, file_root, options):
        state_dir = f"/var/lib{self.conf.replace('/etc', '', 1)}"
        dirs = {option: [str(CHECKOUT / name)] for option, name in LOADER_DIRS.items() if (CHECKOUT / name).is_dir()}
        config = {
            "id": self.id,
            "file_client": "local",
            "master_type": "disable",
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
            "grains_cache": True,  # a machine does not change its hardware; saves 0.08 s a call
            "fileserver_backend": ["roots"],  # no look for the others; saves 0.04 s a call
            "cython_enable": False,  # nor for compilers of modules
            "root_dir": state_dir,
            "cachedir": f"{state_dir}/cache",
            "pki_dir": f"{state_dir}/pki",
            "sock_dir": f"{state_dir}/sock",
            "log_file": self.log_file,
            "log_level": "warning",
            "fileserver_list_cache_time": 0,  # a file is seen at once
            **dirs,
            "file_roots": {"base": [str(file_root or CHECKOUT / "salt")]},
            "pillar_roots": {"base": [self.pillar_root]},
            **options,
        }
        return {option: value for option, value in config.items() if value is not None}

    def set_pillar(self, data):
        """Make this the minion's whole pillar; a string is taken as the text of an SLS file."""
        text = data if isinstance(data, str) else "#!json\n" + json.dumps(data, indent=1) + "\n"
        self.machine.write(f"{self.pillar_root}/top.sls", "base:\n  '*': [spice]\n")
        self.machine.write(f"{self.pillar_root}/spice.sls", text, mode=0o600)

    # Calls

    def call(self, function, *args, **kwargs):
        """Run an execution function and return its result."""
        return self.call_raw(function, *args, **kwargs)[0]

    def call_raw(self, function, *args, **kwargs):
        """Run an execution function; return its data and the exit code that salt-call would give for it."""
        if self._worker is None or self._worker.ended():
            self._start()
        request = json.dumps({"fun": function, "args": args, "kwargs": kwargs}) + "\n"
        try:
            self._worker.stdin.write(request.encode())
            self._worker.stdin.flush()
        except BrokenPipeError as err:
            raise SceneError(f"salt on {self.machine.name} has ended:\n{self.log()}") from err
        reply = json.loads(self._reply(function))
        if "error" in reply:
            raise SaltError(reply["error"], reply["message"], reply["traceback"])
        return reply["data"], reply["retcode"]

    def state(self, sls="spice", test=False, **kw):
        """Apply an SLS, or the top file for None; return the results by state. SaltError if it does not compile."""
        args = [] if sls is None else [sls]
        data = self.call("state.apply", *args, test=test, **kw)
        if not isinstance(data, dict):
            raise SaltError("StateError", "\n".join(map(str, data)))
        return data

    def salt_call(self, *args, check=True, timeout=120):
        """Run the real salt-call in the machine."""
        return self.machine.run(self.salt_command(*args), check=check, timeout=timeout)

    def salt_command(self, *args):
        """Return the words of a call of the real salt-call in the machine."""
        return [pathlib.Path(sys.executable).with_name("salt-call"), "--local", "-c", self.conf, *args]

    def log(self):
        """Return Salt's log, and the output of functions."""
        return self.machine.read(self.log_file)

    # Worker

    def _start(self):
        self.stop()
        script = pathlib.Path(__file__).with_name("worker.py")
        with open(self.machine.path(self.log_file), "ab") as log:
            self._worker = workers.start(self.machine, script, self.conf, stderr=log)

    def stop(self):
        """End the worker; the next call starts a new one."""
        worker, self._worker, self._pending = self._worker, None, b""
        if worker is not None:
            worker.kill()

    def _reply(self, function):
        deadline = time.monotonic() + self.timeout
        descriptor = self._worker.stdout.fileno()
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self.stop()
                raise CommandTimeout(f"{function} on {self.machine.name} did not end within {self.timeout} s")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise SceneError(f"salt on {self.machine.name} has ended:\n{self.log()}")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line
