"""Offices for the tests: a fresh one for each test, or one for a whole module.

A module's ``PILLAR`` is what is in force in its shared office, without it the article's; its function ``prepare`` gets
the office before the first run.
"""

import compileall
import platform

import pytest
import setup

import kernellog
from functional.mechanisms import play_by_each
from functional.office import Office, difference
from scene import SceneError, need
from scene.machine import CHECKOUT
from scenes import article

# What this release of the distribution does not have; see test_tools.py in scene.
collect_ignore = [] if "sudo-rs" in setup.further(["test"], platform.freedesktop_os_release()) else ["test_sudo_rs.py"]
FIREWALLS = ("nft", "iptables-nft", "iptables-legacy")
PROGRAMS = (*FIREWALLS, "sudo", "visudo", "cvtsudoers", "remote-viewer", "ip", "useradd", "groupadd")


@pytest.fixture(scope="session", autouse=True)
def _programs():
    """Without root and these programs there is nothing to test."""
    need(*PROGRAMS)
    # As on a minion, where synced code is compiled once: a machine cannot write into the checkout.
    for directory in ("_modules", "_states", "_utils"):
        compileall.compile_dir(CHECKOUT / directory, quiet=1)


@pytest.fixture
def office():
    """A fresh office; nothing was applied yet."""
    with Office() as made:
        yield made


@pytest.fixture
def granted(office):
    """A fresh office with the article's grants in force."""
    office.applied()
    return office


class Keeper:
    """Keeps one office with a pillar's grants in force, and makes another when a test has left it different."""

    def __init__(self, pillar, prepare, mechanism):
        self.pillar = pillar
        self.mechanism = mechanism
        self.prepare = prepare
        self.office = None
        self.clean = None

    def get(self):
        """An office that is as good as new."""
        if self.office is not None and not (self._as_left() or self._repaired()):
            self.drop()
        if self.office is None:
            self.office = Office(self.pillar, self.mechanism)
            self.prepare(self.office)
            self.office.applied()
            self.clean = self.office.essence()
        return self.office

    def drop(self):
        """End the office."""
        if self.office is not None:
            self.office.stop()
            self.office = None

    def _as_left(self):
        self.office.minion.set_pillar(self.office.declared(self.pillar))
        return not self.traces()

    def traces(self):
        """What is different from how the office was at first, by path; ``nft`` for the ruleset."""
        return difference(self.clean, self.office.essence())

    def _repaired(self):
        """Whether one run makes it as it was; if not, a new office is wanted, not an excuse."""
        try:
            return self.office.apply()["result"] is True and self._as_left()
        except SceneError:
            return False


def pytest_generate_tests(metafunc):
    """A module's ``MECHANISMS`` are those by which each of its tests with an office of the module's is played."""
    play_by_each(metafunc, "keeper")


@pytest.fixture(scope="module")
def keeper(request):
    """Keeps the module's office."""
    module = request.module
    prepare = getattr(module, "prepare", lambda office: None)
    kept = Keeper(getattr(module, "PILLAR", None) or article(), prepare, request.param)
    yield kept
    kept.drop()


@pytest.fixture
def shared(keeper):
    """The module's office with its pillar's grants in force; if a test leaves it different it is put right."""
    return keeper.get()


@pytest.fixture(scope="module")
def looked_at(keeper):
    """The module's office, for tests that change nothing but what users do."""
    return keeper.get()


@pytest.fixture
def kernel_log():
    """The kernel's log, with what machines of a test log in it."""
    with kernellog.followed() as log:
        yield log
