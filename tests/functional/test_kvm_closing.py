"""What a KVM host takes away: a lock, a loan's end, a grant that is gone; whatever else is missing or fails there.

libvirt is a program here that knows of no domain, or is not there at all: nothing of this may need it. Sessions are
real connections from the desk, which the kernel's rules let in and nothing else does.
"""

import contextlib
import json
import subprocess
import sys
import time

import pytest
from unit.build import DESK_KEY, HOST_KEY

import scenes
from functional.clients import TALK, running, say
from functional.office import changed, sentences
from scene import Listener, Minion
from scene.machine import CHECKOUT
from scene.minion import SaltError
from scenes import ADDRESS, OWN_ADDRESS

PORT = 20003
STORE, RUN = "/var/lib/spice-host", "/run/spice-host"
STATE = f"{STORE}/state.json"
LIBVIRT, SSHD = "/usr/bin/virsh", "/usr/sbin/sshd"
PILLAR = {
    "spice": {
        "servers": {
            "mysrv": {
                "host": "mysrv.anraconc.de",
                "addresses": [ADDRESS],
                "ports": "20001-20010",
                "minion": "kvm1",
                "host_key": HOST_KEY,
            }
        },
        "vms": {"books": {"server": "mysrv", "tls_port": PORT}, "ledger": {"server": "mysrv", "tls_port": 20004}},
        "grants": {
            "anne": {"user": "anne", "vm": "books"},
            "staff": {"group": "staff-of-ours", "vm": "ledger"},
        },
        "desks": {"desk-1": {"addresses": [OWN_ADDRESS], "key": DESK_KEY}},
    }
}
GRANTS = PILLAR["spice"]["grants"]
WITHOUT_ANNE = changed(PILLAR, grants={"staff": GRANTS["staff"], "new": {"user": "newcomer", "vm": "ledger"}})
# Notes sessions as the service does; of the library nothing but the form of its file is used.
NOTE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from spicegrants.hypervisor import sessions
from spicegrants.hypervisor.sessions import Session
now, whose = int(time.time()), json.loads(sys.argv[3])
made = [Session(vm, port, user, "desk-1", (sys.argv[2],), now) for user, vm, port in whose]
with open("/run/spice-host/sessions.json", "wb") as stream:
    stream.write(sessions.dump(made))
"""

# Locks Anne, and leaves all else to the service.
LOCK = """
import dataclasses, sys
sys.path.insert(0, sys.argv[1])
from spicegrants.hypervisor.live import closing, notice
from spicegrants.policy.loans_locks import Lock, Temporary
closing.change(lambda kept: dataclasses.replace(kept, temporary=Temporary((), (Lock("user", "anne"),))))
assert notice.tell()
"""


class Host:
    """A KVM host with a desk beside it."""

    def __init__(self, desk, machine, minion):
        self.desk, self.machine, self.minion = desk, machine, minion
        self.call = minion.call
        self._service = None

    def install(self, path, text="#!/bin/sh\n"):
        """Install a program, or another in its place."""
        self.machine.write(path, text, mode=0o755)

    def apply(self, pillar=None, **options):
        """Run the state's function; return its report."""
        if pillar is not None:
            self.minion.set_pillar(pillar)
        return self.call("spice_host.apply", **options)

    def call_status(self):
        """What it says of itself; the exit code has to agree."""
        found, code = self.minion.call_raw("spice_host.status")
        assert code == (found["state"] in ("drifted", "failed"))
        return found

    def stored(self):
        """What is stored, as data."""
        return json.loads(self.machine.read(STATE))

    def rules(self):
        """The kernel's table as text; empty if there is none."""
        return self.machine.run(["nft", "list", "table", "inet", "spice_host"], check=False).stdout

    def serve(self):
        """Start the service that gives tickets, as systemd does."""
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        command = ["/usr/bin/python3", "-IS", "/usr/local/lib/spice-grant/give-tickets"]
        self._service = self.machine.popen(command, **pipes)
        until(lambda: self.ask("why") is not None)

    def serves(self):
        return self._service is not None

    def kill(self):
        """Kill the service, as by kill -9."""
        if self._service is not None:
            self._service.kill_tree()
            self._service.stderr.close()
            self._service = None

    def ask(self, request, user="anne", vm="books"):
        """Ask the service as a desk does by ssh; None if it does not answer."""
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1]); "
            "s.sendall(sys.argv[2].encode()); print(s.makefile().readline())"
        )
        line = f"{request} desk-1 {user} {vm}\n"
        command = [sys.executable, "-I", "-S", "-c", script, f"{RUN}/tickets", line]
        done = self.machine.run(command, check=False)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None

    @contextlib.contextmanager
    def session(self, *whose):
        """Let somebody in, by default Anne at books, and have them talk with it."""
        whose = whose or [("anne", "books", PORT)]
        self.kill()
        self.machine.run(["mkdir", "-p", RUN])
        note = [sys.executable, "-I", "-S", "-c", NOTE, str(CHECKOUT / "_utils"), OWN_ADDRESS, json.dumps(whose)]
        self.machine.run(note)
        # Rules that are made anew let in who is noted.
        self.machine.run(["nft", "delete", "table", "inet", "spice_host"])
        self.serve()
        until(lambda: OWN_ADDRESS in self.rules())
        with contextlib.ExitStack() as stack:
            talks = []
            for _, _, port in whose:
                talk = stack.enter_context(running(self.desk, TALK, ADDRESS, port, user=None, group=None))
                assert talk.stdout.readline().strip() == "open"
                assert say(talk, "hello") == "answered"
                talks.append(talk)
            yield talks[0] if len(talks) == 1 else talks


