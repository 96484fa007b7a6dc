"""Whatever of a run's input is broken: who is locked, revoked, or not declared any more is out, and it is said."""

import contextlib

import pytest
from functional.office import PORTS, UIDS, Office, changed

from faults import breakage
from faults.conftest import Driver, offset
from scenes import ADDRESS, article

BASE = article()
GONE = changed(BASE, grants={"mybro-leaptest": BASE["spice"]["grants"]["mybro-leaptest"]})
OVER = changed(
    BASE,
    grants={
        **BASE["spice"]["grants"],
        "myself-debianx": {"user": "myself", "vm": "debianx", "valid_until": "2026-01-01T00:00Z"},
    },
)
# What takes a console away: from whom, the call, and the pillar.
ACTIONS = {
    "lock": ("myself", ["lock", "myself"], BASE),
    "lock of a vm": ("myself", ["lock", None, "debianx"], BASE),
    "revoke": ("myself", ["revoke", "myself", "debianx"], BASE),
    "end of a loan": ("nogrant", ["end_loan", "nogrant", "debianx"], BASE),
    "a grant that is gone": ("myself", ["apply"], GONE),
    "a grant that is over": ("myself", ["apply"], OVER),
}
PROGRAMS = ("nft", "ip", "ss", "unshare", "sudo", "visudo", "cvtsudoers", "bwrap", "setpriv", "dpkg-statoverride")
FILES = (
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/sudoers.d/other",
    "/etc/sudoers.d/spice-grant",
    "/etc/group",
    "/etc/gshadow",
    "/etc/subgid",
    "/etc/nsswitch.conf",
    "/etc/sudo.conf",
    "/etc/hosts",
    "/etc/spice-grant",
    "/etc/spice-grant/vms",
    "/etc/spice-grant/menu",
    "/etc/systemd/system",
    "/usr/bin/remote-viewer",
    "/usr/local/bin",
    "/usr/local/lib/spice-grant",
    "/usr/share/zoneinfo",
    "/var/lib/dpkg/statoverride",
    "/var/lib/spice-grant",
    "/var/lib/spice-grant/guard.json",
    "/var/lib/spice-grant/state.json",
)
# Where libc itself, and so each program, waits for what is written into a pipe.
WAITS = ("/etc/group", "/etc/nsswitch.conf", "/etc/hosts")
# Of all ways in which something is broken each run plays one in so many; which ones depends on the commit.
SHARE = 6


class Desk:
    """An office and its driver."""

    def __init__(self, office, driver):
        self.office, self.driver, self.gid = office, driver, office.gid()

    def call(self, words, pillar, **more):
        """Make a call."""
        fun, *args = words
        request = {"fun": f"spice_grant.{fun}", "args": args, "pillar": pillar, "answers": 2, **more}
        (answer,) = self.driver.calls([request])
        return answer

    def as_at_first(self):
        """Make all as it was at first."""
        for about in ({"user": "myself"}, {"vm": "debianx"}):
            self.call(["unlock"], BASE, kwargs=about)
        self.driver.done("apply", BASE)
        self.call(["lend", "nogrant", "debianx", "2h"], BASE)
        assert self.in_("myself") == self.in_("nogrant") == {(ADDRESS, 20002)}

    def in_(self, user):
        """Where a user gets in who has the group."""
        places = [(ADDRESS, port) for port in PORTS]
        (words,) = self.office.attempts([(UIDS[user], self.gid)], places)
        return {place for place, word in zip(places, words) if word == "open"}


class Desks:
    """Keeps one, and makes another when a test has failed."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._made = None

    @contextlib.contextmanager
    def one(self):
        """One with all as it was at first."""
        if self._made is None:
            office = self._stack.enter_context(Office(BASE))
            office.client.write("/etc/sudoers.d/other", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)
            driver = Driver(office)
            self._stack.callback(driver.stop)
            driver.done("apply", BASE)
            self._made = Desk(office, driver)
        try:
            self._made.as_at_first()
            yield self._made
        except BaseException:
            self.drop()
            raise

    def drop(self):
        """End it."""
        self._made = None
        self._stack.close()


@pytest.fixture(scope="module")
def desks():
    """Of all tests."""
    made = Desks()
    yield made
    made.drop()


def _play(desks, action, broken, about):
    user, words, pillar = ACTIONS[action]
    with desks.one() as desk:
        with broken(desk.office.client, *about):
            answer = desk.call(words, pillar)
            assert desk.in_(user) == set(), answer
        assert "Traceback" not in str(answer)
        print(action, answer.get("error") or answer["data"]["errors"])


def _cases(inputs, breakages):
    """Each input broken in each way, in each run by another action; with all of them in a full one."""
    found = []
    for number, (name, how) in enumerate((name, how) for name in inputs for how in breakages):
        if how == "a fifo" and name in WAITS:
            continue
        for turn, action in enumerate(ACTIONS):
            # Not the same action with one way in which something is broken, whatever it is.
            own = (number // len(breakages) + number) % len(ACTIONS)
            usual = turn == own and (number + offset()) % SHARE == 0
            found.append(pytest.param(name, how, action, marks=[] if usual else [pytest.mark.full]))
    return found


@pytest.mark.parametrize("name, how, action", _cases(PROGRAMS, breakage.PROGRAMS))
def test_a_program(desks, name, how, action):
    """Missing, failing, with words that nobody can read, or silent: the person is out."""
    _play(desks, action, breakage.program, (name, how))


@pytest.mark.parametrize("path, how, action", _cases(FILES, breakage.FILES))
def test_a_file(desks, path, how, action):
    """Gone, or something else than it must be: the person is out."""
    _play(desks, action, breakage.file, (path, how))
