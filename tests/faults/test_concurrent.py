"""Many runs at the same time: one after the other, and what is in force in the end is whole."""

import fcntl
import re
import time

from functional.office import changed, difference

from faults.calls import Driver
from faults.proof import ONE, OPEN_ONE, OPEN_OTHER, OTHER, places, sudo_works
from faults.steps import GO
from scenes import ADDRESS, ADDRESS6

RUNS = 20
# How long a run waits for another, where the test cannot wait for two minutes.
IMPATIENT = 0.3


def layers(driver):
    """Who may open what by the store, by the kernel's rules and by sudo's, each asked for itself."""
    functions = ("spice_grant.list", "spice_firewall.rules", "spice_sudoers.rules")
    policy, rules, lines = (answer["data"] for answer in driver.calls([{"fun": function} for function in functions]))
    stored = {(entry["user"], address, entry["port"]) for entry in policy for address in entry["addresses"]}
    kernel = {(entry["user"], entry["address"], entry["port"]) for entry in rules if not entry["foreign"]}
    sudo = set()
    for entry in lines:
        port = re.search(r"tls-port=(\d+)$", entry.get("argument", ""))
        if port:
            sudo |= {(entry["user"], address, int(port[1])) for address in (ADDRESS, ADDRESS6)}
    return stored, kernel, sudo


def test_two_policies(office, driver):
    """Ten runs of one policy and ten of another: exactly one of them is in force, in all layers."""
    requests = [{"fun": "spice_grant.apply", "pillar": pillar} for _ in range(RUNS // 2) for pillar in (ONE, OTHER)]
    answers = driver.calls(requests)
    assert all(answer.get("retcode") == 0 and not answer["data"]["errors"] for answer in answers), answers
    plans = {name: driver.done("plan", pillar)["changes"] for name, pillar in (("one", ONE), ("other", OTHER))}
    assert sorted(map(bool, plans.values())) == [False, True]
    opened = OPEN_OTHER if plans["one"] else OPEN_ONE
    assert office.openings((ADDRESS, ADDRESS6)) == opened
    stored, kernel, sudo = layers(driver)
    assert stored == kernel == sudo == {(user, address, port) for user, _, address, port in opened}
    assert sudo_works(office)


def test_grants_and_revocations_among_runs(office, driver):
    """Each change is made to what the change before it left: none is lost, and all layers agree.

    Runs that keep what is there leave alone what the others grant and revoke.
    """
    driver.done("apply", ONE)
    more = changed(ONE, grants={"one-more": {"user": "mybro", "vm": "debianx"}})
    requests = []
    for _ in range(RUNS // 5):
        requests += [
            {"fun": "spice_grant.apply", "pillar": more, "kwargs": {"exclusive": False}},
            {"fun": "spice_grant.grant", "args": ["nogrant", "debianx"]},
            {"fun": "spice_grant.grant", "args": ["nogrant", "leaptest", True]},
            {"fun": "spice_grant.absent", "args": ["myself-debianx"]},
            {"fun": "spice_grant.plan", "pillar": more},
        ]
    answers = driver.calls(requests)
    for request, answer in zip(requests, answers):
        if request["fun"] == "spice_grant.plan":
            # It does not wait, so it sees what it sees; it may not be wrong about having seen it.
            assert "data" in answer or "cannot be read" in answer["error"], answer
        else:
            assert answer.get("retcode") == 0 and not answer["data"]["errors"], (request, answer)
    opened = places(("mybro", 20002), ("mybro", 20004), ("nogrant", 20002), ("nogrant", 20004))
    assert office.openings((ADDRESS, ADDRESS6)) == opened
    stored, kernel, sudo = layers(driver)
    assert stored == kernel == sudo == {(user, address, port) for user, _, address, port in opened}
    assert sudo_works(office)


def test_a_run_that_cannot_wait_says_for_whom(office, driver):
    """While one run is at work, all others that give up say so and name it, and change nothing."""
    driver.done("apply", ONE)
    other = Driver(office.minion)
    try:
        # Its third step: the lock is taken then.
        other.begin([{"fun": "spice_grant.apply", "pillar": OTHER, "fault": ["wait", 3]}])
        deadline = time.monotonic() + 60
        while not locked(office):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = office.essence()
        answers = driver.calls([{"fun": "spice_grant.apply", "patience": IMPATIENT, "pillar": OTHER}] * RUNS)
        assert difference(before, office.essence()) == {}
        office.client.write(GO, "")
        (working,) = other.end()
    finally:
        other.stop()
    for answer in answers:
        assert f"another run is at work (process {working['pid']})" in answer["error"]
    assert working["retcode"] == 0 and working["data"]["changes"]
    assert driver.done("plan", OTHER)["changes"] == {}


def locked(office):
    """Whether a run holds the lock."""
    with open(office.client.path("/run/spice-grant.lock"), "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
