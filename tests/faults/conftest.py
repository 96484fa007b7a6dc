"""An office where something can be made to go wrong at each step of a run."""

import pytest
from functional.conftest import _programs  # noqa: F401 - the same programs are needed here
from functional.office import Office

from checkout import commit
from faults.calls import Driver
from faults.desks import Desks
from faults.proof import ONE

EVERY = 10


@pytest.fixture
def walk(request):
    """Chooses steps of a run that has so many: those at which it is killed, and the one behind the last.

    All of them in a full one, else the first, the last and every n-th. From which one it counts depends on the commit,
    so that many commits walk through all steps, and one commit always takes the same.
    """

    def chosen(count):
        everything = range(1, count + 2)
        if request.config.getoption("full"):
            return [*everything]
        return [step for step in everything if step in (1, count, count + 1) or step % EVERY == offset()]

    return chosen


def offset():
    """A number below EVERY, of this commit."""
    return commit() % EVERY


def pytest_report_header(config):
    """Say which steps those are."""
    if config.getoption("full"):
        return "faults: at every step"
    return f"faults: at the first and the last step, and at each whose number leaves {offset()} if divided by {EVERY}"


@pytest.fixture
def mechanism():
    """What holds the guard in the office; a module may have another one."""
    return "nftables"


@pytest.fixture
def office(mechanism):
    """An office where somebody has a sudo rule of their own, which must always work; nothing was applied yet."""
    with Office(ONE, mechanism) as made:
        made.client.write("/etc/sudoers.d/site", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)
        yield made


@pytest.fixture
def driver(office):
    """Calls functions on the office's client."""
    made = Driver(office.minion)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def desks():
    """Keeps a workstation for all tests of a module."""
    made = Desks()
    yield made
    made.drop()