def until(true, seconds=30):
    """Wait until something is so; what takes that long hangs."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def made():
    """The host as its first run leaves it."""
    with contextlib.ExitStack() as stack:
        desk, machine, _ = stack.enter_context(scenes.pair())
        stack.enter_context(Listener(machine, [PORT, 20004]))
        machine.run(["groupadd", "staff-of-ours"])
        machine.add_user("cora")
        machine.run(["gpasswd", "--add", "cora", "staff-of-ours"])
        minion = stack.enter_context(Minion(machine, PILLAR, id="kvm1"))
        host = Host(desk, machine, minion)
        stack.callback(host.kill)
        yield host


@pytest.fixture
def host(made):
    """The host with the pillar in force, and nothing lent or locked."""
    made.kill()
    made.install(LIBVIRT, scenes.NO_DOMAINS)
    made.install(SSHD)
    made.machine.run(["rm", "-rf", STATE, RUN])
    made.machine.run(["nft", "flush", "ruleset"])
    report = made.apply(PILLAR)
    # Both consoles stay shut, as there is no domain; all else is done.
    assert all("there is no domain" in error for error in report["errors"]), report
    made.serve()
    return made


def gone(host, *paths):
    """Take programs away; they are back with the next test."""
    host.machine.run(["rm", "-f", *paths])


@contextlib.contextmanager
def away(host, *paths):
    """Take programs of the system away for a while."""
    for path in paths:
        host.machine.run(["mv", path, f"{path}.away"])
    try:
        yield
    finally:
        for path in paths:
            host.machine.run(["mv", f"{path}.away", path])


def locked(host):
    return [lock[:2] for lock in host.stored()["locks"]]


# Loans and locks


@pytest.mark.turns(2)
@pytest.mark.salt
@pytest.mark.parametrize("about", [{"user": "anne"}, {"vm": "books"}, {"all": True}])
@pytest.mark.parametrize("serving", [True, False], ids=["served", "service away"])
def test_a_lock_is_stored_and_ends_sessions_at_once_without_libvirt(host, about, serving):
    """By the host itself, also where its service was killed; the desk has no part in it."""
    gone(host, LIBVIRT)
    with host.session() as talk:
        if not serving:
            host.kill()
        report = host.call("spice_host.lock", **about, reason="stolen laptop")
        assert report["errors"] == []
        assert "ends what anne has open at desk-1: books" in sentences(report["changes"])
        assert say(talk, "still there?") == "ended"
    assert len(locked(host)) == 1
    if not host.serves():
        host.serve()
    assert host.ask("open")["refusal"] == "locked"
    assert host.ask("why")["refusal"] == "locked"
    (lock,) = host.call("spice_host.locks")
    assert lock["reason"] == "stolen laptop"
    assert host.call("spice_host.lock", **about, reason="stolen laptop")["changes"] == {}
    assert "unlocks" in sentences(host.call("spice_host.unlock", **about)["changes"])
    # Now it is libvirt that says no.
    assert host.ask("open")["refusal"] in ("shut", "failed")
    assert host.call("spice_host.locks") == []


@pytest.mark.parametrize("missing", ["/usr/bin/ss", "/usr/sbin/nft"])
def test_one_way_of_ending_a_session_does_not_need_the_other(host, missing):
    """Without ss it ends at its next packet, without nft by its socket; the lock is stored, and what lacks is said."""
    gone(host, LIBVIRT)
    with host.session() as talk:
        host.kill()
        with away(host, missing):
            report = host.call("spice_host.lock", user="anne")
        assert any(f"{missing.rpartition('/')[2]} is not installed" in error for error in report["errors"])
        assert say(talk, "still there?") == "ended"
    assert locked(host) == [["user", "anne"]]


@pytest.mark.parametrize("missing", [[], ["/usr/bin/ss"], ["/usr/sbin/nft"]], ids=["none", "ss", "nft"])
def test_the_service_ends_a_session_by_itself_in_either_way(host, missing):
    """One that was in before: an end that it notices is no run's."""
    gone(host, LIBVIRT)
    with host.session() as talk, away(host, *missing):
        host.machine.run([sys.executable, "-I", "-S", "-c", LOCK, str(CHECKOUT / "_utils")])
        said = ["answered"]
        until(lambda: said[-1] != "answered" or said.append(say(talk, "still there?")))
        assert said[-1] == "ended"
        assert host.ask("why")["refusal"] == "locked"


