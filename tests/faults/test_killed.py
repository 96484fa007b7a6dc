"""A run that is killed, at any step: sudo works, the guard holds, and the next run makes it good."""

import itertools
import json
import sys

from functional.office import BOTH, changed, difference

from faults.proof import (
    ONE,
    OPEN_ONE,
    OPEN_OTHER,
    OTHER,
    halfway,
    idle_session,
    killed,
    killed_there_and_back,
    survives,
    whole,
)

UNITS = "/etc/systemd/system"
# Steps between a unit that is written, or removed, and systemd that knows of it.
OF_UNITS = (UNITS, "systemctl", "nft -j", "nft delete")
# Notes when it was asked to read its units anew, in place of systemd.
SYSTEMCTL = """\
#!/bin/sh
case $* in
daemon-reload) touch /run/reloaded;;
"restart spice-grant-recorder.service") while [ ! -S /run/spice-grant/recorder ]; do sleep 0.05; done;;
esac
"""
# Listens in the recorder's place, wherever that is gone.
LISTEN = """
import os, socket, time
while True:
    os.makedirs("/run/spice-grant", 0o700, exist_ok=True)
    if not os.path.exists("/run/spice-grant/recorder"):
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind("/run/spice-grant/recorder")
    time.sleep(0.02)
"""


def test_a_first_run_and_a_removal(office, driver, walk):
    """First run killed, then completed; removal killed, then completed."""
    driver.done("apply", ONE)
    applied = office.essence()
    driver.done("remove")
    removed = office.essence()
    first, last = driver.call("apply", ONE)["steps"], driver.call("remove")["steps"]
    assert len(first) > len(last) > 0
    guarded = []
    for number, removing in itertools.zip_longest(walk(len(first)), walk(len(last))):
        assert killed(driver, "apply", ONE, number) is (number <= len(first))
        step = f"first run, step {number}: {[*first, 'the end'][number - 1]}"
        guarded.append(survives(office, OPEN_ONE, step))
        whole(office, driver, ONE, applied, number)
        if removing is not None:
            assert killed(driver, "remove", None, removing) is (removing <= len(last))
            step = f"removal, step {removing}: {[*last, 'the end'][removing - 1]}"
            survives(office, OPEN_ONE, step)
        driver.done("remove")
        assert driver.done("remove")["changes"] == {}, step
        assert difference(removed, office.essence()) == {}, step
    # Once there, the guard stays.
    assert guarded == sorted(guarded) and set(guarded) == {False, True}


def test_a_run_that_is_killed_while_it_notes_how_it_ended(office, driver):
    """What it leaves in /run goes with a later run: only once nobody can be writing it."""
    driver.done("apply", ONE)
    driver.done("remove")
    steps = driver.call("apply", ONE)["steps"]
    (number,) = [number for number, step in enumerate(steps, 1) if step.startswith("rename /run/spice-grant/")]
    driver.done("remove")
    assert killed(driver, "apply", ONE, number)
    (left,) = office.client.run(["find", "/run/spice-grant", "-name", ".spice-grant.*"]).stdout.split()
    driver.done("apply", ONE)
    assert office.client.path(left).exists()
    office.client.run(["touch", "--date=2 minutes ago", left])
    assert left in json.dumps(driver.done("plan", ONE)["changes"])
    driver.done("apply", ONE)
    assert not office.client.path(left).exists()
    assert driver.done("plan", ONE)["changes"] == {}


def test_a_removal_instead_of_the_next_run(office, driver, walk):
    """What a killed first run leaves half-way, a plan names, and a removal takes away as well."""
    driver.done("apply", ONE)
    driver.done("remove")
    removed = office.essence()
    steps = driver.call("apply", ONE)["steps"]
    driver.done("remove")
    # What is in /run lasts until the next boot, whole or not, and is for reports only.
    renaming = [number for number, step in enumerate(steps, 1) if step.startswith("rename ") and " /run/" not in step]
    for number in [renaming[step - 1] for step in walk(len(renaming)) if step <= len(renaming)]:
        assert killed(driver, "apply", ONE, number)
        left = halfway(office)
        assert left and left[0] in json.dumps(driver.done("plan", ONE)["changes"])
        assert halfway(office) == left
        driver.done("remove")
        assert difference(removed, office.essence()) == {}, steps[number - 1]
    assert renaming


def test_a_change(office, driver, walk):
    """A run that takes one grant away and adds another, killed and completed; and back, killed and completed."""

    def insist(pillar, step):
        becomes = OPEN_OTHER if pillar is OTHER else OPEN_ONE
        assert survives(office, OPEN_ONE | OPEN_OTHER, step, becomes), step

    killed_there_and_back(office, driver, OTHER, ONE, walk, insist)
    assert office.openings(BOTH) == OPEN_ONE


def test_systemd_hears_of_the_units(office, driver, walk):
    """Killed with units written, or removed, and systemd not told: the next run tells it."""
    # This systemd holds nothing.
    one = changed(ONE, firewall={"backstop": False})
    office.client.run(["mkdir", "--parents", "/run/systemd/system"])
    office.client.write("/usr/bin/systemctl", SYSTEMCTL, mode=0o755)
    office.client.popen([sys.executable, "-IS", "-c", LISTEN])
    driver.done("apply", one)
    driver.done("remove")
    steps = {fun: driver.call(fun, one)["steps"] for fun in ("apply", "remove")}
    for fun, undo in (("apply", "remove"), ("remove", "apply")):
        reloads = [number for number, step in enumerate(steps[fun], 1) if any(word in step for word in OF_UNITS)]
        for number in [reloads[index - 1] for index in walk(len(reloads)) if index <= len(reloads)]:
            office.client.run(["rm", "--force", "/run/reloaded"])
            assert killed(driver, fun, one, number)
            driver.done(fun, one)
            assert office.client.path("/run/reloaded").exists(), steps[fun][number - 1]
            driver.done(undo, one)
        driver.done("apply", one)


def test_a_session_ends_with_the_next_run(office, driver):
    """Killed with the grant gone from the kernel and the user's idle session not ended yet: the next run ends it."""
    driver.done("apply", ONE)
    with idle_session(office):
        steps = driver.call("apply", OTHER)["steps"]
    (number,) = [number for number, step in enumerate(steps, 1) if "ss --kill" in step]
    driver.done("apply", ONE)
    with idle_session(office) as session:
        assert killed(driver, "apply", OTHER, number)
        assert session.poll() is None
        driver.done("apply", OTHER)
        session.wait(60)
    assert driver.done("plan", OTHER)["changes"] == {}
