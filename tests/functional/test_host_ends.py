"""A right that goes ends at the host, with the desk's network cut: by a run, a window's end, a lock; both say so."""

import contextlib
import signal
import time

import pytest

import soon
from drift import until
from functional.hosted import IN, Site, said

STATE = "/var/lib/spice-host/state.json"
# Seconds within which a session is gone at the host, where nothing else happens there.
WITHIN = 60


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


ANNE, BEN = ("desk-1", "anne", "books"), ("desk-2", "ben", "debianx")


@contextlib.contextmanager
def opened(site, *who):
    """Sessions whose tickets open nothing any more: Anne's without further words."""
    with contextlib.ExitStack() as stack:
        for desk, user, vm in who or (ANNE,):
            answer, _ = stack.enter_context(site.linked(desk, vm, site.ticket(desk, user, vm), user=user))
            assert answer == IN
        until(lambda: {(vm, user, desk, False) for desk, user, vm in who or (ANNE,)} <= site.sessions())
        yield


@contextlib.contextmanager
def offline(site, desk="desk-1"):
    """A desk that nobody reaches."""
    machine = site.desks[desk]
    machine.run(["ip", "link", "set", "eth0", "down"])
    try:
        yield
    finally:
        machine.run(["ip", "link", "set", "eth0", "up"])


@contextlib.contextmanager
def stopped(site, program):
    """A program that hangs."""
    site.kvm.process(program).send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        site.kvm.process(program).send_signal(signal.SIGCONT)


def gone(site, *others):
    """Wait until nobody but these has a session or a connection, and nothing lets somebody in."""
    until(lambda: site.sessions() == {*others}, WITHIN)
    until(lambda: len(site.connections("books")) == 0, WITHIN)
    assert site.elements("open4") == {(address, port) for address, port in site.elements("open4") if port != 20003}


def without_anne(site):
    """Anne's grant is in the host's pillar no more."""
    site.applied(site.without("anne-books"))


def without_desk(site):
    """The desk is in the host's pillar no more."""
    site.applied(site.changed(desks={"desk-2": site.pillar["spice"]["desks"]["desk-2"]}))


def without_vm(site):
    """The vm is in the host's pillar no more."""
    vms = {name: vm for name, vm in site.pillar["spice"]["vms"].items() if name != "books"}
    grants = {name: each for name, each in site.pillar["spice"]["grants"].items() if each["vm"] != "books"}
    site.applied(site.changed(vms=vms, grants=grants))


def locked(site):
    """A lock of the host's own."""
    site.minion.call("spice_grant.lock", "anne")


def damaged(site):
    """What is stored cannot be read: nobody knows who was locked."""
    site.host.write(STATE, "{", mode=0o600)


def removed(site):
    """What is stored is gone."""
    site.host.run(["rm", STATE])


@pytest.mark.turns(2)
@pytest.mark.parametrize("taken", [without_anne, without_desk, without_vm, locked, damaged, removed])
def test_a_session_ends_at_the_host_though_the_desk_cannot_be_reached(site, taken):
    """The console has no connection any more; a session of somebody else's goes on."""
    with opened(site, BEN, ANNE), offline(site):
        others = {("debianx", "ben", "desk-2", False)} if taken not in (damaged, removed) else ()
        taken(site)
        gone(site, *others)
        assert len(site.connections("debianx")) == len(others)
    if taken is locked:
        assert site.ask("desk-2", "anne", "books")["refusal"] == "locked"
    if taken in (locked, damaged, removed):
        site.host.run(["rm", "-f", STATE])
        site.applied()


def test_while_libvirt_does_not_answer(site):
    """What ends a session needs it for nothing: neither what is stored, nor the session's own connections."""
    with opened(site), offline(site), stopped(site, "libvirtd"):
        result = site.apply(site.without("anne-books"))
        assert result["result"] is False and "virsh has not answered within 20 s" in result["comment"]
        gone(site)


def test_a_session_that_is_just_opening_ends_as_well(site):
    """With its ticket, which opens nothing any more."""
    ticket = site.ticket("desk-1", "anne", "books")
    with site.linked("desk-1", "books", ticket) as (answer, _):
        assert answer == IN
        site.applied(site.without("anne-books"))
        gone(site)
        until(lambda: site.shut("books"))
        assert site.link("desk-1", "books", ticket) == "refused"
    assert site.ask("desk-1", "anne", "books")["refusal"] == "not_granted"


@pytest.mark.parametrize("user", ["anne", "ben"])
def test_the_end_of_a_window(site, user):
    """At the moment that pillar says, by the host alone; the kernel does it where the service cannot."""

    def play(seconds):
        site.afresh()
        end = int(time.time()) + seconds
        until_then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        grants = site.pillar["spice"]["grants"]
        limited = {**grants["anne-books"], "user": user, "valid_until": until_then}
        site.applied(site.changed(grants={**site.without("ben-books", "anne-books")["spice"]["grants"], "x": limited}))
        with site.linked("desk-1", "books", site.ticket("desk-1", user, "books"), user=user) as (answer, process):
            assert answer == IN
            until(lambda: ("books", user, "desk-1", False) in site.sessions())
            if user == "ben":
                # Nobody ends it: what is let in has its own end.
                site.end_service()
                soon.wait(end + 2)
                assert site.elements("open4") == set()
                site.serve()
            else:
                soon.wait(end - 1)
                assert len(site.connections("books")) == 1
            gone(site)
        assert site.ask("desk-1", user, "books")["refusal"] in ("closed", "not_granted")
        return process

    soon.in_time(play, 20)


def test_both_sides_say_so(site):
    """A real viewer: its user reads why; the host's journal has it."""
    with site.viewer("desk-1", "anne", "books") as (desktop, process):
        assert desktop.shows(site.rgb["books"])
        until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
        site.applied(site.without("anne-books"))
        code, text = said(desktop, process)
        assert (code, text) == (1, "rviewer: books was closed: the KVM host knows of no grant that is yours.\n")
    gone(site)
    assert "books: the session of anne at desk-1 ends: not_granted" in site.said()