def test_another_users_session_stays(host):
    """Of the same desk, at another console."""
    with host.session(("anne", "books", PORT), ("cora", "ledger", 20004)) as (annes, coras):
        host.call("spice_host.lock", user="anne")
        assert say(annes, "still there?") == "ended"
        assert say(coras, "still there?") == "answered"


@pytest.mark.salt
def test_a_loan_gives_a_right_to_tickets_until_it_ends(host):
    """To a name that is no account here; the session ends with the loan. ``ask`` makes no ticket."""
    assert host.ask("ask", "cora", "books")["refusal"] == "not_granted"
    report = host.call("spice_host.lend", "cora", "books", "1h30m", reason="year-end")
    assert "lends books to cora until " in sentences(report["changes"]) and report["errors"] == []
    assert host.ask("ask", "cora", "books")["granted"] is True
    (loan,) = host.call("spice_host.loans")
    assert (loan["user"], loan["vm"], loan["reason"], loan["locked"]) == ("cora", "books", "year-end", False)
    with host.session(("cora", "books", PORT)) as talk:
        report = host.call("spice_host.end_loan", "cora", "books")
        assert "ends the loan of books to cora" in sentences(report["changes"])
        assert say(talk, "still there?") == "ended"
    assert host.ask("ask", "cora", "books")["refusal"] == "not_granted"
    with pytest.raises(SaltError, match="'books' is not lent to 'cora'; lent is nothing"):
        host.call("spice_host.end_loan", "cora", "books")


@pytest.mark.turns(3)
@pytest.mark.parametrize(
    ("function", "words", "named", "message"),
    [
        ("lock", (), {"user": "anen"}, "no user 'anen', did you mean 'anne'?"),
        ("lock", (), {"user": "coar"}, "no user 'coar', did you mean 'cora'?"),
        ("unlock", (), {"user": "anen"}, "no user 'anen', did you mean 'anne'?"),
        ("lock", (), {"vm": "boks"}, "no vm 'boks', did you mean 'books'?"),
        ("lock", (), {}, "name one of user=NAME, vm=NAME and all=True"),
        ("lock", (), {"user": "anne", "all": True}, "name one of"),
        ("lock", (), {"user": "anne", "reason": "a\nb"}, "must be one line"),
        ("lock", (), {"user": 101}, "no user"),
        ("lend", ("anen", "books", "1h"), {}, "no user 'anen', did you mean 'anne'?"),
        ("lend", ("anne", "boks", "1h"), {}, "no vm 'boks', did you mean 'books'?"),
        ("lend", ("anne", "books", "9h"), {}, "'9h' is not between 1s and 8h, pillar's spice:time:longest_loan"),
        ("lend", ("root", "books", "1h"), {}, "root needs no loan"),
    ],
)
def test_a_slip_is_an_error_with_the_nearest_name_and_changes_nothing(host, function, words, named, message):
    """Of a user whom a grant names and who is no account here; of a member of a granted group; of a vm."""
    before = host.machine.read(STATE)
    with pytest.raises(SaltError) as error:
        host.call(f"spice_host.{function}", *words, **named)
    assert message in str(error.value) or "must be text" in str(error.value)
    assert host.machine.read(STATE) == before


