"""Offices whose workstation has other firewalls beside the guard."""

import pytest
from functional.office import Office

from scene import need

PROGRAMS = ("nft", "iptables-legacy", "iptables-nft", "sudo", "visudo", "cvtsudoers", "remote-viewer", "ip", "useradd")


@pytest.fixture
def office():
    """A fresh office; nothing was applied yet."""
    need(*PROGRAMS)
    with Office() as made:
        yield made


@pytest.fixture(scope="module")
def guarded():
    """An office with the article's grants in force, for all tests of a module: they take away what they load."""
    need(*PROGRAMS)
    with Office() as made:
        made.applied()
        yield made
