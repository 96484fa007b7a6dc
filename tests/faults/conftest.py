"""An office where something can be made to go wrong at each step of a run."""

import json
import pathlib
import subprocess
import sys

import pytest
from functional.conftest import _programs  # noqa: F401 - the same programs are needed here
from functional.office import Office

from faults.proof import ONE


class Driver:
    """Calls execution functions on the office's client, many at the same time or with a fault; see driver.py."""

    def __init__(self, office):
        command = [sys.executable, pathlib.Path(__file__).with_name("driver.py"), office.minion.conf]
        with open(office.client.path(office.minion.log_file), "ab") as log:
            self._process = office.client.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def begin(self, requests):
        """Make calls at the same time."""
        self._process.stdin.write(json.dumps(requests).encode() + b"\n")
        self._process.stdin.flush()

    def end(self):
        """Wait for the calls that have begun; return their answers."""
        return json.loads(self._process.stdout.readline())

    def calls(self, requests):
        """Make calls at the same time; return their answers."""
        self.begin(requests)
        return self.end()

    def call(self, fun, pillar=None, fault=None):
        """Make one call; return its answer."""
        (answer,) = self.calls([{"fun": f"spice_grant.{fun}", "pillar": pillar or {}, "fault": fault}])
        return answer

    def done(self, fun, pillar=None):
        """Make one call that must succeed; return its report."""
        answer = self.call(fun, pillar)
        assert answer.get("retcode") == 0 and not answer["data"]["errors"], answer
        return answer["data"]

    def stop(self):
        """End it."""
        self._process.kill_tree()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture
def mechanism():
    """What holds the guard in the office; a module may have another one."""
    return "nftables"


@pytest.fixture
def office(mechanism):
    """An office where somebody has a sudo rule of his own, which must always work; nothing was applied yet."""
    with Office(ONE, mechanism) as made:
        made.client.write("/etc/sudoers.d/site", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)
        yield made


@pytest.fixture
def driver(office):
    """Calls functions on the office's client."""
    made = Driver(office)
    yield made
    made.stop()
