"""``close``: it takes away what is not stored as granted, and gives nothing back."""

import subprocess
import sys

import pytest
from faults import breakage

from functional.office import FILES, OPEN, STARTED, changed, sentences
from scene.minion import SaltError
from scenes import ADDRESS, GROUP, SUDOERS, VIEWER, article

PILLAR = article()
PILLAR["spice"]["routing"] = {"enabled": True}
MECHANISMS = ["nftables", "iptables-nft"]
STRANGE = ("nogrant", GROUP, ADDRESS, 20002)
MENU = "/etc/spice-grant/menu/1023"


def _closed(office, *texts):
    """Close: first said, then done, then there is nothing to do."""
    dry = office.minion.call("spice_grant.close", test=True)
    assert all(what in sentences(dry["changes"]) for what in texts), dry
    assert office.minion.call("spice_grant.close") == dry and dry["errors"] == []
    assert office.minion.call("spice_grant.close")["changes"] == {}


@pytest.mark.salt
def test_what_the_kernel_lets_through(shared):
    """An element, and a rule of routing, of somebody who has no grant go; an element that is missing does not come."""
    shared.mechanism.let(shared, 1023, ADDRESS, 20002)
    chosen = f"uidrange 1023-1023 to {ADDRESS} ipproto tcp dport 20002-20002 goto 166"
    shared.client.run(["ip", "rule", "add", "pref", "163", "protocol", "74", *chosen.split()])
    assert STRANGE in shared.openings()
    door = f"closes {ADDRESS} port 20002 to UID 1023"
    _closed(shared, f"firewall: {door}", f"routing: {door}")
    assert shared.openings() == OPEN
    shared.mechanism.stop(shared, 1022, ADDRESS, 20004)
    assert shared.minion.call("spice_grant.close")["changes"] == {}
    assert shared.openings() < OPEN


def test_what_sudo_lets_users_do(shared):
    """A rule of somebody who has no grant goes, with whatever else was written into our file."""
    content = shared.client.read(SUDOERS)
    more = content.replace("myself ALL=", "nogrant, myself ALL=") + "nogrant ALL=(ALL) NOPASSWD: ALL\n"
    shared.client.write(SUDOERS, more, mode=0o440)
    _closed(shared, "no longer lets nogrant")
    assert shared.client.read(SUDOERS) == content
    shared.client.write(SUDOERS, "nonsense\n", mode=0o440)
    _closed(shared, f"sudo: removes {SUDOERS}, which does not parse")
    assert not shared.client.path(SUDOERS).exists()


def test_lists_and_connection_files(shared):
    """Those of nobody's grant go; none is written anew."""
    shared.client.write(MENU, "{}\n", mode=0o640)
    _closed(shared, f"viewer: removes {MENU}")
    shared.client.run(["rm", "/etc/spice-grant/menu/1021"])
    assert shared.minion.call("spice_grant.close")["changes"] == {}


def test_what_is_stored_cannot_be_read(shared):
    """All that is open closes, and it is said; with test=True the same is said, and nothing done."""
    state = "/var/lib/spice-grant/state.json"
    shared.client.write(state, "{", mode=0o600)
    dry = shared.apply(test=True)
    assert shared.openings() == OPEN
    done = shared.apply()
    assert (dry["result"], dry["changes"]) == (False, done["changes"])
    assert dry["comment"].replace("would be enforced", "is enforced") == done["comment"]
    assert "closes all that is open" in sentences(done["changes"]) and f"{state} is damaged" in done["comment"]
    assert shared.openings() == set()
    assert not shared.client.path(SUDOERS).exists()
    left = ["find", "/etc/spice-grant/menu", "/etc/spice-grant/vms", "-type", "f"]
    assert shared.client.run(left).stdout == ""
    assert "uidrange 1021-1021" not in shared.client.run(["ip", "rule"]).stdout
    with pytest.raises(SaltError, match="is damaged"):
        shared.minion.call("spice_grant.close")
    shared.client.run(["rm", state])
    shared.applied()
    assert shared.openings() == OPEN


