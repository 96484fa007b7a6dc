"""The clock by itself, as it is installed: the system's own Python, what is stored, and no Salt."""

import json
import time

import pytest
from lifecycle.test_desktop import Bus

from scene import Desktop, need
from spicegrants.core.paths import CLOCK, STATE
from spicegrants.expiry import clock_units
from spicegrants.policy import pillar, state_file
from spicegrants.policy.access import Access, Drain, Term
from spicegrants.policy.decision import day_of
from spicegrants.policy.loans_locks import Lock, Temporary

RUN = ["/usr/bin/python3", "-I", CLOCK]
NOTED = "/run/spice-grant/clock"


class Clock:
    """A client whose clock is told what is enforced by its store alone: nothing of it is in the kernel."""

    def __init__(self, client):
        self.client, self.machine = client, client.machine
        client.apply()
        # Whoever ends a session here, it is not the guard.
        self.machine.run(["nft", "delete", "table", "inet", "spice_grant"])

    def store(self, *accesses, draining=(), temporary=None):
        """Store what is enforced."""
        addresses = {"mysrv": ("192.168.2.2", "fd00:2::2")}
        kept = state_file.Stored(
            pillar.parse_policy(self.client.pillar["spice"]),
            addresses,
            accesses,
            "spicegrp",
            draining=draining,
            temporary=temporary or Temporary(),
            day=day_of(int(time.time())),
        )
        self.machine.write(STATE, state_file.dump(kept), 0o600)

    def run(self, code=0):
        """Run the program; return what it says on standard error."""
        done = self.machine.run(RUN, check=False)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        return done.stderr


@pytest.fixture
def clock(client):
    """The article's client; nothing has times yet."""
    need("setpriv", "timeout", "setsid")
    return Clock(client)


def access(user, vm, start, end, **fields):
    now = int(time.time())
    uid = {"myself": 1021, "mybro": 1022}[user]
    return Access(user, uid, vm, ("made",), terms=(Term((), now + start, now + end),), **fields)


def test_what_is_installed_is_all_that_it_takes(clock):
    """Root's alone to change, and Salt cannot even be imported where it runs."""
    status = clock.machine.stat(CLOCK)
    assert (status.st_uid, status.st_gid, clock.machine.mode(CLOCK)) == (0, 0, 0o644)
    importing = ["/usr/bin/python3", "-I", "-c", "import salt"]
    assert clock.machine.run(importing, check=False).returncode == 1
    assert clock.run() == ""


@pytest.mark.parametrize("address", ["192.168.2.2", "fd00:2::2", "::ffff:192.168.2.2"])
def test_idle_session_whose_window_has_ended_is_ended_and_no_other(clock, address):
    ended, kept = clock.client.session("myself", address, 20002), clock.client.session("mybro", address, 20002)
    clock.store(access("myself", "debianx", -60, 0), access("mybro", "debianx", -60, 3600))
    clock.run()
    assert ended.wait(60) == 0
    assert ended.stdout.read() == "Software caused connection abort\n"
    assert kept.poll() is None
    kept.kill_tree()


def test_what_ends_in_a_moment_is_waited_for(clock):
    """Systemd starts nothing that still runs: so what comes before it ends is its own to do."""
    session = clock.client.session("myself", "192.168.2.2", 20002)
    one = access("myself", "debianx", -60, 2)
    clock.store(one)
    clock.run()
    late = time.time() - one.terms[0].end
    assert session.wait(60) == 0
    print(f"ended {late:.2f} s after the end of the window")
    assert 0 <= late < 1


@pytest.mark.parametrize("ends", [False, True], ids=["within its grace", "after it"])
def test_drained_session_is_left_until_its_grace_is_over(clock, ends):
    grace = 30 if ends else 300
    session = clock.client.session("myself", "192.168.2.2", 20002)
    clock.store(access("myself", "debianx", -120, -60, on_end="drain", grace=grace))
    clock.run()
    assert (session.poll() is not None) is ends or (ends and session.wait(60) == 0)
    session.kill_tree()


