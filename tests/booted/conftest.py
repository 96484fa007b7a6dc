"""A server that listens and a workstation that boots; one of each for all tests of a module."""

import pytest
from functional.mechanisms import play_by_each

import scenes
from booted.trial import Trial
from booted.workstation import Workstation
from scene import Listener, need


def pytest_generate_tests(metafunc):
    """A module's ``MECHANISMS`` are those that hold the guard of its workstation, one after the other."""
    play_by_each(metafunc, "workstation")


@pytest.fixture(scope="module")
def workstation(request):
    """The booted client, and what listens behind the guarded ports of its server."""
    need("debootstrap", "systemd-nspawn", "nft", "iptables-legacy", "iptables-nft", "nsenter", "pgrep")
    with scenes.pair(ipv6=False) as (machine, server, _), Listener(server, range(20001, 20011)):
        yield Workstation(machine, request.param)


@pytest.fixture(scope="module")
def trial(workstation):
    """The booted client, with what it takes to try times on it."""
    return Trial(workstation)