@pytest.mark.salt
def test_a_run_keeps_locks_and_loans_and_forgets_loans_that_have_ended(host):
    """A new pillar has no say in them."""
    host.call("spice_host.lock", vm="ledger", reason="audit")
    host.call("spice_host.lend", "cora", "books", "1h")
    host.call("spice_host.lend", "anne", "ledger", "1s")
    until(lambda: len(host.call("spice_host.loans")) == 1)
    assert len(host.stored()["loans"]) == 2
    report = host.apply(WITHOUT_ANNE)
    assert "vm ledger is locked (audit), until spice_grant.unlock" in report["warnings"]
    assert "newcomer" in json.dumps(host.stored()["policy"])
    assert locked(host) == [["vm", "ledger"]]
    assert [loan[:2] for loan in host.stored()["loans"]] == [["cora", "books"]]
    host.apply(PILLAR)
    assert locked(host) == [["vm", "ledger"]] and len(host.stored()["loans"]) == 1


def test_a_lock_waits_for_no_run_and_is_not_lost_to_it(host):
    """While a run waits for libvirt."""
    waits = f"touch {RUN}/asked; until [ -e {RUN}/go ]; do sleep 0.1; done"
    host.install(LIBVIRT, scenes.NO_DOMAINS.replace("#!/bin/sh\n", f"#!/bin/sh\n{waits}\n"))
    host.minion.set_pillar(WITHOUT_ANNE)
    with host.session(("cora", "ledger", 20004)) as talk:
        run = host.machine.popen(host.minion.salt_command("spice_host.apply"), stdout=subprocess.DEVNULL)
        until(lambda: host.machine.run(["ls", f"{RUN}/asked"], check=False).returncode == 0)
        assert host.call("spice_host.lock", user="cora")["errors"] == []
        assert say(talk, "still there?") == "ended"
        assert run.poll() is None
    host.machine.run(["touch", f"{RUN}/go"])
    run.wait(60)
    assert "newcomer" in json.dumps(host.stored()["policy"])
    assert locked(host) == [["user", "cora"]]


def test_who_calls_spice_grant_on_a_kvm_host_means_the_host(host):
    """As the runner does on all minions: the answer says so, and nothing of a desk is missed."""
    report = host.call("spice_grant.lock", user="anne")
    assert (report["host"], report["errors"]) == (True, [])
    assert host.ask("ask")["refusal"] == "locked"
    (lock,) = host.call("spice_grant.locks")
    assert (lock["about"], lock["host"]) == ("user anne", True)
    assert host.call("spice_grant.unlock", user="anne")["host"] is True
    report = host.call("spice_grant.lend", "cora", "books", "1h")
    assert (report["host"], report["asks"]) == (True, None)
    (loan,) = host.call("spice_grant.loans")
    assert (loan["user"], loan["host"]) == ("cora", True)
    assert host.call("spice_grant.status")["service"] == "runs"


# Closing first


def broken(text):
    return lambda host: host.install(LIBVIRT, text)


