"""Times as the core works them out, against a walk over the minutes."""

import copy
import datetime
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from amount import amount
from spicegrants.firewall import guard
from spicegrants.policy import decision, pillar
from spicegrants.policy.access import Times
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.schedule import weekly
from spicegrants.schedule.intervals import FIRST, LAST, contains
from unit import timemodel
from unit.build import article, changed, inventory
from unit.timestrategies import RECENT, ZONES, days_around, schedules


@settings(max_examples=amount(5000, 500))
@given(st.data())
def test_a_schedule_is_open_when_a_clock_on_the_wall_says_so(data):
    zone = data.draw(st.sampled_from(sorted(ZONES)))
    day = data.draw(days_around(zone))
    declared = data.draw(schedules(zone, day))
    first, last = day - 1, day + data.draw(st.integers(1, 2))
    found = pillar.parse_policy(changed(article(), schedules={"drawn": declared})).schedules["drawn"]
    worked_out = weekly.windows(found, first * 86400, last * 86400)
    assert worked_out == timemodel.ranges(timemodel.open_minutes(declared, first, last))


USERS = ("myself", "mybro", "guest")
VMS = ("debianx", "leaptest")


class Model:
    """Who may open what at a moment: from the pillar's own data, loans and locks, by asking each in turn."""

    def __init__(self, data, members, temporary, day):
        self.data, self.members, self.day = data, members, day
        self.locks, self.loans = temporary.locks, [loan for loan in temporary.loans if loan.end > day * 86400]
        self.horizon = int(data["time"]["horizon"][:-1])
        self.minutes = {}

    def scheduled(self, name, moment):
        """Say whether a schedule is open, as far as it is worked out on the day."""
        if name not in self.minutes:
            declared = {"zone": self.data["time"]["zone"], **self.data["schedules"][name]}
            self.minutes[name] = timemodel.open_minutes(declared, self.day - 2, self.day + self.horizon)
        return moment // 60 in self.minutes[name]

    def sources(self, user, vm):
        """Return all grants and loans of a user and vm by name."""
        grants = {
            name: grant
            for name, grant in self.data["grants"].items()
            if grant["vm"] == vm and (grant.get("user") == user or user in self.members.get(grant.get("group"), ()))
        }
        return {**grants, **{loan.name: loan for loan in self.loans if (loan.user, loan.vm) == (user, vm)}}

    def locked(self, user, vm):
        """Say whether a lock denies it."""
        return any((lock.about, lock.name) in (("all", ""), ("user", user), ("vm", vm)) for lock in self.locks)

    def works(self, source, moment):
        """Say whether a grant or loan is open."""
        if isinstance(source, Loan):
            return source.start <= moment < source.end
        start, end = (seconds(source.get(key)) for key in ("valid_from", "valid_until"))
        if (start is not None and moment < start) or (end is not None and moment >= end):
            return False
        chosen = source.get("schedule", [])
        return not chosen or any(self.scheduled(name, moment) for name in chosen)

    def open(self, user, vm, moment):
        """Say whether a user may open the console of a vm."""
        return not self.locked(user, vm) and any(
            self.works(source, moment) for source in self.sources(user, vm).values()
        )

    def lasting(self, user, vm, moment):
        """Say whether what is open may go on: all that stands behind it must say so, the least of it counts."""
        sources = self.sources(user, vm).values()
        if self.locked(user, vm) or not all(
            not isinstance(source, Loan) and source.get("on_end") == "drain" for source in sources
        ):
            return False
        graces = [int(source["grace"][:-1]) for source in sources if "grace" in source]
        worked_out = range((self.day - 2) * 1440, (self.day + self.horizon) * 1440)
        if not graces:
            return any(self.open(user, vm, minute * 60) for minute in worked_out)
        return any(self.open(user, vm, moment - 60 * ago) for ago in range(min(graces) + 1))

    def until(self, user, vm, moment):
        """Return when it changes next."""
        edges = {minute * 60 for minute in range(self.day * 1440, (self.day + self.horizon) * 1440 + 1)}
        for source in self.sources(user, vm).values():
            loan = isinstance(source, Loan)
            ends = (source.start, source.end) if loan else map(seconds, map(source.get, ("valid_from", "valid_until")))
            edges |= {edge for edge in ends if edge is not None}
        now = self.open(user, vm, moment)
        later = (edge for edge in sorted(edges) if edge > moment)
        found = next((edge for edge in later if self.open(user, vm, edge) != now), None)
        # Where nothing further is worked out nothing need end.
        if found == (self.day + self.horizon) * 86400 and self.one_day_more().open(user, vm, found):
            return None
        return found

    def one_day_more(self):
        """Return a model that works out a day more."""
        longer = copy.copy(self)
        longer.horizon, longer.minutes = self.horizon + 1, {}
        return longer