@pytest.mark.parametrize("until", [None, 60, -1])
def test_session_of_a_grant_that_is_gone_drains_as_long_as_it_may(clock, until):
    session = clock.client.session("myself", "192.168.2.2", 20002)
    moment = None if until is None else int(time.time()) + until
    clock.store(draining=(Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("gone",), moment),))
    clock.run()
    if until == -1:
        assert session.wait(60) == 0
    else:
        assert session.poll() is None
    session.kill_tree()


def test_user_is_told_that_it_was_the_window(clock):
    need("notify-send", "dbus-daemon")
    bus = Bus(clock.client, "myself")
    clock.client.session("myself", "192.168.2.2", 20002)
    clock.store(access("myself", "debianx", -60, 0))
    clock.run()
    message = bus.next()
    assert (message["summary"], message["body"]) == (
        "SPICE console closed",
        "Your access to the console of VM debianx has ended.",
    )
    assert message["process"]["Uid"].split() == ["1021"] * 4


def end_and_begin_again(clock):
    """End a session whose console opens again later."""
    clock.client.session("myself", "192.168.2.2", 20002)
    past, coming = access("myself", "debianx", -60, 0), access("myself", "debianx", 7200, 9000)
    clock.store(past._replace(grants=("made", "more"), terms=past.terms + coming.terms))
    clock.run()


@pytest.mark.parametrize(
    ("path", "setting", "german"),
    [
        ("/etc/default/locale", 'LANG="de_DE.UTF-8"\nLANGUAGE=de:en\n', True),
        ("/etc/locale.conf", "LANG=de_AT.UTF-8\n", True),
        ("/etc/locale.conf", "LANG=fr_FR.UTF-8\n", False),
        ("/etc/locale.conf", "LANG=$(touch /srv/trap)\nde_DE\n", False),
    ],
)
def test_user_is_told_in_the_machines_language(clock, path, setting, german):
    need("notify-send", "dbus-daemon")
    clock.machine.run(["rm", "-f", "/etc/locale.conf", "/etc/default/locale"])
    clock.machine.write(path, setting)
    bus = Bus(clock.client, "myself")
    end_and_begin_again(clock)
    message = bus.next()
    title, *sentences = (
        ("SPICE-Konsole geschlossen", "Ihr Zugang zur Konsole der VM debianx ist abgelaufen.", "Sie öffnet wieder")
        if german
        else ("SPICE console closed", "Your access to the console of VM debianx has ended.", "It opens again")
    )
    assert message["summary"] == title and message["body"].startswith(" ".join(sentences))


def test_a_dialog_has_the_letters_of_the_machines_language(clock):
    """zenity refuses a text that its locale cannot hold."""
    need("Xvfb", "zenity", "xwininfo")
    clock.machine.write("/etc/locale.conf", "LANG=de_DE.UTF-8\n")
    clock.machine.run(["rm", "-f", "/usr/bin/notify-send"])
    with Desktop(clock.machine, "myself") as desktop:
        end_and_begin_again(clock)
        desktop.wait_window("SPICE-Konsole geschlossen")


def test_user_is_told_although_the_kernel_was_first(clock):
    """Somebody's packet was refused just at the end: nothing is left to be ended, and the user is told all the same."""
    need("notify-send", "dbus-daemon")
    bus = Bus(clock.client, "myself")
    session = clock.client.session("myself", "192.168.2.2", 20002)
    clock.store(access("myself", "debianx", -60, 2))
    running = clock.machine.popen(RUN)
    time.sleep(1)
    session.kill_tree()
    assert running.wait(60) == 0
    assert bus.next()["body"] == "Your access to the console of VM debianx has ended."


def test_user_is_told_of_a_lock_that_a_run_did_not_live_to_see_through(clock):
    """It was stored, and then the run was killed."""
    need("notify-send", "dbus-daemon")
    bus = Bus(clock.client, "myself")
    session = clock.client.session("myself", "192.168.2.2", 20002)
    clock.store(temporary=Temporary((), (Lock("user", "myself"),)))
    clock.run()
    assert session.wait(60) == 0
    assert bus.next()["body"] == "Your access to the console of VM debianx is locked."


