"""Schedules as the core works them out, against a walk over the minutes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from spicegrants import pillar, schedule
from unit import timemodel
from unit.build import article, changed
from unit.timestrategies import ZONES, days_around, schedules


@settings(max_examples=5000)
@given(st.data())
def test_a_schedule_is_open_when_a_clock_on_the_wall_says_so(data):
    zone = data.draw(st.sampled_from(sorted(ZONES)))
    day = data.draw(days_around(zone))
    declared = data.draw(schedules(zone, day))
    first, last = day - 1, day + data.draw(st.integers(1, 2))
    found = pillar.parse(changed(article(), schedules={"drawn": declared})).schedules["drawn"]
    worked_out = schedule.windows(found, first * 86400, last * 86400)
    assert worked_out == timemodel.ranges(timemodel.open_minutes(declared, first, last))
