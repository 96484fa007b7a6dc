"""The recorder on a machine without systemd: started by hand, as its unit does."""

import contextlib
import json
import subprocess

from drift import until

RECORDER = "/usr/local/lib/spice-grant/recorder"
RECORD = "/var/log/spice-grant/events.jsonl"
SOCKET = "/run/spice-grant/recorder"


@contextlib.contextmanager
def recording(office):
    """The recorder, which runs until the end."""
    # One that was killed leaves it.
    office.client.path(SOCKET).unlink(missing_ok=True)
    process = office.client.popen(
        ["/usr/bin/python3", "-IS", RECORDER], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: office.client.path(SOCKET).exists() or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        yield process
    finally:
        process.kill_tree()
        process.stderr.close()


def events(office, kind=None):
    """What the record holds of one kind, or all."""
    path = office.client.path(RECORD)
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [event for event in found if kind in (None, event["event"])]


def waited(office, kind, count=1):
    """The events of a kind, once there are so many."""
    until(lambda: len(events(office, kind)) >= count)
    return events(office, kind)