def test_a_password_that_is_to_be_asked_for(shared):
    """It is asked for although the run cannot go on: to start the viewer without one was a right as well."""
    call = ["sudo", "-k", "-n", "-g", GROUP, VIEWER, "--", FILES["leaptest"]]
    assert STARTED in shared.client.run(call, user="mybro", check=False).stderr
    shared.client.run(["mount", "--bind", "/bin/false", "/usr/bin/ip"])
    try:
        grants = {**PILLAR["spice"]["grants"], "mybro-leaptest": {"user": "mybro", "vm": "leaptest"}}
        data = changed(PILLAR, grants=grants)
        dry, done = shared.apply(data, test=True), shared.apply(data)
        assert dry["changes"] == done["changes"] and done["result"] is False
        assert "with their password" in sentences(done["changes"])
        assert "a password is required" in shared.client.run(call, user="mybro", check=False).stderr
    finally:
        shared.client.run(["umount", "/usr/bin/ip"])
    assert shared.openings() == OPEN


HOLD = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 20002), 60)
connection.recv(64)
print("open", flush=True)
try:
    print(connection.recv(64), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.fixture
def broken(shared):
    """A layer that cannot be read: no run gets further than to take away."""
    shared.client.run(["mount", "--bind", "/bin/false", "/usr/bin/ip"])
    mended = []

    def mend():
        if not mended:
            mended.append(shared.client.run(["umount", "/usr/bin/ip"]))

    yield mend
    mend()


def test_what_was_taken_away_is_stored_at_once(shared, broken):
    """What repairs drift afterwards does not bring it back."""
    report, code = shared.minion.call_raw("spice_grant.lock", user="myself")
    assert code == 1 and report["errors"]
    broken()
    shared.minion.call("spice_grant.repair")
    assert shared.openings() == {opening for opening in OPEN if opening[0] != "myself"}
    shared.minion.call("spice_grant.unlock", user="myself")


@pytest.mark.usefixtures("broken")
def test_an_idle_session_ends_where_the_run_cannot_go_on(shared):
    command = [sys.executable, "-I", "-S", "-c", HOLD, ADDRESS]
    session = shared.client.popen(command, user="myself", group=GROUP, stdout=subprocess.PIPE, text=True)
    assert session.stdout.readline() == "open\n"
    shared.minion.call_raw("spice_grant.lock", user="myself")
    assert session.stdout.readline() == "ConnectionAbortedError\n"
    session.wait()
    session.stdout.close()


def test_it_is_taken_away_before_anything_else_is_read(shared):
    """Whatever a run then waits for, or dies of."""
    look = "[ -e /srv/seen ] || { nft -n list ruleset; iptables-save; } >/srv/seen"
    with breakage.program(shared.client, "cvtsudoers", f'{look}; exec PATH.away "$@"'):
        shared.minion.call("spice_grant.lock", user="myself")
    seen = shared.client.read("/srv/seen").splitlines()
    doors = {
        uid for uid, port in (("1021", "20002"), ("1022", "20004")) for line in seen if uid in line and port in line
    }
    assert doors == {"1022"}
    shared.minion.call("spice_grant.unlock", user="myself")
    shared.client.run(["rm", "/srv/seen"])


def test_a_guard_that_cannot_be_changed_any_more(shared):
    """All could be read, so nothing was taken away first; where the guard then refuses, who was moved is out."""
    vms = {**PILLAR["spice"]["vms"], "debianx": {"server": "mysrv", "tls_port": 20003}}
    refusing = """case " $* " in *" -f "* | *" --noflush "*) exit 1;; esac; exec PATH.away "$@" """
    with breakage.program(shared.client, shared.mechanism.loads, refusing):
        result = shared.apply(changed(PILLAR, vms=vms))
        assert result["result"] is False
        assert {opening for opening in shared.openings() if opening[0] == "myself"} == set()
