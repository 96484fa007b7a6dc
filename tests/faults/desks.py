"""A workstation where somebody is granted, lent or locked something, and what takes that away again."""

import contextlib

from functional.office import PORTS, UIDS, Office, changed

from faults.calls import Driver
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
            driver = Driver(office.minion)
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
