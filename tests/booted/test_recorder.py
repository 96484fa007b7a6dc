"""The recorder on a real Debian: systemd keeps it at work, the journal is read, and each session has an end."""

import json

import pytest

from drift import until
from scenes import STRANGER

RECORD = "/var/log/spice-grant/events.jsonl"
SERVICE = "spice-grant-recorder.service"
OPENER = "/usr/local/lib/spice-grant/open"


@pytest.fixture
def recorded(trial):
    """The booted client; nothing is in its record yet, and nobody is in a console."""
    trial.booted.run(["systemctl", "stop", SERVICE])
    trial.booted.run(["rm", "-f", RECORD, "/var/lib/spice-grant/recorder/sessions.json"])
    trial.booted.run(["systemctl", "start", SERVICE])
    yield trial
    trial.booted.run(["sh", "-c", "systemctl stop 'idle-*'"])


def events(trial, kind):
    """What the record holds of a kind."""
    path = trial.booted.run(["cat", RECORD], check=False).stdout
    return [event for event in map(json.loads, path.splitlines()) if event["event"] == kind]


def waited(trial, kind, which=lambda event: True):
    """The first event of a kind, once there is one."""
    return until(lambda: [event for event in events(trial, kind) if which(event)])[0]


def state(trial, what):
    return trial.booted.run(["systemctl", "show", f"--property={what}", "--value", SERVICE]).stdout.strip()


def test_a_session_over_a_recorder_that_is_killed(recorded):
    recorded.session("myself", 20002)
    opened = waited(recorded, "opened")
    process = state(recorded, "MainPID")
    recorded.booted.run(["kill", "-KILL", process])
    until(lambda: state(recorded, "ActiveState") == "active" and state(recorded, "MainPID") != process)
    recorded.booted.run(["sh", "-c", "systemctl stop 'idle-*'"])
    ended = waited(recorded, "ended")
    assert (ended["session"], len(events(recorded, "opened"))) == (opened["session"], 1)
    assert ended["received"] >= len("scene 20002\n")


def test_what_sudo_refuses(recorded):
    """Whoever says the same in sudo's name is not believed."""
    forged = f"boss : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={OPENER} debianx"
    as_loop = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    recorded.booted.run([*as_loop, "logger", "--tag", "sudo", "--", forged])
    recorded.booted.run(["sh", "-c", "echo loop:x | chpasswd"])
    call = f"echo x | sudo -S -u root {OPENER} debianx"
    recorded.booted.run([*as_loop, "sh", "-c", call], check=False)
    refused = waited(recorded, "refused")
    assert (refused["user"], refused["vm"], refused["by"]) == ("loop", "debianx", "sudo")
    assert len(events(recorded, "refused")) == 1
    listed = recorded.journal("--identifier=spice-grant", "SPICE_EVENT=refused", "SPICE_BY=sudo")
    assert listed == [f"debianx was refused to loop by sudo: {refused['why']}"]


def test_the_power_goes(recorded):
    """What was open is over in the record after the next boot, at which the recorder is at work by itself."""
    recorded.session("myself", 20002)
    opened = waited(recorded, "opened")
    recorded.workstation.reboot(at_once=True)
    ended = waited(recorded, "ended")
    assert (ended["session"], ended["why"]) == (opened["session"], "this machine went off")
    assert state(recorded, "ActiveState") == "active"


def test_one_that_was_stopped_is_started_by_the_next_run(recorded):
    recorded.booted.run(["systemctl", "stop", SERVICE])
    assert f"starts {SERVICE}, which was not at work" in recorded.workstation.salt("state.apply", "spice").stdout
    assert state(recorded, "ActiveState") == "active"
    assert "Succeeded: 1\n" in recorded.workstation.salt("state.apply", "spice").stdout
