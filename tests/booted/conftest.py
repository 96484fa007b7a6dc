"""A server that listens and a workstation that boots; one of each for all tests of a module."""

import pytest
from functional.mechanisms import play_by_each

from booted.trial import Trial
from booted.workstation import Workstation
from scene import Listener, Machine, connect, need


@pytest.fixture(scope="module")
def server():
    """What listens behind the guarded ports."""
    need("debootstrap", "systemd-nspawn", "nft", "iptables-legacy", "iptables-nft", "nsenter", "pgrep")
    with Machine("server") as machine:
        yield machine


def pytest_generate_tests(metafunc):
    """A module's ``MECHANISMS`` are those that hold the guard of its workstation, one after the other."""
    play_by_each(metafunc, "workstation")


@pytest.fixture(scope="module")
def workstation(server, request):
    """The booted client."""
    with Machine("client") as machine:
        connect(machine, server, ["192.168.2.22/24"], ["192.168.2.2/24"])
        with Listener(server, range(20001, 20011)):
            yield Workstation(machine, request.param)


@pytest.fixture(scope="module")
def trial(workstation):
    """The booted client, with what it takes to try times on it."""
    return Trial(workstation)
