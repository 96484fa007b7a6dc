"""A KVM host, or the way to it, that is not as it should be: nothing opens, and who asked reads in one line why."""

import contextlib
import json
import signal
import threading

import pytest

from drift import until
from functional.hosted import DENIED, IN, KNOWN_HOSTS, Site, said

STATE = "/var/lib/spice-host/state.json"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
ANNE, BEN = ("desk-1", "anne", "books"), ("desk-2", "ben", "debianx")
# More than one desk may ask for at once, and far more than it may in the time that they take.
FLOOD = 60
CANNOT = "rviewer: books cannot be opened: "
ASKED = "the KVM host kvm cannot be asked: "


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


@contextlib.contextmanager
def without_libvirt(site):
    """libvirtd is dead; domains go on."""
    site.kvm.end("libvirtd")
    try:
        yield
    finally:
        site.kvm.start("libvirtd")
        until(lambda: site.kvm.virsh("list", check=False).returncode == 0)


@contextlib.contextmanager
def with_slow_libvirt(site):
    """libvirtd hangs."""
    site.kvm.process("libvirtd").send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        site.kvm.process("libvirtd").send_signal(signal.SIGCONT)


@contextlib.contextmanager
def without_sshd(site):
    """Nobody answers at its port."""
    site.kvm.end("sshd")
    try:
        yield
    finally:
        site.kvm.start("sshd", "-D", "-e")
        until(lambda: site.host.run(["ss", "-Hltn", "sport = :22"]).stdout)


@contextlib.contextmanager
def with_another_host_key(site):
    """As after the host was made anew, or where somebody answers in its place."""
    kept = {path: site.host.read(path) for path in (HOST_KEY, f"{HOST_KEY}.pub")}
    site.host.run(["rm", *kept])
    site.host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", HOST_KEY])
    with without_sshd(site):
        pass
    try:
        yield
    finally:
        for path, text in kept.items():
            site.host.write(path, text, mode=0o600)
        with without_sshd(site):
            pass


@contextlib.contextmanager
def without_the_service(site):
    """What gives tickets is dead."""
    site.end_service()
    try:
        yield
    finally:
        site.serve()


@contextlib.contextmanager
def with_a_damaged_store(site):
    """Nobody can tell what is granted or locked."""
    kept = site.host.read(STATE)
    site.host.write(STATE, "{", mode=0o600)
    try:
        yield
    finally:
        site.host.write(STATE, kept, mode=0o600)


@contextlib.contextmanager
def without_pinned_key(site):
    """The desk does not know the host."""
    kept = site.desks["desk-1"].read(KNOWN_HOSTS)
    site.desks["desk-1"].run(["rm", KNOWN_HOSTS])
    try:
        yield
    finally:
        site.desks["desk-1"].write(KNOWN_HOSTS, kept)


@pytest.mark.turns(2)
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (without_libvirt, "the KVM host could not make a ticket: virsh "),
        (with_slow_libvirt, "the KVM host could not make a ticket: virsh has not answered within 10 s"),
        (without_sshd, f"{ASKED}ssh: connect to host mysrv.anraconc.de port 22: Connection refused"),
        (with_another_host_key, f"{ASKED}Host key verification failed"),
        (without_pinned_key, f"{ASKED}Host key verification failed"),
        (without_the_service, "the KVM host could not make a ticket: what gives tickets there does not answer: "),
        (with_a_damaged_store, "the KVM host could not make a ticket: /var/lib/spice-host/state.json"),
    ],
)
def test_nothing_opens_and_the_user_reads_why(site, broken, words):
    """One line, no traceback, nothing left that lets somebody in; and once all is well it opens."""
    with broken(site):
        with site.viewer(*ANNE) as (desktop, process):
            code, text = said(desktop, process)
        assert code in (1, 3) and text.startswith(f"{CANNOT}{words}") and text.count("\n") == 1, text
        assert not site.elements("opening4")
        assert site.link("desk-1", "books", "guessed") in ("refused", DENIED)
        assert site.link("laptop", "books", "guessed") == "refused"
    with site.linked("desk-1", "books", site.ticket(*ANNE)) as (answer, _):
        assert answer == IN


def together(*asked):
    """Ask several times at once; return the answers, as data or as what ssh complained of."""
    answers = [None] * len(asked)

    def ask(number, site, desk, user, vm):
        code, printed, complained = site.ssh(desk, "open", input=f"{user} {vm}\n".encode())
        answers[number] = json.loads(printed) if code == 0 else complained

    threads = [threading.Thread(target=ask, args=(number, *each)) for number, each in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_two_who_ask_at_once(site):
    """One of them gets a ticket, the other is told that somebody is in, or just coming."""
    grants = site.pillar["spice"]["grants"]
    assert {each["user"] for each in grants.values() if each["vm"] == "books"} == {"anne", "ben"}
    for _ in range(3):
        site.afresh()
        answers = together((site, *ANNE), (site, "desk-2", "ben", "books"))
        assert sorted("ticket" in answer for answer in answers) == [False, True], answers
        (refused,) = [answer["refusal"] for answer in answers if "ticket" not in answer]
        assert refused in ("in_use", "busy")
        assert len(site.sessions()) == 1


def test_a_desk_that_asks_without_end(site):
    """It gets no more than its share; another desk is served meanwhile."""
    flood = threading.Thread(target=lambda: answers.extend(together(*[(site, *ANNE)] * FLOOD)))
    answers = []
    flood.start()
    try:
        # sshd lets no more than some in at once who have not shown their key yet: who is turned away tries again.
        until(lambda: "ticket" in str(together((site, *BEN))))
    finally:
        flood.join()
    given = [answer for answer in answers if isinstance(answer, dict) and "ticket" in answer]
    others = [answer for answer in answers if isinstance(answer, dict) and "ticket" not in answer]
    assert len(given) < FLOOD / 2 and {answer["refusal"] for answer in others} == {"too_many"}
    until(lambda: "ticket" in site.ask(*ANNE))
