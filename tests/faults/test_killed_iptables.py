"""Runs that are killed where iptables holds the guard, one IP version after the other, or is about to."""

import copy

import pytest
from functional.office import BOTH

from faults.proof import ONE, OPEN_ONE, OPEN_OTHER, OTHER, killed_there_and_back, sudo_works

pytestmark = pytest.mark.full


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


@pytest.fixture
def mechanism(request):
    """The office's ``iptables`` is this implementation."""
    return request.param


# A run takes the same steps with either implementation; each is killed once at those that are chosen.
@pytest.mark.parametrize("mechanism", ["iptables-legacy"], indirect=True)
def test_a_change(office, driver, walk):
    """A run that takes one grant away and adds another, killed and completed; and back."""
    one, other = by(ONE, "iptables"), by(OTHER, "iptables")
    may = OPEN_ONE | OPEN_OTHER
    killed_there_and_back(office, driver, other, one, walk, lambda _, step: survives(office, may, step))


@pytest.mark.parametrize("mechanism", ["iptables-nft"], indirect=True)
def test_a_change_of_the_mechanism(office, driver, walk):
    """From nftables to iptables and back: killed in between, one of them holds the guard, or both do."""
    old, new = by(ONE, "nftables"), by(ONE, "iptables")
    killed_there_and_back(office, driver, new, old, walk, lambda _, step: survives(office, OPEN_ONE, step))
