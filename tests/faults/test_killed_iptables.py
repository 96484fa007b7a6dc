"""Runs that are killed where iptables holds the guard, one IP version after the other, or is about to."""

import copy
import itertools

import pytest
from functional.office import BOTH

from faults.proof import ONE, OPEN_ONE, OPEN_OTHER, OTHER, sudo_works, whole
from faults.test_killed import killed


def by(pillar, backend):
    """A pillar that names the mechanism."""
    made = copy.deepcopy(pillar)
    made["spice"]["firewall"] = {"backend": backend}
    return made


def survives(office, may, step):
    """Nobody is locked out, nobody gets in who may not, and the boot's script loads no more than that."""
    assert sudo_works(office), step
    assert office.openings(BOTH) <= may, step
    office.client.run(["/bin/sh", "/usr/local/lib/spice-grant/load-guard"])
    assert office.openings(BOTH) <= may, step


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def mechanism(request):
    """The office's ``iptables`` is this implementation."""
    return request.param


def test_a_change(office, driver):
    """A run that takes one grant away and adds another, killed at each step and completed; and back."""
    one, other = by(ONE, "iptables"), by(OTHER, "iptables")
    driver.done("apply", other)
    with_other = office.essence()
    driver.done("apply", one)
    with_one = office.essence()
    for number in itertools.count(1):
        begun = []
        for pillar, reference in ((other, with_other), (one, with_one)):
            begun.append(killed(driver, "apply", pillar, number))
            survives(office, OPEN_ONE | OPEN_OTHER, f"change, step {number}")
            whole(office, driver, pillar, reference, number)
        if not any(begun):
            break
    assert number > 10


def test_a_change_of_the_mechanism(office, driver):
    """From nftables to iptables and back: killed in between, one of them holds the guard, or both do."""
    old, new = by(ONE, "nftables"), by(ONE, "iptables")
    driver.done("apply", new)
    with_new = office.essence()
    driver.done("apply", old)
    with_old = office.essence()
    for number in itertools.count(1):
        begun = []
        for pillar, reference in ((new, with_new), (old, with_old)):
            begun.append(killed(driver, "apply", pillar, number))
            survives(office, OPEN_ONE, f"change of the mechanism, step {number}")
            whole(office, driver, pillar, reference, number)
        if not any(begun):
            break
    assert number > 10
