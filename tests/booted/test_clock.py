"""The end of windows, loans and locks on a machine that really boots: on time, and with no Salt at work."""

import calendar
import json
import time

import pytest

from spicegrants import alarm, moments, store
from spicegrants.host.clock import AHEAD

# Holds an idle session, and says when that ended.
SESSION = """
import socket, sys, time
with socket.create_connection(("192.168.2.2", int(sys.argv[1]))) as connection:
    connection.recv(64)
    print("open", flush=True)
    try:
        connection.recv(64)
    except OSError:
        pass
    print(time.time(), flush=True)
"""
# Tries a console once.
TRY = """
import socket, sys
with socket.socket() as connection:
    connection.settimeout(3)
    try:
        connection.connect(("192.168.2.2", int(sys.argv[1])))
        print("open")
    except OSError as error:
        print(error.strerror)
"""
# Takes its time, as a desktop may: the clock has ended by then.
NOTIFY = '#!/bin/sh\nsleep 2\nlogger -t told -- "$(id -un) $*"\n'
UIDS = {"myself": 1021, "mybro": 1022}
ON_TIME = 2


class Trial:
    """What is done on the workstation, and what is seen there."""

    def __init__(self, workstation):
        self.workstation, self.booted = workstation, workstation.booted
        self.pillar = json.loads(self.booted.read("/srv/pillar/spice.sls"))
        self.booted.write("/srv/session.py", SESSION)
        self.booted.write("/srv/try.py", TRY)
        self.booted.write("/usr/bin/notify-send", NOTIFY, 0o755)

    def apply(self, **grants):
        """Apply the state with some grants changed."""
        data = json.loads(json.dumps(self.pillar))
        for name, fields in grants.items():
            data["spice"]["grants"][name.replace("_", "-")].update(fields)
        self.booted.write("/srv/pillar/spice.sls", json.dumps(data))
        return self.workstation.salt("state.apply", "spice", "--retcode-passthrough").stdout

    def as_user(self, user):
        """What makes a command one of a user's with the viewer's group."""
        gid = self.booted.run(["getent", "group", "spicegrp"]).stdout.split(":")[2]
        return ["setpriv", f"--reuid={UIDS[user]}", f"--regid={gid}", "--clear-groups"]

    def tries(self, user, port):
        """Connect once; return the word."""
        return self.booted.run([*self.as_user(user), "python3", "/srv/try.py", str(port)]).stdout.strip()

    def session(self, user, port):
        """Open a session that stays idle; return the file in which it says how it is."""
        name = f"idle-{user}-{time.monotonic_ns()}"
        log = f"/run/{name}"
        output = f"--property=StandardOutput=file:{log}"
        command = [*self.as_user(user), "/usr/bin/python3", "/srv/session.py", str(port)]
        self.booted.run(["systemd-run", "--quiet", f"--unit={name}", output, *command])
        assert self.said(log, 1) == ["open"]
        return log

    def said(self, log, lines, timeout=10):
        """Wait until a session has said so many lines."""
        deadline = time.monotonic() + timeout
        while len(said := self.booted.run(["cat", log], check=False).stdout.splitlines()) < lines:
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        return said

    def ended(self, log, moment):
        """How many seconds after a moment a session ended."""
        late = float(self.said(log, 2, moment - time.time() + 30)[1]) - moment
        print(f"a session ended {late:.2f} s after its time")
        return late

    def loan(self):
        """When the one loan ends."""
        ((*_, end, _, _),) = json.loads(self.booted.read(store.PATH))["loans"]
        return end

    def armed(self):
        """The moment for which the clock's alarm is set; None if it is not."""
        show = ["systemctl", "show", "--property=NextElapseUSecRealtime,ActiveState", alarm.ALARM]
        said = dict(line.split("=", 1) for line in self.booted.run(show).stdout.splitlines())
        if said["ActiveState"] != "active":
            return None
        return calendar.timegm(time.strptime(said["NextElapseUSecRealtime"], "%a %Y-%m-%d %H:%M:%S UTC"))

    def journal(self, *words):
        """Lines of the journal."""
        return self.booted.run(["journalctl", "--output=cat", *words], check=False).stdout.splitlines()

    def no_salt(self):
        """Nothing of Salt's is running."""
        assert self.booted.run(["pgrep", "--full", "salt"], check=False).stdout == ""


@pytest.fixture(scope="module")
def trial(workstation):
    return Trial(workstation)


