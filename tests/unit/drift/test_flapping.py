"""What keeps coming back: counted by given moments, left alone for longer and longer, and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.drift import flapping
from spicegrants.drift.flapping import FIRST, LONGEST, TIMES, WINDOW, Look, Record

ONE, OTHER = "sudo: restores it", "viewer: restricts it"
NFT, SCRIPT = (71, "nft"), (72, "iptables-restor")


def repaired(*what, who=()):
    """A look that found something and repaired it."""
    return Look(frozenset(what), who=who)


def standing(*what, held=()):
    """A look that found something and left it."""
    return Look(frozenset(what), frozenset(what), frozenset(held))


NOTHING = Look(frozenset())


def played(*looks):
    """The records after looks at given moments."""
    records = {}
    for moment, look in looks:
        records = flapping.after(records, look, moment)
    return records


def test_what_is_repaired_once_or_twice_is_no_fight():
    records = played((0, repaired(ONE)), (1, NOTHING), (9, repaired(ONE)))
    assert records == {ONE: Record(times=(0, 9))}
    assert flapping.pauses(records, 9) == {} and flapping.due(records) is None


def test_the_third_time_within_ten_minutes_is_a_fight():
    records = played((0, repaired(ONE, who=(NFT,))), (5, repaired(ONE, OTHER)), (599, repaired(ONE, who=(SCRIPT, NFT))))
    assert records[ONE] == Record((0, 5, 599), False, True, FIRST, 599 + FIRST, (NFT, SCRIPT))
    assert not records[OTHER].fight
    assert flapping.pauses(records, 600) == {ONE: 599 + FIRST}
    assert flapping.pauses(records, 599 + FIRST) == {}


def test_three_times_in_a_longer_time_are_no_fight():
    records = played((0, repaired(ONE)), (300, repaired(ONE)), (WINDOW, repaired(ONE)))
    assert records[ONE] == Record(times=(300, WINDOW))


def test_pauses_double_up_to_a_quarter_of_an_hour():
    records = played(*((moment, repaired(ONE)) for moment in range(TIMES)))
    now, pauses = float(TIMES), [records[ONE].pause]
    for _ in range(8):
        now = records[ONE].until
        records = flapping.after(records, repaired(ONE), now)
        pauses.append(records[ONE].pause)
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900, 900]
    assert LONGEST == 900


def test_what_is_left_alone_is_looked_at_again_when_that_is_over():
    records = played(*((moment, repaired(ONE)) for moment in range(TIMES)))
    until = records[ONE].until
    records = flapping.after(records, standing(ONE, held=[ONE]), 10)
    assert records[ONE].standing and records[ONE].until == until == flapping.due(records)
    assert records[ONE].times == (0, 1, 2), "left alone, it did not come once more"
    records = flapping.after(records, repaired(ONE), until)
    assert records[ONE].pause == 2 * FIRST and not records[ONE].standing


def test_what_cannot_be_repaired_is_no_fight_but_waits_longer_and_longer():
    records, pauses, now = {}, [], 0.0
    for _ in range(7):
        assert flapping.pauses(records, now) == {}
        records = flapping.after(records, standing(ONE), now)
        assert not records[ONE].fight and records[ONE].times in ((0.0,), ())
        pauses.append(records[ONE].pause)
        now = max(now, flapping.due(records))
    assert pauses == [0, 30, 60, 120, 240, 480, 900], "the first time it may have come in between"
    records = flapping.after(records, NOTHING, now)
    assert flapping.pauses(records, now) == {} and flapping.due(records) is None


def test_what_others_are_to_repair_is_told_again_only_after_a_pause():
    look = Look(frozenset([ONE]), frozenset([ONE]), acted=False)
    records = played((5, look))
    assert flapping.pauses(records, 6) == {ONE: 5 + FIRST} and flapping.due(records) == 5 + FIRST
    records = flapping.after(records, NOTHING, 8)
    assert flapping.pauses(records, 9) == {}, "it was repaired: if it comes back, that is told at once"


def test_a_fight_ends_when_nothing_comes_back_for_long_enough():
    records = played(*((moment, repaired(ONE)) for moment in range(TIMES)))
    until = records[ONE].until
    assert flapping.after(records, NOTHING, until + WINDOW)[ONE].fight
    assert flapping.after(records, NOTHING, until + WINDOW + 1) == {}


LOOKS = st.builds(
    lambda found, left, held: Look(found, left & found, held & found),
    *[st.frozensets(st.sampled_from([ONE, OTHER, "policy: x"]))] * 3,
)


@given(st.lists(st.tuples(st.floats(0, 2000), LOOKS), max_size=30))
def test_whatever_is_seen_is_bounded_and_survives_the_file(steps):
    """No pause is longer than a quarter of an hour, nothing is kept without end, and the file says the same."""
    records, now = {}, 0.0
    for later, look in steps:
        now += later
        records = flapping.after(records, look, now)
        assert all(0 <= record.pause <= LONGEST and record.until <= now + LONGEST for record in records.values())
        assert {what for what, record in records.items() if record.standing} == look.remaining
        assert flapping.load(flapping.dump(records)) == records
    assert flapping.after(flapping.after(records, NOTHING, now + 5000), NOTHING, now + 10000) == {}


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"x": []}', b'{"x": {"times": 1}}', b'"x"', b'{"x": {"more": 1}}'])
def test_a_damaged_file_is_not_taken_for_none(content):
    with pytest.raises(LiveStateUnreadable):
        flapping.load(content)
    assert flapping.load(None) == {}
