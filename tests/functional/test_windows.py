"""Windows in which consoles are open: the kernel opens and closes them by its own clock, and nothing of ours runs."""

import datetime
import json
import sys
import time

import pytest

from functional.clients import TALK, running, say
from functional.office import UIDS, changed, sentences
from scenes import ADDRESS, ADDRESS6, GROUP, article
from soon import in_time, soon, wait

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article()
PILLAR["spice"]["servers"]["mysrv"]["addresses"] = [ADDRESS, ADDRESS6]
# Seconds until a window starts, if all is prepared by then; how long it is, and the grace after it, at first.
LEAD, LENGTH = 10, 6
# Of a grant that goes: as long as its session may go on.
LONG_GRACE = 20
# How far from an edge, in seconds, a connection may still be answered as before.
TOLERANCE = 1
PORTS = {"debianx": 20002, "scheduled": 20005, "graceful": 20006, "patient": 20007}

# Connects about 20 times a second until a moment, as each of some users and groups to a place each; notes each attempt.
WATCH = """
import errno, json, os, socket, sys, time

def attempt(address, port):
    start = time.time()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(3)
        code = sock.connect_ex((address, port))
    return [start, time.time(), {0: "open", errno.ECONNREFUSED: "refused"}.get(code, str(code))]

everybody, end = json.loads(sys.argv[1])
pipes = []
for uid, gid, address, port in everybody:
    reading, writing = os.pipe()
    pipes.append(reading)
    if os.fork() == 0:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        found = []
        while time.time() < end:
            found.append(attempt(address, port))
            time.sleep(max(0, found[-1][0] + 0.05 - time.time()))
        with open(writing, "w") as stream:
            json.dump(found, stream)
        os._exit(0)
    os.close(writing)
print(json.dumps([json.load(open(reading)) for reading in pipes]))
"""