def test_without_times_nothing_is_armed_but_what_looks_every_hour(trial):
    trial.apply()
    for word in ("is-enabled", "is-active"):
        trial.booted.run(["systemctl", word, alarm.NET])
    assert trial.armed() is None
    shown = trial.booted.run(["systemctl", "show", "--property=Result,ExecMainStatus", alarm.SERVICE]).stdout
    assert shown.split() == ["Result=success", "ExecMainStatus=0"]


def test_window_ends_on_time_and_its_user_was_warned(trial):
    """An idle session, which the kernel alone would leave; nothing of Salt's runs meanwhile."""
    end = int(time.time()) + 25
    window = {"valid_until": moments.iso(end), "warn": ["5s"], "vm": "debianx"}
    trial.apply(myself_debianx=window)
    assert trial.armed() == end - 5 - AHEAD
    log = trial.session("myself", 20002)
    trial.no_salt()
    assert 0 <= trial.ended(log, end) < ON_TIME
    assert trial.tries("myself", 20002) == "Connection refused"
    deadline = time.monotonic() + 10
    while len(said := trial.journal("-t", "told")) < 2:
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
    assert [line.partition(" -- ")[2] for line in said] == [
        f"SPICE console closes soon The console of VM debianx closes at {time.strftime('%H:%M', time.gmtime(end))} UTC,"
        " in 5 seconds.",
        "SPICE console closed Your access to the console of VM debianx has ended.",
    ]
    assert {line.split()[0] for line in said} == {"myself"}
    assert trial.armed() is None


def test_all_three_hold_over_a_reboot(trial):
    """In the middle of a window, a loan and a lock: from the first moment on, to their own ends, without a minion."""
    window_end = int(time.time()) + 75
    trial.apply(myself_debianx={"valid_until": moments.iso(window_end), "warn": []})
    trial.workstation.salt("spice_grant.lend", "mybro", "debianx", "90s", "reason=year-end")
    loan_end = trial.loan()
    trial.workstation.salt("spice_grant.lock", "vm=leaptest", "reason=restored")
    trial.workstation.reboot()
    trial.no_salt()
    left = window_end - time.time()
    assert left > 5, "this machine is too slow for the trial"
    assert trial.tries("myself", 20002) == "open"
    assert trial.tries("mybro", 20002) == "open"
    assert trial.tries("mybro", 20004) == "Connection refused"
    window, loan = trial.session("myself", 20002), trial.session("mybro", 20002)
    assert trial.armed() == window_end - AHEAD
    assert 0 <= trial.ended(window, window_end) < ON_TIME
    assert trial.tries("myself", 20002) == "Connection refused"
    assert trial.tries("mybro", 20002) == "open"
    assert 0 <= trial.ended(loan, loan_end) < ON_TIME
    assert trial.tries("mybro", 20002) == "Connection refused"
    assert trial.tries("mybro", 20004) == "Connection refused"
    assert "through" not in trial.workstation.tried()
    trial.no_salt()
    trial.workstation.salt("spice_grant.unlock", "vm=leaptest")
    assert trial.tries("mybro", 20004) == "open"


def test_a_lock_ends_an_idle_session_at_once(trial):
    trial.apply()
    log = trial.session("mybro", 20004)
    trial.workstation.salt("spice_grant.lock", "user=mybro")
    assert trial.ended(log, time.time()) < ON_TIME
    assert trial.tries("mybro", 20004) == "Connection refused"
    trial.workstation.salt("spice_grant.unlock", "user=mybro")


def test_a_store_that_cannot_be_read_is_a_failed_unit_with_a_reason(trial):
    trial.booted.write("/var/lib/spice-grant/state.json", "{", 0o600)
    done = trial.booted.run(["systemctl", "restart", alarm.SERVICE], check=False)
    assert done.returncode != 0
    trial.booted.run(["systemctl", "is-failed", alarm.SERVICE])
    assert any("state.json is damaged" in line for line in trial.journal("-u", alarm.SERVICE))
    trial.booted.run(["rm", "/var/lib/spice-grant/state.json"])
    trial.apply()
    assert trial.booted.run(["systemctl", "is-failed", alarm.SERVICE], check=False).returncode != 0


def test_removal_leaves_nothing_that_would_start_it(trial):
    trial.apply(myself_debianx={"valid_until": moments.iso(int(time.time()) + 3600)})
    assert trial.armed() is not None
    trial.workstation.salt("spice_grant.remove")
    listed = trial.booted.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "spice-grant-*"]).stdout
    assert listed == ""
    assert trial.booted.run(["find", "/etc/systemd", "/run/systemd", "-name", "*spice-grant-*"]).stdout == ""
