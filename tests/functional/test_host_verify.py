"""spice_host.verify: what it proves of consoles that are in order, and that it sees what is not."""

import pytest

from drift import until
from functional.hosted import CONSOLES, ENDED, IN, Site
from scene import SaltError

WAYS = {
    "without a ticket": "refused",
    "guessed password": "denied",
    "password of its definition": "denied",
    "ticket, from another address": "refused",
    "ticket": "open",
    "ticket, once its session has ended": "refused",
}


@pytest.fixture(scope="module")
def shared():
    """Host and desks."""
    with Site() as made:
        yield made


@pytest.fixture
def site(shared):
    """Host and desks with nobody in."""
    shared.afresh()
    return shared


def verified(site, code, **which):
    """What it found; the exit code has to agree."""
    found, retcode = site.minion.call_raw("spice_host.verify", **which)
    assert retcode == code, found
    return found


def test_consoles_in_order(site):
    """All ways are tried, and nothing of that is left."""
    found = verified(site, 0)
    assert found == {"ok": True, "differences": [], "unproven": [], "consoles": dict.fromkeys(sorted(CONSOLES), WAYS)}
    assert site.sessions() == set() and site.elements("open4") == site.elements("opening4") == set()
    until(lambda: {site.password_end(vm) for vm in CONSOLES} == {ENDED})
    assert "ticket" in site.ask("desk-1", "anne", "books")


def test_whoever_has_a_console_open_keeps_it(site):
    """That one is tried without a ticket alone, and who has it is said."""
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, process):
        assert answer == IN
        until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
        found = verified(site, 2, vm="books")
        assert found["unproven"] == ["books: anne has it open"]
        assert found["consoles"] == {"books": {"without a ticket": "refused"}}
        assert process.poll() is None and len(site.connections("books")) == 1
        assert site.sessions() == {("books", "anne", "desk-1", False)}


def test_a_console_that_is_off(site):
    """It is named; the others are proven."""
    site.kvm.virsh("destroy", "debianx")
    try:
        found = verified(site, 0)
        assert found["unproven"] == ["debianx: at port 20002 nobody listens"]
        assert found["consoles"] == {"books": WAYS, "debianx": {}}
    finally:
        site.kvm.virsh("start", "debianx")


# Gives tickets, and leaves the kernel's rules as they are.
BLIND = """
import sys
sys.path.insert(0, sys.argv[1])
from spicegrants.hypervisor.live import service, tickets
tickets.hold_ports = lambda *_: False
sys.exit(service.main())
"""


def test_rules_that_let_somebody_in(site):
    """By somebody's hand, in front of ours: the port is open, and only passwords keep others out."""
    site.end_service()
    site.serve("-c", BLIND)
    site.host.run(["nft", "insert rule inet spice_host input ip saddr 127.0.0.0/8 accept"])
    found = verified(site, 1, vm="books")
    ways = found["consoles"]["books"]
    assert found["ok"] is False
    # Whoever is in by no ticket is thrown out again, in time or not; and passwords end a moment after their session.
    for way, other in (
        ("ticket, from another address", "open"),
        ("without a ticket", "denied"),
        ("ticket, once its session has ended", "denied"),
    ):
        assert ways[way] in (other, "it hung up", "open")
        assert f"books: {way}: {ways[way]}, and should be refused" in found["differences"]
    assert len(found["differences"]) == 3


def test_without_what_gives_tickets(site):
    """There is no proof."""
    site.end_service()
    with pytest.raises(SaltError, match="the service that gives tickets does not answer"):
        site.minion.call("spice_host.verify", vm="books")
    site.serve()


@pytest.mark.parametrize("vm", ["nosuch", "Books"])
def test_a_vm_that_is_none(site, vm):
    """The nearest is named."""
    with pytest.raises(SaltError, match="this host gives no tickets for a vm"):
        site.minion.call("spice_host.verify", vm=vm)