def seconds(text):
    return None if text is None else int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def iso(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@st.composite
def offices(draw):
    """Draw a pillar with several grants that are limited in time, loans and locks, and a day: all close together."""
    zones = st.sampled_from(RECENT)
    day = draw(days_around(draw(zones)))
    near = st.integers(-1440, 4 * 1440).map(lambda minute: (day * 1440 + minute) * 60)
    named = {f"s{number}": draw(schedules(draw(zones), day)) for number in range(draw(st.integers(1, 3)))}
    grants = {}
    for number in range(draw(st.integers(1, 5))):
        who = draw(st.sampled_from([("user", "myself"), ("user", "guest"), ("group", "family")]))
        grant = {"vm": draw(st.sampled_from(VMS)), who[0]: who[1]}
        if draw(st.integers(0, 4)):
            grant["schedule"] = draw(st.lists(st.sampled_from(sorted(named)), min_size=1, max_size=2, unique=True))
        first, last = sorted(draw(st.lists(near, min_size=2, max_size=2, unique=True)))
        limits = {"valid_from": iso(first), "valid_until": iso(last)}
        grant.update({key: limit for key, limit in limits.items() if draw(st.integers(0, 2)) == 0})
        if draw(st.booleans()):
            grant["on_end"] = "drain"
            grant.update({"grace": f"{draw(st.integers(1, 90))}m"} if draw(st.integers(0, 3)) else {})
        grants[f"g{number}"] = grant
    loans = [
        Loan(draw(st.sampled_from(USERS)), draw(st.sampled_from(VMS)), start, start + 60 * draw(st.integers(1, 480)))
        for start in draw(st.lists(near, max_size=2))
    ]
    locks = draw(st.lists(st.sampled_from([("user", "guest"), ("vm", "leaptest"), ("all", "")]), max_size=1))
    temporary = Temporary(tuple({loan.name: loan for loan in loans}.values()), tuple(Lock(*lock) for lock in locks))
    time = {"zone": draw(zones), "horizon": "2d"}
    return changed(article(), time=time, schedules=named, grants=grants), temporary, day


def compiled(data, temporary, moment):
    return compile_policy(
        pillar.parse_policy(data), inventory(), temporary=temporary, now=moment, day=moment // 86400 * 86400
    )


@settings(max_examples=amount(300, 60))
@given(offices(), st.lists(st.integers(0, 86399), min_size=1, max_size=2))
def test_who_may_open_what_is_what_the_model_says(office, times):
    data, temporary, day = office
    model = Model(data, {"family": ("mybro", "myself")}, temporary, day)
    for moment in (day * 86400 + offset for offset in times):
        desired = compiled(data, temporary, moment)
        for user, vm in itertools.product(USERS, VMS):
            decided = decision.decide(desired, user, vm, moment)
            assert decided.open is model.open(user, vm, moment)
            assert (decided.lock is not None) is (model.locked(user, vm) and bool(model.sources(user, vm)))
            assert set(decided.grants) <= set(model.sources(user, vm))
            if decided.lock is None:
                assert decided.until == model.until(user, vm, moment)
            if decided.open:
                at_work = {name for name, source in model.sources(user, vm).items() if model.works(source, moment)}
                assert set(decided.grants) == at_work
            elif decided.access is not None:
                assert decided.lasting is model.lasting(user, vm, moment)


@settings(max_examples=amount(400, 60))
@given(offices())
def test_what_the_kernel_is_told_is_what_is_decided_at_every_edge(office):
    """As far as it is worked out; at the end of that, all that follows a schedule is closed."""
    data, temporary, day = office
    desired = compiled(data, temporary, day * 86400)
    start, end = day * 86400, (day + 2) * 86400
    for access in (*desired.accesses, *(access for access, _ in desired.locked)):
        opened = desired.times(access).opened
        edges = {edge for span in opened for edge in span}
        for edge in edges | {start, start + 86400}:
            for moment in (edge - 1, edge, edge + 1):
                if start <= moment < end:
                    decided = decision.decide(desired, access.user, access.vm, moment)
                    assert decided.open is (decided.lock is None and contains(opened, moment))
        if all(term.schedules for term in access.terms):
            assert not contains(opened, end)
    known = [Times(((FIRST, LAST),)), *map(desired.times, desired.accesses)]
    assert set(guard.desired_chains(desired).values()) <= set(known)
    assert {access for access, _ in desired.locked}.isdisjoint(desired.accesses)
