"""Runs that are killed where iptables holds the guard, one IP version after the other, or is about to."""

import copy
import itertools

import pytest
from functional.office import BOTH, Office

from faults.conftest import Driver
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
def xtables(request):
    """An office whose ``iptables`` is this implementation."""
    with Office(ONE, request.param) as made:
        made.client.write("/etc/sudoers.d/site", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)
        yield made


@pytest.fixture
def driven(xtables):
    """Calls functions on that office's client."""
    made = Driver(xtables)
    yield made
    made.stop()


def test_a_change(xtables, driven):
    """A run that takes one grant away and adds another, killed at each step and completed; and back."""
    one, other = by(ONE, "iptables"), by(OTHER, "iptables")
    driven.done("apply", other)
    with_other = xtables.essence()
    driven.done("apply", one)
    with_one = xtables.essence()
    for number in itertools.count(1):
        begun = []
        for pillar, reference in ((other, with_other), (one, with_one)):
            begun.append(killed(driven, "apply", pillar, number))
            survives(xtables, OPEN_ONE | OPEN_OTHER, f"change, step {number}")
            whole(xtables, driven, pillar, reference, number)
        if not any(begun):
            break
    assert number > 10


def test_a_change_of_the_mechanism(xtables, driven):
    """From nftables to iptables and back: killed in between, one of them holds the guard, or both do."""
    old, new = by(ONE, "nftables"), by(ONE, "iptables")
    driven.done("apply", new)
    with_new = xtables.essence()
    driven.done("apply", old)
    with_old = xtables.essence()
    for number in itertools.count(1):
        begun = []
        for pillar, reference in ((new, with_new), (old, with_old)):
            begun.append(killed(driven, "apply", pillar, number))
            survives(xtables, OPEN_ONE, f"change of the mechanism, step {number}")
            whole(xtables, driven, pillar, reference, number)
        if not any(begun):
            break
    assert number > 10
