"""What becomes of an open session when its grant ends: ``on_end: drain`` lets it go on, and nothing else."""

import time

import pytest

from functional.clients import TALK, running, say
from functional.office import BOTH, FILES, changed, sentences
from scenes import ADDRESS, ADDRESS6, GROUP, article

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
PILLAR["spice"]["grants"]["myself-debianx"]["on_end"] = "drain"
LESS = changed(PILLAR, grants={"mybro-leaptest": PILLAR["spice"]["grants"]["mybro-leaptest"]})


def _session(office, user="myself", address=ADDRESS, port=20002):
    return running(office.client, TALK, address, port, user=user, group=GROUP)


def _opened(session):
    assert session.stdout.readline().strip() == "open"
    assert say(session, "hello") == "answered"


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_an_open_session_goes_on_and_no_new_one_begins(shared, address):
    """The run that removes the grant closes sudo and the port; what is open goes on until it ends by itself."""
    with _session(shared, address=address) as session:
        _opened(session)
        dry = shared.apply(LESS, test=True)
        real = shared.apply()
        assert (real["result"], real["changes"]) == (True, dry["changes"])
        assert f"closes {address} port 20002 to myself, whose open sessions may go on" in sentences(real["changes"])
        assert say(session, "still there?") == "answered"
        assert shared.reach("myself", GROUP, address, 20002) == "refused"
        assert not shared.opens("myself", FILES["debianx"])
        assert shared.apply()["changes"] == {}
        assert say(session, "and now?") == "answered"
        answer = shared.minion.call("spice_grant.explain", "myself", "debianx")
        assert answer["answer"] == "may not open"
        assert "may go on" in answer["firewall"]["why"]
        assert shared.verify()["ok"]
    text = sentences(_ended(shared)["changes"])
    assert f"closes {address} port 20002 to myself, whose last session has ended" in text
    assert shared.apply()["changes"] == {}


def _ended(office):
    """The run that notices that the session is gone; the kernel needs a moment to forget it."""
    deadline = time.monotonic() + 60
    while not (result := office.apply())["changes"]:
        assert time.monotonic() < deadline
    return result


def test_sessions_of_others_are_as_before(shared):
    """A grant that cuts is cut in the same run."""
    with _session(shared) as kept, _session(shared, "mybro", port=20004) as cut:
        _opened(kept)
        _opened(cut)
        shared.applied(changed(PILLAR, grants={}))
        assert say(cut, "still there?") == "ended"
        assert say(kept, "still there?") == "answered"


def test_a_session_goes_on_over_a_rebuilt_guard(shared):
    """Tampering is repaired without ending it, and the boot's rules have it as well: a service may flush ours."""
    with _session(shared) as session:
        _opened(session)
        shared.applied(LESS)
        shared.mechanism.delete(shared)
        shared.applied()
        assert say(session, "one") == "answered"
        shared.mechanism.delete(shared)
        shared.client.run(["/bin/sh", "/usr/local/lib/spice-grant/load-guard"])
        assert say(session, "two") == "answered"
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "refused"
        assert shared.minion.call("spice_firewall.plan") == {}


def test_granting_again_opens_again(shared):
    """The grant comes back while the session is there: all is as it was before."""
    with _session(shared) as session:
        _opened(session)
        shared.applied(LESS)
        assert f"opens {ADDRESS} port 20002 to myself" in sentences(shared.applied(PILLAR)["changes"])
        assert say(session, "one") == "answered"
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"


def test_an_account_that_goes_takes_its_session_with_it(shared):
    """Whoever gets the number next has nothing to do with what was open."""
    with _session(shared) as session:
        _opened(session)
        shared.client.run(["sed", "-i", "s/^myself:/renamed:/", "/etc/passwd"])
        try:
            shared.apply()
            assert say(session, "still there?") == "ended"
        finally:
            shared.client.run(["sed", "-i", "s/^renamed:/myself:/", "/etc/passwd"])
            shared.applied()


def test_two_grants_drain_only_if_both_do(shared):
    """The stricter of two grants of the same console decides."""
    both = changed(PILLAR)
    both["spice"]["grants"]["again"] = {"user": "myself", "vm": "debianx"}
    shared.applied(both)
    with _session(shared) as session:
        _opened(session)
        shared.applied(LESS)
        assert say(session, "still there?") == "ended"
