"""A newer version takes over what an older one left on a machine: files, rules, sessions."""

import json
from pathlib import Path

import pytest

from functional.office import changed, sentences
from scenes import ADDRESS, GROUP, article

PILLAR = changed(article(), viewer={"confine": True}, routing={"enabled": True})
PILLAR["spice"]["grants"]["mybro-leaptest"].update(owner="accounting", reason="year-end", ticket="IT-4711")
# What a run of an older version with this pillar left, with vm leaptest locked; by path, without the programs' text.
# The number of the viewer's group is another on each machine.
BEFORE = Path(__file__).with_name("before")
PROGRAMS = {f"/usr/local/lib/spice-grant/{name}" for name in ("clock", "uplinks", "open")}
RECORDER = (
    "/usr/local/lib/spice-grant/recorder",
    "/etc/systemd/system/spice-grant-recorder.service",
    "/etc/systemd/system/multi-user.target.wants/spice-grant-recorder.service",
)
IDLE = f"""
import socket
with socket.create_connection(("{ADDRESS}", 20002)) as connection:
    print(connection.recv(64), flush=True)
    connection.recv(64)
"""


@pytest.fixture
def left(shared):
    """The office as the older version left it, and as a boot made the rules anew."""
    shared.minion.call("spice_grant.lock", vm="leaptest", reason="maintenance")
    found = sorted(path for path in BEFORE.rglob("*") if path.is_file())
    for path in found:
        text = path.read_text(encoding="utf-8").replace("@GID@", str(shared.gid()))
        # In place: owner, mode and readers are those that a run gave it.
        shared.client.path(f"/{path.relative_to(BEFORE)}").write_text(text, encoding="utf-8")
    # It recorded nothing.
    shared.client.run(["rm", *RECORDER])
    shared.nft("flush", "ruleset")
    for name in ("load-guard", "load-routes"):
        shared.client.run([f"/usr/local/lib/spice-grant/{name}"])
    assert {f"/{path.relative_to(BEFORE)}" for path in found} > PROGRAMS
    yield shared
    shared.minion.call("spice_grant.unlock", vm="leaptest")


def packets(office):
    """How many packets each of the guard's elements has let through."""
    listed = json.loads(office.nft("-j", "list", "map", "inet", "spice_grant", "grants4"))["nftables"]
    elements = [found for entry in listed for found in entry.get("map", {}).get("elem", ())]
    return [key["elem"]["counter"]["packets"] for key, _ in elements]


def test_programs_and_rules_are_brought_up_to_date(left):
    """With test=True as in the run itself; an open session goes on, and so do the counters."""
    command = ["/usr/bin/python3", "-I", "-S", "-c", IDLE]
    session = left.client.popen(command, user="myself", group=GROUP, stdout=-1)
    try:
        assert session.stdout.readline()
        counted = packets(left)
        dry = left.apply(test=True)
        assert set(sentences(dry["changes"]).splitlines()) == {
            "firewall: restores chain deny: 1 rule(s) missing",
            "firewall: restores chain guard: 1 rule(s) missing",
            "firewall: stores the rules for the next boot",
            "firewall: rewrites /usr/local/lib/spice-grant/load-guard",
            "firewall: rewrites /usr/local/lib/spice-grant/clock",
            "firewall: rewrites /usr/local/lib/spice-grant/uplinks",
            "viewer: rewrites /usr/local/lib/spice-grant/open",
            # It has more languages now.
            "viewer: rewrites /usr/local/share/applications/rviewer.desktop",
            # The table of uplinks is not among what a boot loads: a unit of its own makes it, where systemd runs.
            "firewall: guards what leaves by eth0 past the other rules",
            *(f"audit: creates {path}" for path in RECORDER),
        }
        assert left.applied()["changes"] == dry["changes"]
        assert left.apply()["changes"] == {}
        assert session.poll() is None
        assert sum(packets(left)) >= sum(counted) > 0
    finally:
        session.kill_tree()
        session.stdout.close()
    assert left.openings() == {("myself", GROUP, ADDRESS, 20002)}