def _iso(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pillar(start, end):
    """All grants hold from start to end: one by a schedule as well, one with a grace, one that drains permanently.

    The grace is as long as that.
    """
    limits = {"user": "myself", "valid_from": _iso(start), "valid_until": _iso(end)}
    return changed(
        PILLAR,
        vms={name: {"server": "mysrv", "tls_port": port} for name, port in PORTS.items()},
        schedules={"whole-days": {"days": ["mon-sun"], "hours": ["00:00-24:00"], "zone": "Europe/Berlin"}},
        grants={
            "plain": {**limits, "vm": "debianx"},
            "by-schedule": {**limits, "vm": "scheduled", "schedule": "whole-days"},
            "with-grace": {**limits, "vm": "graceful", "on_end": "drain", "grace": f"{end - start}s"},
            "without-limit": {**limits, "vm": "patient", "on_end": "drain"},
        },
    )


class Watch:
    """Attempts to connect in the background, by who and where."""

    def __init__(self, office, everybody, end):
        self.everybody = everybody
        ids = []
        for user, group, address, port in everybody:
            gid = office.gid() if group else UIDS[user]
            ids.append([UIDS[user], gid, address, port])
        words = [sys.executable, "-I", "-S", "-c", WATCH, json.dumps([ids, end])]
        self.program = office.client.popen(words, stdout=-1, text=True)

    def result(self):
        """Attempts by who and where: start, end and word of each, once all have been made."""
        with self.program.stdout as stream:
            found = json.loads(stream.read())
        assert self.program.wait() == 0
        return dict(zip(self.everybody, found))


def _edges(attempts, start, end):
    """How long after its edges a window was first seen open, and first seen closed again."""
    opened = next(before for before, _, word in attempts if word == "open")
    closed = next(before for before, _, word in attempts if word == "refused" and before > opened)
    return opened - start, closed - end


def _check(attempts, start, end):
    """Each attempt is answered as its moment says, but for a moment after an edge."""
    for before, after, word in attempts:
        if after < start or before > end + TOLERANCE:
            assert word == "refused", (before - start, before - end)
        elif before > start + TOLERANCE and after < end:
            assert word == "open", (before - start, before - end)


def _loaded_at_boot(office):
    """As a boot does it: nothing is there, then the stored rules are loaded, wherever the machine thinks that it is."""
    office.mechanism.delete(office)
    office.client.run(["env", "TZ=Asia/Kolkata", "/bin/sh", "/usr/local/lib/spice-grant/load-guard"])


@pytest.mark.parametrize("boot", [False, True], ids=["run", "boot"])
def test_a_window_opens_and_closes_on_time(shared, boot):
    """Nobody gets through before and after it, and only its user within; sessions end, or go on, as grants say."""
    in_time(lambda length: _window(shared, boot, length), LENGTH)
    assert shared.minion.call("spice_firewall.plan") == {}


def _window(shared, boot, length):
    def prepare(start):
        shared.applied(_pillar(start, start + length))
        if boot:
            _loaded_at_boot(shared)

    start = soon(prepare, LEAD, margin=4)
    end = start + length
    # Nothing of ours runs from here on.
    shared.minion.stop()
    granted = [("myself", GROUP, address, port) for address in (ADDRESS, ADDRESS6) for port in PORTS.values()]
    others = [("nogrant", GROUP, ADDRESS, 20002), ("myself", None, ADDRESS, 20002), ("mybro", GROUP, ADDRESS6, 20006)]
    watch = Watch(shared, [*granted, *others], end + length + 2)
    wait(start + 0.5)
    with _open(shared, "debianx") as cut, _open(shared, "graceful") as graceful, _open(shared, "patient") as patient:
        sessions = (cut, graceful, patient)
        assert [session.stdout.readline().strip() for session in sessions] == ["open"] * 3
        assert [say(session, "hello") for session in sessions] == ["answered"] * 3
        wait(end - 0.5)
        assert [say(session, "still there?") for session in sessions] == ["answered"] * 3
        wait(end + 0.5)
        assert [say(session, "after the end") for session in sessions] == ["ended", "answered", "answered"]
        wait(end + length - 0.5)
        assert say(graceful, "still in grace") == "answered"
        wait(end + length + 0.5)
        assert [say(session, "after the grace") for session in (graceful, patient)] == ["ended", "answered"]
    result = watch.result()
    for who in others:
        assert {word for _, _, word in result[who]} == {"refused"}
    offsets = {}
    for who in granted:
        _check(result[who], start, end)
        offsets[who] = _edges(result[who], start, end)
    opened, closed = (max(abs(found[edge]) for found in offsets.values()) for edge in (0, 1))
    print(
        f"{shared.mechanism.name}: opened within {opened:.3f} s of the start, closed within {closed:.3f} s of the end"
    )


def test_a_grant_that_goes_leaves_its_grace(shared):
    """The run that takes it away closes the port; what is open goes on for the grace, and the kernel ends that."""
    in_time(lambda grace: _grace(shared, grace), LONG_GRACE)


def _grace(shared, grace):
    grant = {"user": "myself", "vm": "debianx", "on_end": "drain", "grace": f"{grace}s"}
    shared.applied(changed(PILLAR, grants={"graceful": grant}))
    with _open(shared, "debianx") as session:
        assert session.stdout.readline().strip() == "open"
        assert say(session, "hello") == "answered"
        before = time.time()
        text = sentences(shared.applied(changed(PILLAR, grants={}))["changes"])
        assert f"closes {ADDRESS} port 20002 to myself, whose open sessions may go on" in text
        until = time.time() + grace
        assert shared.apply()["changes"] == {}
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "refused"
        shared.minion.stop()
        wait(before + grace - 1)
        assert say(session, "still in grace") == "answered"
        wait(until + 1)
        assert say(session, "after the grace") == "ended"


def _open(office, vm):
    return running(office.client, TALK, ADDRESS, PORTS[vm], user="myself", group=GROUP)


def test_rules_show_their_times(shared):
    """An auditor reads from the kernel who may open what when, and explain says so of any moment."""
    start = int(time.time()) // 60 * 60 + 3600
    shared.applied(_pillar(start, start + 60))
    found = {
        (rule["port"], rule["address"]): rule for rule in shared.minion.call("spice_firewall.rules", foreign=False)
    }
    assert len(found) == 8
    for address in (ADDRESS, ADDRESS6):
        for port in PORTS.values():
            assert found[port, address]["times"] == [[_iso(start), _iso(start + 60)]]
        assert found[20006, address]["lasting"] == [[_iso(start), _iso(start + 120)]]
        assert found[20002, address]["lasting"] == []
    assert len({rule["verdict"] for rule in found.values()}) == 4
    answer = shared.minion.call("spice_grant.explain", "myself", "debianx")["firewall"]
    assert answer["answer"] == "closed"
    assert f"which lead to chain {found[20002, ADDRESS]['verdict']}: closed at" in answer["why"]


def test_a_window_beyond_what_the_kernel_can_hold(shared):
    """iptables ends in 2038, so a later end is that; before 2020 no clock is right. The next run has nothing to do."""
    limits = {"user": "myself", "vm": "debianx", "valid_until": "2049-12-31"}
    shared.applied(changed(PILLAR, time={"zone": "UTC"}, grants={"long": limits}))
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    assert shared.apply()["changes"] == {}
    (rule,) = [rule for rule in shared.minion.call("spice_firewall.rules", foreign=False) if rule["address"] == ADDRESS]
    last = "2050-01-01T00:00:00Z" if shared.mechanism.name == "nftables" else "2038-01-19T03:14:08Z"
    assert rule["times"] == [["2020-01-01T00:00:00Z", last]]


def test_what_a_window_lets_through_still_meets_the_rules_of_the_site(shared):
    """A granted packet is not accepted over the head of the site's own rules, whichever mechanism holds the guard."""
    limits = {"user": "myself", "vm": "debianx", "valid_until": "2037-01-01"}
    shared.applied(changed(PILLAR, time={"zone": "UTC"}, grants={"long": limits}))
    program = "iptables" if shared.mechanism.name == "nftables" else shared.mechanism.programs[0]
    rule = ["OUTPUT", "-p", "tcp", "--dport", "20002", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited"]
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    shared.client.run([program, "--wait", "-A", *rule])
    try:
        assert shared.reach("myself", GROUP, ADDRESS, 20002) not in ("open", "refused")
    finally:
        shared.client.run([program, "--wait", "-D", *rule])
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
