"""Which moments matter: when a session ends, when that is announced, and when there is next something to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.expiry import deadlines
from spicegrants.expiry.deadlines import Deadline
from spicegrants.policy.access import Access, Drain, Term, Times
from spicegrants.policy.compiler import compile_policy, recalled
from spicegrants.policy.loans_locks import Loan, Temporary
from spicegrants.policy.state_file import Stored
from spicegrants.schedule.intervals import ALWAYS, FIRST, LAST, NEVER, contains, lengthened, union
from unit.build import desired, inventory, policy

NOW = 1795500000
DAY = NOW // 86400 * 86400
DOOR = (1021, "192.168.2.2", 20002)
WINDOW = ((NOW + 1000, NOW + 4600),)


def stored(*accesses, draining=(), day=DAY, **changes):
    kept = policy(**changes)
    return Stored(kept, {"mysrv": ("192.168.2.2",)}, accesses, "spicegrp", draining=draining, day=day)


def access(start=FIRST, end=LAST, vm="debianx", **fields):
    return Access("myself", 1021, vm, ("made",), terms=(Term((), start, end),), **fields)


def made(*accesses, now=NOW, **fields):
    return recalled(stored(*accesses, **fields), 995, now)


# What is stored is enough


def test_what_is_recalled_has_the_same_times_as_what_was_enforced():
    """Without accounts and without any name: a schedule, limits, a loan, a drain."""
    changes = {
        "time": {"zone": "Europe/Berlin"},
        "schedules": {"evenings": {"days": ["mon-sun"], "hours": ["18:00-22:00"]}},
        "grants__myself-debianx__schedule": "evenings",
    }
    loan = Loan("mybro", "debianx", NOW, NOW + 3600)
    enforced = compile_policy(policy(**changes), inventory(), (), (), Temporary((loan,)), NOW, DAY)
    kept = stored(*enforced.accesses, **changes)
    found = recalled(kept, 995, NOW)
    assert [found.times(each) for each in found.accesses] == [enforced.times(each) for each in enforced.accesses]
    assert [found.open_now(each) for each in found.accesses] == [enforced.open_now(each) for each in enforced.accesses]
    assert [found.addresses(each) for each in found.accesses] == [("192.168.2.2",)] * 3


def test_what_has_times_is_closed_as_long_as_the_clock_was_never_set():
    assert made(access(NOW - 10, NOW + 10), day=None).times(access(NOW - 10, NOW + 10)) == Times(NEVER)


def test_a_drain_that_is_over_is_none():
    drains = [Drain("myself", 1021, "192.168.2.2", 20002, "debianx", (), until) for until in (NOW, NOW + 1, None)]
    assert [drain.until for drain in made(draining=drains).draining] == [NOW + 1, None]


# Deadlines


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (Times(ALWAYS), ()),
        (Times(NEVER), ()),
        (Times(((5, LAST),)), ()),
        (Times(((100, 200),)), (Deadline(100, 200, 200),)),
        (Times(((100, 200),), ALWAYS), (Deadline(100, 200, None),)),
        (
            Times(((100, 200),), lengthened(((100, 200),), 50)),
            (Deadline(100, 200, 250), Deadline(200, 250, 250, closes=False)),
        ),
        (
            Times(((100, 200), (220, 300)), lengthened(((100, 200), (220, 300)), 50)),
            (Deadline(100, 200, 350), Deadline(220, 300, 350), Deadline(300, 350, 350, closes=False)),
        ),
    ],
    ids=["always", "never", "from a moment on", "cut", "drained", "with grace", "with grace over a pause"],
)
def test_deadlines(times, found):
    assert deadlines.deadlines(times) == found


spans = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 40)), max_size=5).map(
    lambda pairs: union(tuple((start, start + length) for start, length in pairs))
)
graces = st.one_of(st.none(), st.integers(1, 30))


@given(spans, st.booleans(), graces)
def test_deadlines_are_the_edges_that_a_walk_through_the_seconds_finds(opened, drains, grace):
    """Second by second: where something was open and is not, and until when what was open then may go on."""
    lasting = NEVER if not drains or not opened else ALWAYS if grace is None else lengthened(opened, grace)
    times = Times(opened, lasting)

    def may_go_on(second):
        return contains(opened, second) or contains(lasting, second)

    expected = {}
    for second in range(1, 220):
        closes = contains(opened, second - 1) and not contains(opened, second)
        ends = may_go_on(second - 1) and not may_go_on(second)
        if closes or ends:
            going = next((later for later in range(second, 300) if not may_go_on(later)), None)
            expected[second] = (going, closes)
    found = {each.moment: (each.going, each.closes) for each in deadlines.deadlines(times)}
    assert found == expected
    for each in deadlines.deadlines(times):
        assert each.ends is (not may_go_on(each.moment))
        if each.closes:
            assert all(contains(opened, second) for second in range(each.since, each.moment))
        else:
            assert not any(contains(opened, second) for second in range(each.since, each.moment))


# Announcements


def due_at(now, since, *accesses, doors=(DOOR,), **fields):
    found = deadlines.due(made(*accesses, now=now, **fields), since, doors)
    return [(notice.vm, notice.deadline.moment - now) for notice in found]


END = NOW + 4600


@pytest.mark.parametrize(
    ("now", "since", "left"),
    [
        (END - 901, END - 2000, []),
        (END - 900, END - 901, [900]),
        (END - 900, END - 900, []),
        (END - 899, END - 900, []),
        (END - 700, END - 2000, [700]),
        (END - 120, END - 121, [120]),
        (END - 60, END - 2000, [60]),
        (END - 1, END - 119, []),
        (END, END - 2000, []),
    ],
    ids=[
        "before it",
        "at it",
        "at it again",
        "after it",
        "late, as after a suspend",
        "at the second one",
        "both at once, late",
        "after both",
        "when it has ended",
    ],
)
def test_an_end_is_announced_once_and_only_ahead_of_it(now, since, left):
    assert due_at(now, since, access(NOW, END)) == [("debianx", seconds) for seconds in left]


def test_only_who_has_something_open_is_warned():
    others = [(1022, *DOOR[1:]), (1021, "192.168.2.3", 20002), (1021, "192.168.2.2", 20004)]
    assert due_at(END - 900, END - 901, access(NOW, END), doors=others) == []


def test_a_window_that_another_grant_or_loan_continues_is_not_announced():
    """What it continues to is: there is one end, the real one."""
    longer = Access(
        "myself",
        1021,
        "debianx",
        ("loan:myself:debianx", "made"),
        terms=(Term((), END, END + 600), Term((), NOW, END)),
    )
    assert due_at(END - 900, END - 901, longer) == []
    assert due_at(END - 300, END - 301, longer) == [("debianx", 900)]


def test_nothing_is_announced_before_the_window_has_begun():
    """A loan of ten minutes: that of fifteen before its end is none."""
    assert due_at(NOW, NOW - 2000, access(NOW, NOW + 600)) == []
    assert due_at(NOW + 480, NOW, access(NOW, NOW + 600)) == [("debianx", 120)]


@pytest.mark.parametrize(("warn", "left"), [((), []), ((3600,), [3600])])
def test_a_grant_says_how_early(warn, left):
    assert due_at(END - 3600, NOW - 1, access(NOW, END, warn=warn)) == [("debianx", seconds) for seconds in left]
    assert due_at(END - 900, END - 901, access(NOW, END, warn=warn)) == []


def test_what_drains_is_announced_by_its_own_grant():
    drain = Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("gone",), END, 3600, (600,))
    assert due_at(END - 900, END - 901, draining=(drain,)) == []
    assert due_at(END - 600, END - 601, draining=(drain,)) == [("debianx", 600)]
    assert due_at(END - 600, END - 601, draining=(Drain("myself", *DOOR, "debianx"),)) == []


def test_two_connections_to_two_addresses_are_one_announcement():
    both = {"servers__mysrv__addresses": ["192.168.2.2", "fd00:2::2"]}
    kept = stored(access(NOW, END), **both)
    kept = Stored(kept.policy, {"mysrv": ("192.168.2.2", "fd00:2::2")}, kept.accesses, day=DAY)
    known = recalled(kept, 995, END - 120)
    assert len(deadlines.due(known, END - 121, {DOOR, (1021, "fd00:2::2", 20002)})) == 1


# What comes next


def test_nothing_timed_is_nothing_to_wake_up_for():
    assert deadlines.upcoming(recalled(stored(*desired().accesses), 995, NOW)) is None


def test_the_next_moment_is_each_announcement_and_then_the_end():
    one, now, found = access(NOW, END), NOW, []
    while (now := deadlines.upcoming(made(one, now=now))) is not None:
        found.append(now)
    assert found == [END - 900, END - 120, END]


def test_the_end_of_what_drains_permanently_is_none():
    """Nobody is cut: it is announced, and then the kernel alone closes it for new ones."""
    one = access(NOW, END, on_end="drain")
    assert deadlines.upcoming(made(one, now=END - 121)) == END - 120
    assert deadlines.upcoming(made(one, now=END - 120)) is None


def test_the_nearest_of_all_counts():
    drain = Drain("myself", *DOOR, "debianx", (), END - 10, 60, ())
    assert deadlines.upcoming(made(access(NOW, END, warn=()), access(NOW, END - 5, vm="leaptest", warn=()))) == END - 5
    assert deadlines.upcoming(made(access(NOW, END, warn=()), draining=(drain,))) == END - 10


accesses = st.builds(
    lambda start, length, on_end, grace, warn: access(
        NOW + start,
        NOW + start + length,
        on_end=on_end,
        grace=grace if on_end == "drain" else None,
        warn=tuple(sorted(warn, reverse=True)),
    ),
    st.integers(-60, 60),
    st.integers(1, 90),
    st.sampled_from(["cut", "drain"]),
    graces,
    st.sets(st.integers(1, 100), max_size=3),
)


@given(accesses, st.lists(st.integers(0, 40), max_size=4))
def test_whoever_sleeps_until_the_next_moment_misses_nothing(one, disturbances):
    """Running at every second, or at the armed moments alone and at some others: the same is ended and announced."""

    def run(moments):
        notices, since, ended = [], NOW, set()
        for now in moments:
            recalled = made(one, now=now)
            notices += [(now, notice.deadline) for notice in deadlines.due(recalled, since, [DOOR])]
            ended |= {now} if not recalled.open_now(one) else set()
            since = now
        return notices, min(ended, default=None)

    armed, now = [], NOW
    while (now := deadlines.upcoming(made(one, now=now))) is not None:
        armed.append(now)
    armed = sorted({*armed, *(NOW + 1 + after for after in disturbances)})
    every = run(range(NOW + 1, NOW + 300))
    assert run(armed)[0] == every[0]
    may_go_on = made(one).open_now(one)
    if may_go_on and every[1] is not None:
        assert run(armed)[1] == every[1]
