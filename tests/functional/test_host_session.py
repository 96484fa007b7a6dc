"""A granted user opens a console by a ticket of the KVM host's, with the real viewer; and closes it."""

import pytest

from drift import until
from functional.hosted import ENDED, IN, Site


@pytest.fixture(scope="module")
def site():
    """Host and desks."""
    with Site() as made:
        yield made


def test_a_granted_user_sees_the_console_and_the_ticket_is_shut_behind_them(site):
    """The right one; once all channels are open nothing more opens it, and the session goes on."""
    with site.viewer("desk-1", "anne", "books") as (desktop, process):
        assert desktop.shows(site.rgb["books"])
        assert not desktop.shows(site.rgb["debianx"], timeout=0)
        until(lambda: site.sessions() == {("books", "anne", "desk-1", False)})
        until(lambda: site.shut("books"))
        assert site.elements("open4") == {("192.168.2.21", 20003)}
        assert process.poll() is None
        assert desktop.shows(site.rgb["books"], timeout=0)
    until(lambda: site.sessions() == set())
    assert site.elements("open4") == set() and site.password_end("books") == ENDED


def test_the_next_launch_opens_it_again(site):
    """At another desk, for another user, by another ticket."""
    first = site.ticket("desk-2", "ben", "books")
    with site.linked("desk-2", "books", first) as (answer, _):
        assert answer == IN
        until(lambda: site.sessions() == {("books", "ben", "desk-2", False)})
    until(lambda: site.sessions() == set())
    assert site.ticket("desk-2", "ben", "books") != first


def test_a_session_goes_on_through_a_restart_of_what_gives_tickets(site):
    """And through a flush of the rules, which it notices: they are made anew with what goes on."""
    site.afresh()
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, process):
        assert answer == IN
        until(lambda: site.sessions() == {("books", "anne", "desk-1", False)})
        until(lambda: site.shut("books"))
        site.end_service()
        site.host.run(["nft", "flush", "ruleset"])
        site.serve()
        until(lambda: site.elements("open4") == {("192.168.2.21", 20003)})
        assert site.shut("books") and process.poll() is None
        assert site.sessions() == {("books", "anne", "desk-1", False)}
        assert site.link("laptop", "books", "guessed") == "refused"
        until(lambda: "the rules are made anew" in site.said())


def test_it_hears_of_changes_of_the_rules(site):
    """By the kernel, at once: between two looks somebody's flush would have the ports open to all."""
    joined = [line.split() for line in site.host.run(["cat", "/proc/net/netlink"]).stdout.splitlines()[1:]]
    assert [groups for _, family, _, groups, *_ in joined if family == "12" and int(groups, 16) & 1 << 6]
    for _ in range(5):
        site.host.run(["nft", "flush", "ruleset"])
        until(lambda: site.elements("open4") == set())


@pytest.mark.parametrize("left", ["", "{", '[["books"]]', '[{"vm": "books"}]'])
def test_what_no_session_is_about_ends(site, left):
    """Where the account of sessions is lost or damaged: nobody can say whose they are."""
    site.afresh()
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, _):
        assert answer == IN
        site.end_service()
        if left:
            site.host.write("/run/spice-host/sessions.json", left, mode=0o600)
        else:
            site.host.run(["rm", "/run/spice-host/sessions.json"])
        site.serve()
        until(lambda: site.elements("open4") == set())
        assert site.elements("opening4") == set()
        until(lambda: site.connections("books") == [])
        assert site.link("desk-1", "books", "guessed") == "refused"
    assert "ticket" in site.ask("desk-1", "anne", "books")
