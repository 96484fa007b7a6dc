"""Calls of execution functions, with something that goes wrong at a chosen step."""

import json
import pathlib

from scene import workers


class Driver:
    """Calls execution functions on a minion's machine, many at the same time or with a fault; see driver.py.

    module
        Whose functions are called.
    """

    def __init__(self, minion, module="spice_grant"):
        self._module = module
        script = pathlib.Path(__file__).with_name("driver.py")
        with open(minion.machine.path(minion.log_file), "ab") as log:
            self._worker = workers.start(minion.machine, script, minion.conf, stderr=log)

    def begin(self, requests):
        """Make calls at the same time."""
        self._worker.stdin.write(json.dumps(requests).encode() + b"\n")
        self._worker.stdin.flush()

    def end(self):
        """Wait for the calls that have begun; return their answers."""
        return json.loads(self._worker.stdout.readline())

    def calls(self, requests):
        """Make calls at the same time; return their answers."""
        self.begin(requests)
        return self.end()

    def call(self, fun, pillar=None, fault=None):
        """Make one call; return its answer."""
        (answer,) = self.calls([{"fun": f"{self._module}.{fun}", "pillar": pillar or {}, "fault": fault}])
        return answer

    def done(self, fun, pillar=None):
        """Make one call that must succeed; return its report."""
        answer = self.call(fun, pillar)
        assert answer.get("retcode") == 0 and not answer["data"]["errors"], answer
        return answer["data"]

    def stop(self):
        """End it."""
        self._worker.kill()
