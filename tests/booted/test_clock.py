"""The clock on a machine that really boots: on time, and with no Salt at work."""

import time

from booted.trial import PATIENCE
from soon import soon
from spicegrants.core.units import CLOCK_SERVICE, HOURLY_TIMER
from spicegrants.expiry.live.clock import AHEAD
from spicegrants.schedule import instants


def test_without_times_nothing_is_armed_but_what_looks_every_hour(trial):
    trial.apply()
    for word in ("is-enabled", "is-active"):
        trial.booted.run(["systemctl", word, HOURLY_TIMER])
    assert trial.armed() is None
    shown = trial.booted.run(["systemctl", "show", "--property=Result,ExecMainStatus", CLOCK_SERVICE]).stdout
    assert shown.split() == ["Result=success", "ExecMainStatus=0"]


def test_window_ends_on_time_and_its_user_was_warned(trial):
    """An idle session, which the kernel alone would leave; nothing of Salt's runs meanwhile."""

    def window(end):
        trial.apply(myself_debianx={"valid_until": instants.iso(end), "warn": ["5s"], "vm": "debianx"})

    end = soon(window, 25, margin=15)
    assert trial.armed() == end - 5 - AHEAD
    log = trial.session("myself", 20002)
    trial.no_salt()
    assert 0 <= trial.ended(log, end) < PATIENCE
    assert trial.tries("myself", 20002) == "Connection refused"
    deadline = time.monotonic() + 60
    while len(lines := trial.journal("-t", "notice")) < 2:
        assert time.monotonic() < deadline, lines
        time.sleep(0.2)
    assert [line.partition(" -- ")[2] for line in lines] == [
        f"SPICE console closes soon The console of VM debianx closes at {time.strftime('%H:%M', time.gmtime(end))} UTC,"
        " in 5 seconds.",
        "SPICE console closed Your access to the console of VM debianx has ended.",
    ]
    assert {line.split()[0] for line in lines} == {"myself"}
    assert trial.armed() is None


def test_a_lock_ends_an_idle_session_at_once(trial):
    trial.apply()
    log = trial.session("mybro", 20004)
    trial.workstation.salt("spice_grant.lock", "user=mybro")
    assert trial.ended(log, time.time()) < PATIENCE
    assert trial.tries("mybro", 20004) == "Connection refused"
    trial.workstation.salt("spice_grant.unlock", "user=mybro")


def test_a_store_that_cannot_be_read_is_a_failed_unit_with_a_reason(trial):
    trial.booted.write("/var/lib/spice-grant/state.json", "{", 0o600)
    done = trial.booted.run(["systemctl", "restart", CLOCK_SERVICE], check=False)
    assert done.returncode != 0
    trial.booted.run(["systemctl", "is-failed", CLOCK_SERVICE])
    assert any("state.json is damaged" in line for line in trial.journal("-u", CLOCK_SERVICE))
    trial.booted.run(["rm", "/var/lib/spice-grant/state.json"])
    trial.apply()
    assert trial.booted.run(["systemctl", "is-failed", CLOCK_SERVICE], check=False).returncode != 0


def test_a_clock_that_has_failed_is_started_again(trial):
    """By the next run, which says so; the one behind it has nothing to do."""
    trial.apply()
    state = "/var/lib/spice-grant/state.json"
    trial.booted.run(["mv", state, "/root/state.json"])
    trial.booted.run(["systemctl", "restart", CLOCK_SERVICE], check=False)
    trial.booted.run(["mv", "/root/state.json", state])
    sentence = "starts the clock again, which had failed"
    assert sentence in trial.workstation.salt("spice_grant.repair", "test=True").stdout
    trial.booted.run(["systemctl", "is-failed", CLOCK_SERVICE])
    assert sentence in trial.workstation.salt("spice_grant.repair").stdout
    assert trial.booted.run(["systemctl", "is-failed", CLOCK_SERVICE], check=False).returncode != 0
    assert sentence not in trial.workstation.salt("spice_grant.repair").stdout


def test_removal_leaves_nothing_that_would_start_it(trial):
    trial.apply(myself_debianx={"valid_until": instants.iso(int(time.time()) + 3600)})
    assert trial.armed() is not None
    trial.workstation.salt("spice_grant.remove")
    listed = trial.booted.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "spice-grant-*"]).stdout
    assert listed == ""
    assert trial.booted.run(["find", "/etc/systemd", "/run/systemd", "-name", "*spice-grant-*"]).stdout == ""
