"""What is tried on a booted workstation whose grants have times: sessions, single connections, what is armed."""

import calendar
import json
import time

import scenes
from spicegrants.core.paths import STATE
from spicegrants.core.units import CLOCK_SERVICE, CLOCK_TIMER

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
NOTIFY = '#!/bin/sh\nsleep 2\nlogger -t notice -- "$(id -un) $*"\n'
# Seconds; what is late by less is printed.
PATIENCE = 60


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
        return ["setpriv", f"--reuid={scenes.UIDS[user]}", f"--regid={gid}", "--clear-groups"]

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
        assert self.wait_for(log, 1) == ["open"]
        return log

    def wait_for(self, log, lines, timeout=60):
        """Wait until a session has printed so many lines."""
        deadline = time.monotonic() + timeout
        while len(found := self.booted.run(["cat", log], check=False).stdout.splitlines()) < lines:
            assert time.monotonic() < deadline, (found, self.journal("--unit", CLOCK_SERVICE, "--output=short-precise"))
            time.sleep(0.1)
        return found

    def ended(self, log, moment):
        """How many seconds after a moment a session ended."""
        late = float(self.wait_for(log, 2, moment - time.time() + 30)[1]) - moment
        print(f"a session ended {late:.2f} s after its time")
        return late

    def loan(self):
        """When the one loan ends."""
        ((_, _, _, end, *_),) = json.loads(self.booted.read(STATE))["loans"]
        return end

    def armed(self):
        """The moment for which the clock's alarm is set; None if it is not."""
        show = ["systemctl", "show", "--property=NextElapseUSecRealtime,ActiveState", CLOCK_TIMER]
        properties = dict(line.split("=", 1) for line in self.booted.run(show).stdout.splitlines())
        if properties["ActiveState"] != "active":
            return None
        return calendar.timegm(time.strptime(properties["NextElapseUSecRealtime"], "%a %Y-%m-%d %H:%M:%S UTC"))

    def journal(self, *words):
        """Lines of the journal."""
        return self.booted.run(["journalctl", "--output=cat", *words], check=False).stdout.splitlines()

    def no_salt(self):
        """Nothing of Salt's is running."""
        assert self.booted.run(["pgrep", "--full", "salt"], check=False).stdout == ""