def test_user_with_something_open_is_warned_once(clock):
    """By a process of the user's own; who has nothing open hears nothing, and nobody hears it twice."""
    need("notify-send", "dbus-daemon")
    bus, other = Bus(clock.client, "myself"), Bus(clock.client, "mybro")
    session = clock.client.session("myself", "192.168.2.2", 20002)
    both = [access(user, "debianx", -600, 603, warn=(600, 300)) for user in ("myself", "mybro")]
    clock.store(*both)
    clock.run()
    time.sleep(3.2)
    clock.run()
    message = bus.next()
    assert message["summary"] == "SPICE console closes soon"
    assert message["body"].startswith("The console of VM debianx closes at ")
    assert message["body"].endswith(", in 10 minutes.")
    assert message["process"]["Uid"].split() == ["1021"] * 4 and message["process"]["Groups"].split() == []
    for _ in range(2):
        clock.run()
    # Whatever was sent before arrives before this.
    clock.store(access("myself", "debianx", -600, 0))
    clock.run()
    assert session.wait(60) == 0
    assert bus.next()["summary"] == "SPICE console closed"
    clock.store(access("mybro", "leaptest", -600, 0))
    clock.client.session("mybro", "192.168.2.2", 20004)
    clock.run()
    assert other.next()["summary"] == "SPICE console closed"


def test_when_it_last_ran_is_roots_alone(clock):
    before = int(time.time())
    clock.run()
    assert before <= int(clock.machine.read(NOTED)) <= time.time()
    assert (clock.machine.mode("/run/spice-grant"), clock.machine.mode(NOTED)) == (0o700, 0o600)


@pytest.mark.turns(2)
@pytest.mark.parametrize("noted", ["", "tomorrow", "-1", "9" * 4000, "4102444800"])
def test_whatever_is_noted_of_the_last_run_is_survived(clock, noted):
    """A clock that was set back since, among them."""
    clock.run()
    clock.machine.write(NOTED, noted, 0o600)
    clock.run()
    assert abs(int(clock.machine.read(NOTED)) - time.time()) < 5


@pytest.mark.parametrize("content", [None, "", "{", '{"format": 7}'])
def test_a_store_that_cannot_be_read_is_a_failure_with_a_reason(clock, content):
    """Nobody's session is ended for it, and nothing is assumed."""
    session = clock.client.session("myself", "192.168.2.2", 20002)
    if content is None:
        clock.machine.run(["rm", STATE])
    else:
        clock.machine.write(STATE, content, 0o600)
    assert STATE in clock.run(code=1)
    assert session.poll() is None
    session.kill_tree()


def test_users_cannot_run_it(clock):
    done = clock.machine.run(RUN, user="myself", check=False)
    assert done.returncode == 1 and "needs root" in done.stderr


def test_without_ss_it_says_so_and_goes_on(clock):
    session = clock.client.session("myself", "192.168.2.2", 20002)
    clock.store(access("myself", "debianx", -60, 0))
    for path in clock.machine.run(["which", "-a", "ss"]).stdout.split():
        clock.machine.run(["rm", "-f", path])
    assert "ss is not installed" in clock.run()
    assert clock.machine.path(NOTED).exists()
    session.kill_tree()


@pytest.mark.turns(2)
@pytest.mark.parametrize("path", clock_units.PATHS)
def test_what_is_altered_is_drift_and_restored(clock, path):
    clock.client.apply()
    clock.machine.run(["cp", "--remove-destination", "/etc/hostname", path])
    planned = json.dumps(clock.client.plan())
    assert path in planned
    assert json.dumps(clock.client.apply()["changes"]) == planned
    assert clock.client.plan() == {}


def test_the_removal_takes_it_away(clock):
    clock.run()
    clock.client.minion.state("spice.absent")
    for path in (*clock_units.PATHS, NOTED, "/run/spice-grant"):
        assert not clock.machine.path(path, follow=False).is_symlink() and not clock.machine.path(path).exists(), path
