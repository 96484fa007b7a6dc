"""Clients, shared by all attacks."""

import pytest

from attacks.clients import Clients
from scene.requirements import need

PROGRAMS = ("qemu-system-x86_64", "remote-viewer", "openssl", "nft", "iptables-nft", "sudo", "visudo", "cvtsudoers")


@pytest.fixture(scope="module")
def clients():
    """Clients by form."""
    need("bwrap", "ip", "useradd", *PROGRAMS)
    made = Clients()
    yield made
    made.stop()
