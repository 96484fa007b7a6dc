"""The bars of a week say what is decided at each moment, whatever is declared, lent and locked."""

from hypothesis import given
from hypothesis import strategies as st

from spicegrants.audit import week
from spicegrants.core.errors import PolicyError
from spicegrants.policy import decision, pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import is_loan
from spicegrants.schedule.intervals import DAY
from unit.strategies import systems
from unit.timestrategies import ZONES, days_around, temporaries, timed_pillars


@given(st.data())
def test_bars_are_what_is_decided(data):
    """In odd zones and around changes of clocks, at each edge of a bar and beside it."""
    zone = data.draw(st.sampled_from(sorted(ZONES)))
    declared = data.draw(timed_pillars())
    declared["time"]["zone"] = zone
    policy = pillar.parse_policy(declared)
    now = data.draw(days_around(zone)) * DAY + data.draw(st.integers(0, DAY - 1))
    temporary, system = near(data, data.draw(temporaries(policy)), now), data.draw(systems(policy))
    try:
        made = compile_policy(policy, system, temporary=temporary, now=now, day=decision.day_of(now))
    except PolicyError:
        return
    found = week.drawn(made, "desk-1", None, now, data.draw(st.integers(1, 9)))
    assert len(found.rows) == len(made.accesses) + len(made.locked)
    for row in found.rows:
        edges = {edge for bar in row.bars for edge in (bar.start - 1, bar.start, bar.end - 1, bar.end)}
        moments = {found.start, found.end - 1, data.draw(st.integers(found.start, found.end - 1)), *edges}
        for moment in sorted(moments):
            if found.start <= moment < found.end:
                check(made, row, moment)


def near(data, temporary, now):
    """The same loans and locks, most of which are of the days that are drawn."""
    starts = st.integers(now - DAY, now + 9 * DAY)
    loans = [(loan, data.draw(starts)) for loan in temporary.loans]
    return temporary._replace(
        loans=tuple(loan._replace(start=start, end=start + loan.end - loan.start) for loan, start in loans),
        locks=tuple(lock._replace(since=data.draw(starts)) for lock in temporary.locks),
    )


def check(made, row, moment):
    """Who opens it at a moment, and whether a lock denies that."""
    access, lock = made.access(row.user, row.vm)
    decided = decision.judge(made.policy, access, moment)
    locked = lock is not None and lock.since <= moment
    bars = [bar for bar in row.bars if bar.start <= moment < bar.end]
    kinds = [bar.kind for bar in bars]
    assert len(kinds) == len(set(kinds)), "no bar lies over another of its kind"
    assert (week.LOCK in kinds) is locked
    opening = decided.grants if decided.open and not locked else ()
    assert (week.WINDOW in kinds) is any(not is_loan(name) for name in opening)
    assert (week.LOAN in kinds) is any(map(is_loan, opening))
    named = [words.split(", ")[0] for bar in bars if bar.kind != week.LOCK for words in bar.words[2:]]
    assert sorted(named) == sorted("loan" if is_loan(name) else f"grant {name}" for name in opening)