HINDRANCES = {
    "libvirt is missing": (lambda host: gone(host, LIBVIRT), "virsh is not installed"),
    "libvirt fails": (broken("#!/bin/sh\necho 'cannot connect' >&2\nexit 1\n"), "cannot connect"),
    "libvirt prints nonsense": (broken("#!/bin/sh\necho 6f1c1a52-0f6b-4a52-9d0c-0f4d6b5c1a11\n"), "virsh list"),
    "sshd is missing": (lambda host: gone(host, SSHD), "sshd is not installed"),
    "no server names the minion": (lambda host: None, "no server of the pillar names this minion, kvm1"),
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_grant_that_goes_is_taken_away_whatever_hinders_the_rest(host, hindrance):
    """Its session ends, and no ticket is given; what the same pillar gives anew is not given, and that is said."""
    hinder, why = HINDRANCES[hindrance]
    pillar = WITHOUT_ANNE
    if hindrance == "no server names the minion":
        pillar = changed(PILLAR, servers={"mysrv": {**PILLAR["spice"]["servers"]["mysrv"], "minion": "kvm2"}})
    hinder(host)
    with host.session() as talk:
        test = host.apply(pillar, test=True)
        report = host.apply()
        assert say(talk, "still there?") == "ended"
    for each in (test, report):
        assert any(why in error for error in each["errors"]), each
        assert "nothing was opened" in each["errors"][-1] or each["errors"][-1].endswith("nothing was opened")
    assert test["changes"] == report["changes"]
    assert "ends what anne has open at desk-1: books" in sentences(report["changes"])
    assert host.ask("open")["refusal"] == "not_granted"
    assert host.ask("ask", "newcomer", "ledger")["refusal"] == "not_granted"
    assert "tcp dport @guarded goto consoles" in host.rules()


@pytest.mark.parametrize("program", ["/usr/sbin/nft", "/usr/bin/ss"])
def test_nor_does_the_firewalls_own_program(host, program):
    """Without nft the session ends by its socket, without ss at its next packet; nothing new is given."""
    gone(host, LIBVIRT)
    with host.session() as talk:
        host.kill()
        with away(host, program):
            report = host.apply(WITHOUT_ANNE)
        assert say(talk, "still there?") == "ended"
    assert any(f"{program.rpartition('/')[2]} is not installed" in error for error in report["errors"]), report
    host.serve()
    assert host.ask("open")["refusal"] == "not_granted"
    assert host.ask("ask", "newcomer", "ledger")["refusal"] == "not_granted"


def test_rules_that_cannot_be_loaded_keep_back_what_is_new(host):
    """Without shut ports nobody is given anything: the new grant is not stored."""
    host.machine.run(["nft", "delete", "table", "inet", "spice_host"])
    host.kill()
    with away(host, "/usr/sbin/nft"):
        host.install("/usr/sbin/nft", '#!/bin/sh\n[ "$1" = -j ] && exit 1\nexec /usr/sbin/nft.away "$@"\n')
        report = host.apply(WITHOUT_ANNE)
    assert any("all else was left as it was" in error for error in report["errors"]), report
    host.serve()
    assert host.ask("ask", "newcomer", "ledger")["refusal"] == "not_granted"
    assert host.ask("ask")["refusal"] == "not_granted"


@pytest.mark.parametrize("pillar", [{}, {"spice": {"servers": {}, "vms": {}, "grants": {"a": {}}}}, {"spice": []}])
def test_a_pillar_that_is_wrong_changes_nothing_and_says_so(host, pillar):
    with host.session() as talk:
        before = host.machine.read(STATE)
        with pytest.raises(SaltError) as error:
            host.apply(pillar)
        assert "spice" in str(error.value)
        (result,) = host.minion.state("spice.host").values()
        assert result["result"] is False and result["comment"].startswith("Nothing was changed. ")
        assert say(talk, "still there?") == "answered"
    assert host.machine.read(STATE) == before
    assert any("spice" in error for error in host.call("spice_host.status")["last_run"]["errors"])


def test_a_first_run_that_cannot_go_on_changes_nothing(host):
    """The ports are not shut to those who have the consoles without tickets."""
    host.kill()
    host.machine.run(["rm", "-rf", STATE])
    host.machine.run(["nft", "flush", "ruleset"])
    gone(host, LIBVIRT, SSHD)
    with pytest.raises(SaltError) as error:
        host.apply()
    assert "virsh is not installed, sshd is not installed" in str(error.value)
    assert "apt-get install libvirt-clients openssh-server" in str(error.value)
    assert host.rules() == "" and "No such file" in host.machine.run(["ls", STATE], check=False).stderr


DAMAGED = {
    "half of it": lambda host: host.machine.run(["truncate", "--size=200", STATE]),
    "nothing in it": lambda host: host.machine.run(["truncate", "--size=0", STATE]),
    "another thing": lambda host: host.machine.run(["sh", "-c", f"rm {STATE}; mkdir {STATE}"]),
    "a later version's": lambda host: host.machine.write(STATE, '{"format": 99}'),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("serving", [True, False], ids=["served", "service away"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_stored_and_cannot_be_read_opens_nothing(host, damage, serving):
    """Nobody can tell what was locked: all that is open closes, no ticket is given, and no run writes it anew."""
    host.call("spice_host.lock", user="cora")
    with host.session() as talk:
        if not serving:
            host.kill()
        DAMAGED[damage](host)
        report = host.apply()
        assert say(talk, "still there?") == "ended"
    assert STATE in report["errors"][0] and report["errors"][0].endswith("nothing was opened")
    assert OWN_ADDRESS not in host.rules()
    if not serving:
        host.serve()
    assert host.ask("open")["refusal"] == host.ask("ask")["refusal"] == "failed"
    # The next run does no more for it, and says the same.
    with pytest.raises(SaltError) as error:
        host.apply()
    assert STATE in str(error.value)
    assert host.call_status()["state"] == "failed"


def test_a_lock_where_what_is_stored_cannot_be_read_closes_everything(host):
    with host.session() as talk:
        host.machine.run(["truncate", "--size=200", STATE])
        report = host.call("spice_host.lock", user="anne")
        assert say(talk, "still there?") == "ended"
    assert STATE in report["errors"][0] and report["errors"][0].endswith("nothing was opened")


@contextlib.contextmanager
def read_only(host, *directories):
    """Directories that nobody can write to, as on a full disk."""
    for path in directories:
        host.machine.run(["mount", "--bind", path, path])
        host.machine.run(["mount", "-o", "remount,bind,ro", path])
    try:
        yield
    finally:
        for path in directories:
            host.machine.run(["umount", path])


def test_a_lock_that_cannot_be_stored_holds_all_the_same(host):
    """A full or read-only disk: sessions end, no restart and no run opens anything, and it is stored once it can be."""
    with host.session() as talk, read_only(host, STORE):
        report = host.call("spice_host.lock", user="anne")
        assert any("could not be stored, and holds until the next boot only" in each for each in report["errors"]), (
            report
        )
        assert say(talk, "still there?") == "ended"
        for step in (None, host.apply, host.kill):
            if step is not None:
                step()
            if not host.serves():
                host.serve()
            assert host.ask("open")["refusal"] == "locked"
        assert any("holds until the next boot only" in each for each in host.call_status()["errors"])
        report = host.apply(WITHOUT_ANNE)
        assert any("policy: " in each for each in report["errors"])
        assert host.ask("open")["refusal"] in ("locked", "not_granted")
    assert locked(host) == []
    host.apply(PILLAR)
    assert locked(host) == [["user", "anne"]] and host.ask("open")["refusal"] == "locked"
    assert host.machine.run(["ls", f"{RUN}/state.json"], check=False).returncode != 0


def test_a_lock_that_can_be_kept_nowhere_silences_the_service(host):
    """Not even in memory: nobody gets a ticket by what was stored before."""
    with host.session() as talk:
        host.machine.run(["mkdir", f"{RUN}/state.json", f"{RUN}/state.json/x"])
        with read_only(host, STORE):
            report = host.call("spice_host.lock", user="anne")
            assert report["errors"] and say(talk, "still there?") == "ended"
            assert host.ask("open") is None or "ticket" not in host.ask("open")
    host.machine.run(["rm", "-r", f"{RUN}/state.json"])


def test_sessions_that_cannot_be_noted_end_all_the_same(host):
    """By the service alone, which cannot write down what becomes of them: each of them, and flushed rules come back."""
    with host.session(("anne", "books", PORT), ("cora", "ledger", 20004)) as talks, read_only(host, RUN):
        library = str(CHECKOUT / "_utils")
        host.machine.run(
            [sys.executable, "-I", "-S", "-c", LOCK.replace('Lock("user", "anne")', 'Lock("all")'), library]
        )
        for talk in talks:
            until(lambda talk=talk: say(talk, "still there?") == "ended")
        host.machine.run(["nft", "flush", "ruleset"])
        until(lambda: "goto consoles" in host.rules())


def test_a_right_that_is_prolonged_prolongs_the_session(host):
    """Its place in the kernel has the new end; nobody is thrown out at the old one."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    host.apply(changed(PILLAR, grants={**GRANTS, "anne": {**GRANTS["anne"], "valid_until": moment}}))
    with host.session() as talk:
        until(lambda: _lasts(host, 0, 600))
        host.call("spice_host.lend", "anne", "books", "2h")
        until(lambda: _lasts(host, 7000, 7200))
        assert say(talk, "still there?") == "answered"


def _lasts(host, least, most):
    """Whether Anne's session may go on for so many seconds."""
    listed = json.loads(host.machine.run(["nft", "-nj", "list", "set", "inet", "spice_host", "open4"]).stdout)[
        "nftables"
    ]
    (found,) = [entry["set"].get("elem", []) for entry in listed if "set" in entry]
    ends = [each["elem"].get("expires") for each in found if isinstance(each, dict) and "elem" in each]
    return bool(ends) and all(least < end <= most for end in ends)


def test_who_has_no_right_leaves_nothing_behind(host):
    """However many consoles a desk asks for."""
    for number in range(4):
        host.ask("open", vm=f"x{number}")
        host.ask("open", user="eve", vm="books")
    assert [name for name in host.machine.run(["ls", RUN]).stdout.split() if name.endswith(".lock")] == []


def test_ports_that_a_run_has_shut_besides_stay_shut(host):
    """The service makes rules anew, and opens nothing of what it does not know of."""
    host.machine.run(["nft", "add element inet spice_host guarded { 20050 }"])
    host.machine.run(["nft", "flush", "chain", "inet", "spice_host", "consoles"])
    until(lambda: "tcp reset" in host.rules())
    assert "20050" in host.rules()


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_sessions_that_cannot_be_read_all_end_with_a_lock(host, content):
    """Nobody can tell whose they are."""
    with host.session() as talk:
        host.kill()
        host.machine.write(f"{RUN}/sessions.json", content)
        report = host.call("spice_host.lock", user="cora")
        assert say(talk, "still there?") == "ended"
    assert any("all sessions are ended" in error for error in report["errors"])
    assert locked(host) == [["user", "cora"]]


def test_where_nobody_may_ask_a_run_says_so(host):
    """Without desks of the pillar's those of the mine count. Here there is no master: it is empty, and has none."""
    report = host.apply(changed(WITHOUT_ANNE, desks=None))
    assert any("no desk may ask" in warning for warning in report["warnings"])
    assert host.stored()["policy"].get("desks", {}) == {}


# What there is to see


@pytest.mark.salt
def test_the_status_at_one_look(host):
    host.call("spice_host.lock", vm="ledger")
    with host.session():
        found = host.call_status()
    assert (found["state"], found["service"], found["ports"]) == ("failed", "runs", "shut")
    assert found["consoles"]["books"] == "shut: there is no domain books"
    assert (found["desks"], found["locks"], found["drift"]) == (["desk-1"], ["vm ledger"], [])
    (session,) = found["sessions"]
    assert session.startswith("anne has books at desk-1 since ")
    host.kill()
    host.machine.run(["nft", "flush", "ruleset"])
    gone(host, LIBVIRT)
    found = host.call_status()
    assert found["service"] == "does not answer"
    assert found["ports"] == "not as they must be: a run shuts the consoles' ports"
    assert found["consoles"] == dict.fromkeys(["books", "ledger"], "not known: libvirt cannot be read")
    assert any("virsh is not installed" in error for error in found["errors"])
    assert any("does not answer" in error for error in found["errors"])


def test_a_question_makes_no_ticket_and_is_limited_by_itself(host):
    """libvirt hears nothing of it, no port opens; after a few it waits, and a launch does not."""
    host.install(LIBVIRT, f'#!/bin/sh\necho "$*" >>{RUN}/calls\n')
    found = [host.ask("ask") for _ in range(20)]
    assert found[0]["granted"] is True and "ticket" not in found[0]
    assert {"refusal": "too_many"} in found
    assert not any("ticket" in answer for answer in found)
    assert host.machine.run(["ls", f"{RUN}/calls"], check=False).returncode != 0
    assert OWN_ADDRESS not in host.rules()
    assert host.ask("open")["refusal"] != "too_many"


@pytest.mark.salt
def test_each_function_where_libvirt_knows_of_no_domain(host):
    """And at the end nothing of ours is left."""
    assert host.call("spice_host.plan") == {**host.call("spice_host.apply", test=True), "changes": {}}
    assert host.call("spice_host.consoles") == host.call("spice_host.sessions") == []
    for wrong in ([], "x", {"servers": ["mysrv"], "vms": {"books": None}}, {"servers": {"mysrv": "x"}}):
        host.minion.set_pillar({"spice": wrong})
        assert host.call("spice_host.propose") == {}
    assert host.call("spice_host.status")["service"] == "runs"
    assert host.call("spice_host.verify")["ok"] is None
    with pytest.raises(SaltError, match="there is no domain books"):
        host.call("spice_host.accept", "books")
    with pytest.raises(SaltError, match="no policy has been applied on this minion yet"):
        host.call("spice_grant.desk")
    host.kill()
    assert host.call("spice_host.remove")["errors"] == []
    assert host.rules() == "" and host.machine.run(["ls", STORE], check=False).returncode != 0
    assert host.call("spice_host.remove")["changes"] == {}
