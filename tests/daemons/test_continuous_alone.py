"""Drift on a minion without a master, which keeps itself by the ready-made files."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import salt.config
import salt.utils.event
from daemons.conftest import install

from checkout import ROOT
from drift import KINDS, Workstation, listens, until


class Heard(threading.Thread):
    """Collects what the beacon hands to the minion's own bus."""

    def __init__(self, config):
        super().__init__(daemon=True)
        self.config, self.events, self.done = config, [], False

    def run(self):
        with salt.utils.event.get_event("minion", opts=self.config, listen=True) as bus:
            while not self.done:
                found = bus.get_event(wait=1, tag="__beacons_return")
                self.events += found["beacons"] if found else []

    def tell(self, tag):
        """What was reported of one kind."""
        return [event["data"] for event in self.events if event["tag"].endswith(f"/spice_grant/{tag}")]


@pytest.fixture
def alone(served, pillar_root, people):
    """A minion without a master that runs, with the ready-made files as they are; and what is on its bus."""
    directory = Path("/etc/salt")
    (directory / "minion.d").mkdir(parents=True)
    for name in ("spice-grant.conf", "spice-grant-continuous.conf"):
        install(ROOT / "etc" / "minion.d" / name, directory / "minion.d")
    own = {"id": "alone", "enable_fqdns_grains": False}
    (directory / "minion").write_text(json.dumps(own))
    program = Path(sys.executable).with_name("salt-call")
    subprocess.run([program, "--local", "saltutil.sync_all"], check=True, capture_output=True)
    daemon = subprocess.Popen([program.with_name("salt-minion")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    heard = Heard(salt.config.minion_config(str(directory / "minion")))
    heard.start()
    yield heard
    heard.done = True
    daemon.terminate()
    daemon.wait()
    shutil.rmtree(directory)


def test_a_minion_without_a_master_keeps_itself(alone):
    """Its schedule applies the state when it starts; its beacon has all kinds of drift repaired."""
    returned = Path("/var/log/salt/spice-grant.json")
    until(lambda: returned.exists() and returned.read_text().endswith("\n"))
    assert json.loads(returned.read_text().splitlines()[0])["retcode"] == 0
    until(listens)
    workstation = Workstation()
    for kind, (_, layer, words) in KINDS.items():
        workstation.tamper(kind)
        until(lambda words=words: any(words in event["what"] for event in alone.tell("repaired")))
        assert workstation.intact(), kind
        (drift,) = (event for event in alone.tell("drift") if words in event["what"])
        assert drift["layers"] == [layer], kind
