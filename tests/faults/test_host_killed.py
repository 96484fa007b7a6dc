"""The KVM host's half, killed at any step: nothing opens, the next launch opens, and the next run makes it good."""

import copy
import pathlib

import pytest
from functional.hosted import CONSOLES, DENIED, ENDED, IN, Site
from functional.hosttraces import essence, graphics, snapshot
from functional.office import difference

from drift import until
from faults.calls import Driver
from faults.proof import killed
from faults.steps import ARMED, STEPS

ANNE, BEN = ("desk-1", "anne", "books"), ("desk-2", "ben", "debianx")
MINTING, SHUTTING, LOOKING = "process_request_thread", "_end_password", "MainThread"
NEVER = 10**6
KILLED = pathlib.Path(__file__).with_name("givekilled.py")


@pytest.fixture(scope="module")
def site():
    """Host and desks."""
    with Site() as made:
        yield made


@pytest.fixture
def driver(site):
    """Calls functions on the host, where nothing gives tickets."""
    site.afresh()
    site.end_service()
    for name in CONSOLES:
        site.kvm.restart(name)
    made = Driver(site.minion, "spice_host")
    yield made
    made.stop()
    site.afresh()


def served(site, thread, step=NEVER):
    """Begin with no session, and what gives tickets killed at a step of a thread, once it is armed."""
    site.host.run(["rm", "-f", ARMED])
    site.afresh()
    site.end_service()
    site.serve(KILLED, thread, step)


def armed(site):
    """From now on steps count."""
    site.host.write(ARMED, "")


def steps(site):
    """Those that were taken."""
    return site.host.read(STEPS).splitlines()


def opens_to_nobody(site, step):
    """Insist that who has no ticket gets in nowhere: not from a desk, not from elsewhere."""
    for where, answers in (("desk-1", ("refused", DENIED)), ("desk-2", ("refused",)), ("laptop", ("refused",))):
        assert site.link(where, "books", "guessed") in answers, (step, where)


def next_launch_opens(site, step):
    """Insist that once it gives tickets again, the same user gets in, and is alone there."""
    site.serve()
    with site.linked("desk-1", "books", site.ticket(*ANNE)) as (answer, _):
        assert answer == IN, step
        until(lambda: site.sessions() == {("books", "anne", "desk-1", False)})
        until(lambda: site.shut("books"))
        assert len(site.connections("books")) == 1, step


def test_a_ticket_that_is_being_made(site, walk):
    """Nobody is told it; the next launch does not wait for its end."""
    served(site, MINTING)
    armed(site)
    site.ticket(*ANNE)
    taken = steps(site)
    assert any("virsh" in step for step in taken) and any("nft" in step for step in taken)
    for number in walk(len(taken))[:-1]:
        served(site, MINTING, number)
        armed(site)
        answer = site.ask(*ANNE)
        until(site.has_ended)
        step = steps(site)[-1]
        assert answer == {"refusal": "failed", "why": "what gives tickets there has ended meanwhile"}, step
        opens_to_nobody(site, step)
        next_launch_opens(site, step)


@pytest.mark.full
def test_a_ticket_that_is_being_shut(site, walk):
    """It opens nothing, and the session that it opened goes on, or ends; the next launch opens."""

    def play(number):
        served(site, SHUTTING, number)
        armed(site)
        ticket = site.ticket(*ANNE)
        with site.linked("desk-1", "books", ticket) as (answer, _):
            assert answer == IN
            until(site.has_ended if number != NEVER else lambda: site.shut("books"))
            taken = steps(site)
            for where in ("desk-1", "desk-2", "laptop"):
                assert site.link(where, "books", ticket) == "refused", (taken[-1], where)
        return taken

    taken = play(NEVER)
    for number in walk(len(taken))[:-1]:
        opens = play(number)[-1]
        next_launch_opens(site, opens)


@pytest.mark.full
def test_a_session_that_is_being_ended(site, walk):
    """Its right has gone: whatever ends it was killed; what is started in its place ends it."""

    def play(number):
        served(site, LOOKING, number)
        with site.linked("desk-1", "books", site.ticket(*ANNE)) as (answer, _):
            assert answer == IN
            until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
            armed(site)
            # A run tells it to look, and ends nothing itself: of a loan's end nobody else hears.
            site.host.write("/var/lib/spice-host/state.json", "{", mode=0o600)
            if number == NEVER:
                until(lambda: site.sessions() == set())
            else:
                until(site.has_ended)
                site.serve()
            until(lambda: site.sessions() == set())
            until(lambda: site.connections("books") == [])
            assert site.elements("open4") == site.elements("opening4") == set()
        site.host.run(["rm", "-f", ARMED, "/var/lib/spice-host/state.json"])
        site.applied()
        return steps(site)

    for number in walk(len(play(NEVER)))[:-1]:
        play(number)
        assert "ticket" in site.ask(*ANNE)


def test_a_first_run_and_a_removal(site, driver, walk):
    """Whatever a killed run leaves: consoles that nobody gets in to, and a next run, or removal, that completes it."""
    open_as_of_old = graphics(passwd=None, passwdValidTo=None)
    pillar = site.pillar
    first = {}
    driver.done("remove")
    removed = essence(snapshot(site))
    open_as_of_old(site)
    answer = driver.call("apply", pillar)
    assert answer["data"]["errors"] == [], answer
    applied = essence(snapshot(site))
    first["apply"] = answer["steps"]
    first["remove"] = driver.call("remove")["steps"]
    for number in walk(max(map(len, first.values()))):
        open_as_of_old(site)
        assert killed(driver, "apply", pillar, number) is (number <= len(first["apply"]))
        step = [*first["apply"], *["the end"] * number][number - 1]
        # What runs is shut since the first run of all; what a run has not shut yet is the next start's.
        assert {site.password_end(vm) for vm in CONSOLES} == {ENDED}, step
        driver.done("apply", pillar)
        assert driver.done("plan", pillar)["changes"] == {}, step
        assert difference(applied, essence(snapshot(site))) == {}, step
        assert killed(driver, "remove", None, number) is (number <= len(first["remove"]))
        step = [*first["remove"], *["the end"] * number][number - 1]
        driver.done("remove")
        assert driver.done("remove")["changes"] == {}, step
        assert difference(removed, essence(snapshot(site))) == {}, step
        assert {site.password_end(vm) for vm in CONSOLES} == {ENDED}, step
    driver.done("apply", pillar)


@pytest.mark.full
def test_a_change(site, driver, walk):
    """A grant goes, another comes; back again: killed, what went opens nothing once the run has stored that."""
    without, whole = copy.deepcopy(site.without("anne-books")), site.pillar
    references, lengths = {}, {}
    for name, pillar in (("without", without), ("whole", whole)):
        answer = driver.call("apply", pillar)
        assert answer["data"]["errors"] == [], answer
        lengths[name], references[name] = len(answer["steps"]), essence(snapshot(site))
    for number in walk(max(lengths.values())):
        for name, pillar in (("without", without), ("whole", whole)):
            assert killed(driver, "apply", pillar, number) is (number <= lengths[name])
            driver.done("apply", pillar)
            assert driver.done("plan", pillar)["changes"] == {}, (name, number)
            assert difference(references[name], essence(snapshot(site))) == {}, (name, number)
