"""A run that is killed, at whatever step: sudo works, the guard holds, and the next run makes it good."""

import itertools
import json

from functional.office import ADDRESS, ADDRESS6, difference

from faults.proof import ONE, OPEN_ONE, OPEN_OTHER, OTHER, halfway, survives, whole


def killed(driver, fun, pillar, number):
    """Kill a run at a step; say whether it got so far."""
    return driver.call(fun, pillar, ["kill", number])["killed"]


def test_a_first_run_and_a_removal(office, driver):
    """First run killed, then completed; removal killed, then completed: at the first step, the second, and so on."""
    driver.done("apply", ONE)
    applied = office.essence()
    driver.done("remove")
    removed = office.essence()
    first, last = driver.call("apply", ONE)["steps"], driver.call("remove")["steps"]
    guarded = []
    for number in itertools.count(1):
        begun = killed(driver, "apply", ONE, number)
        step = f"first run, step {number}: {[*first, 'a later one', 'the end'][number - 1]}"
        guarded.append(survives(office, OPEN_ONE, step))
        whole(office, driver, ONE, applied, number)
        if number <= len(last):
            assert killed(driver, "remove", None, number)
            step = f"removal, step {number}: {last[number - 1]}"
            survives(office, OPEN_ONE, step)
        driver.done("remove")
        assert driver.done("remove")["changes"] == {}, number
        assert difference(removed, office.essence()) == {}, step
        if not begun:
            break
    assert number >= len(first) > len(last) > 0
    # Once there, the guard stays.
    assert guarded == sorted(guarded) and set(guarded) == {False, True}


def test_a_removal_instead_of_the_next_run(office, driver):
    """What a killed first run leaves half-way, a plan names, and a removal takes away as well."""
    driver.done("apply", ONE)
    driver.done("remove")
    removed = office.essence()
    steps = driver.call("apply", ONE)["steps"]
    driver.done("remove")
    renaming = [number for number, step in enumerate(steps, 1) if step.startswith("rename ")]
    for number in renaming:
        assert killed(driver, "apply", ONE, number)
        left = halfway(office)
        assert left and left[0] in json.dumps(driver.done("plan", ONE)["changes"])
        assert halfway(office) == left
        driver.done("remove")
        assert difference(removed, office.essence()) == {}, steps[number - 1]
    assert renaming


def test_a_change(office, driver):
    """A run that takes one grant away and adds another, killed and completed; and back, killed and completed."""
    driver.done("apply", OTHER)
    other = office.essence()
    driver.done("apply", ONE)
    one = office.essence()
    for number in itertools.count(1):
        begun = []
        for pillar, reference, becomes in ((OTHER, other, OPEN_OTHER), (ONE, one, OPEN_ONE)):
            begun.append(killed(driver, "apply", pillar, number))
            assert survives(office, OPEN_ONE | OPEN_OTHER, f"change, step {number}", becomes)
            whole(office, driver, pillar, reference, number)
        if not any(begun):
            break
    assert office.openings((ADDRESS, ADDRESS6)) == OPEN_ONE
