"""One console, one person: exclusive, taken over, and shared, at two desks and at one."""

import contextlib
import signal
import time

import pytest

from drift import until
from functional.hosted import CONSOLES, IN, Site, said

# Who asks: two users at two desks, and the same two at one.
ANNE, BEN = ("desk-1", "anne", "books"), ("desk-2", "ben", "books")
BEN_BESIDE = ("desk-1", "ben", "books")
VALID = 30


@pytest.fixture(scope="module")
def shared():
    """Host and desks; QEMU itself would let several in."""
    with Site() as made:
        made.kvm.virsh("destroy", "books")
        made.kvm.virsh("undefine", "books")
        made.kvm.define("books", CONSOLES["books"][1], several=True, tlsPort=CONSOLES["books"][0])
        made.apply()
        made.minion.call("spice_host.accept", "books")
        made.applied()
        made.kvm.virsh("start", "books")
        yield made


def sharing(site, kind, *without):
    """The site's pillar with that for the console, and without some grants."""
    vms = site.pillar["spice"]["vms"]
    grants = site.without(*without)["spice"]["grants"]
    return site.changed(vms={**vms, "books": {**vms["books"], "sharing": kind}}, grants=grants)


@pytest.fixture
def site(shared, request):
    """Host and desks with nobody in, and the kind of sharing that a test is about."""
    shared.afresh()
    if request.param != "exclusive":
        shared.applied(sharing(shared, request.param))
    return shared


exclusive, takeover, several = (
    pytest.mark.parametrize("site", [kind], indirect=True) for kind in ("exclusive", "takeover", "shared")
)


@contextlib.contextmanager
def opened(site, desk, user, vm, settled=True):
    """A session that a user has at a desk; settled once its ticket opens nothing any more."""
    with site.linked(desk, vm, site.ticket(desk, user, vm), user=user) as (answer, process):
        assert answer == IN
        if settled:
            until(lambda: (vm, user, desk, False) in site.sessions())
        yield process


@exclusive
def test_who_is_in_stays_and_the_next_is_told(site):
    """Who has it, and since when; and gets in when the first has gone."""
    with opened(site, *ANNE):
        answer = site.ask(*BEN)
        assert (answer["refusal"], answer["user"]) == ("in_use", "anne") and answer["since"] > 0
        with site.viewer("desk-2", "ben", "books") as (desktop, process):
            code, text = said(desktop, process)
            assert code == 1
            assert text.startswith("rviewer: books cannot be opened: anne has it open since ")
        assert len(site.connections("books")) == 1
    until(lambda: site.sessions() == set())
    assert "ticket" in site.ask(*BEN)


@exclusive
def test_who_has_no_grant_is_not_told_who_is_in(site):
    """Nor when."""
    with opened(site, *ANNE):
        answer = site.ask("desk-2", "eve", "books")
        assert (answer["refusal"], "user" in answer, "since" in answer) == ("not_granted", False, False)


@exclusive
def test_a_ticket_that_was_not_used_yet_counts(site):
    """Two that ask at once: one gets it. The same one may ask again, and only the newest ticket opens it."""
    first = site.ticket(*ANNE)
    assert site.ask(*BEN)["refusal"] == "in_use"
    second = site.ticket(*ANNE)
    assert site.link("desk-1", "books", first) != IN
    assert site.link("desk-1", "books", second) == IN


@exclusive
def test_ones_own_session_elsewhere_gives_way(site):
    """Also one of a desk that has crashed, and does not say so: it is the same person's."""
    with opened(site, *ANNE) as process:
        process.send_signal(signal.SIGSTOP)
        site.desks["desk-1"].run(["ip", "link", "set", "eth0", "down"])
        try:
            with opened(site, "desk-2", "anne", "books"):
                assert site.sessions() == {("books", "anne", "desk-2", False)}
                assert all("192.168.2.22" in line for line in site.connections("books"))
        finally:
            site.desks["desk-1"].run(["ip", "link", "set", "eth0", "up"])
            process.send_signal(signal.SIGCONT)


@exclusive
def test_a_console_that_its_viewer_does_not_read_is_not_in_use_for_ever(site):
    """The console closes, and the desk takes nothing more: the kernel would keep that connection for hours."""
    with opened(site, *ANNE) as process:
        process.send_signal(signal.SIGSTOP)
        site.kvm.restart("books")
        until(lambda: site.sessions() == set())
        assert "ticket" in site.ask(*BEN)
        process.send_signal(signal.SIGCONT)


@exclusive
def test_a_viewer_that_ends_at_once_holds_nobody_up(site):
    """Before its ticket has ended."""
    begun = time.time()
    with opened(site, *ANNE, settled=False):
        time.sleep(2)
    until(lambda: site.sessions() == set())
    assert "ticket" in site.ask(*BEN)
    assert time.time() < begun + VALID


@takeover
def test_the_next_one_throws_the_first_out_who_is_told_by_whom(site):
    """With both of their real viewers: the picture is the second one's now."""
    with site.viewer("desk-1", "anne", "books") as (desktop, first):
        assert desktop.shows(site.rgb["books"])
        until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
        with site.viewer("desk-2", "ben", "books") as (other, second):
            assert said(desktop, first) == (1, "rviewer: books was closed: ben has opened it.\n")
            assert other.shows(site.rgb["books"])
            until(lambda: site.sessions() == {("books", "ben", "desk-2", False)})
            assert second.poll() is None
            assert all("192.168.2.22" in line for line in site.connections("books"))


@takeover
def test_who_is_just_opening_it_is_not_thrown_out(site):
    """The console has one password: the other one waits for a moment."""
    ticket = site.ticket(*ANNE)
    assert site.ask(*BEN)["refusal"] == "busy"
    with site.linked("desk-1", "books", ticket) as (answer, _):
        assert answer == IN
        until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
        assert "ticket" in site.ask(*BEN)
        until(lambda: site.connections("books") == [])


@takeover
def test_at_one_desk_too(site):
    """Two users of it: the first one's connections end, the second one's do not."""
    with opened(site, *ANNE), opened(site, *BEN_BESIDE):
        assert site.sessions() == {("books", "ben", "desk-1", False)}
        assert len(site.connections("books")) == 1


@several
def test_two_desks_have_it_at_once(site):
    """The end of one is none of the other's."""
    with opened(site, *BEN):
        with opened(site, *ANNE):
            assert site.sessions() == {("books", "anne", "desk-1", False), ("books", "ben", "desk-2", False)}
            assert len(site.connections("books")) == 2
        until(lambda: site.sessions() == {("books", "ben", "desk-2", False)})
        assert len(site.connections("books")) == 1
        assert site.elements("open4") == {("192.168.2.22", 20003)}


@several
def test_two_users_of_one_desk_have_it_at_once(site):
    """Neither the end of one, by itself or by revocation, nor a ticket that shuts, is the other's."""
    with opened(site, *ANNE) as hers:
        ticket = site.ticket(*BEN_BESIDE)
        # Hers are no connections of his: his ticket is not shut after three seconds because of them.
        time.sleep(5)
        with site.linked("desk-1", "books", ticket, user="ben") as (answer, his):
            assert answer == IN
            until(lambda: ("books", "ben", "desk-1", False) in site.sessions())
            assert len(site.connections("books")) == 2
            site.applied(sharing(site, "shared", "anne-books"))
            until(lambda: site.sessions() == {("books", "ben", "desk-1", False)})
            until(lambda: len(site.connections("books")) == 1)
            assert his.poll() is None and hers.poll() is None
            assert site.elements("open4") == {("192.168.2.21", 20003)}
