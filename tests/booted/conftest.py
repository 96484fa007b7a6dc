"""A server that listens and a workstation that boots; one of each for all tests of a module."""

import pytest

from booted.workstation import Workstation
from scene import Listener, Machine, connect, need


@pytest.fixture(scope="module")
def server():
    """What listens behind the guarded ports."""
    need("debootstrap", "systemd-nspawn", "nft", "nsenter", "pgrep")
    with Machine("server") as machine:
        yield machine


@pytest.fixture(scope="module")
def workstation(server):
    """The booted client."""
    with Machine("client") as machine:
        connect(machine, server, ["192.168.2.22/24"], ["192.168.2.2/24"])
        with Listener(server, range(20001, 20011)):
            yield Workstation(machine)
