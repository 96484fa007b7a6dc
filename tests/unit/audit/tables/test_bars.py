"""The timeline as bars: what is drawn is what is open, to half a column, and now is where it is."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.audit.tables import answers
from spicegrants.audit.tables.layout import Asked, Screen
from spicegrants.schedule import instants

BERLIN = "Europe/Berlin"
ASKED = Asked("timeline")
FIRST = datetime.datetime(2026, 11, 23)
GRANTS, LOAN = {"x": {"when": "always"}}, {"loan:x:y": {"when": "until then", "loan": True}}


def words(minutes):
    at = FIRST + datetime.timedelta(minutes=minutes)
    return f"Mon {at:%Y-%m-%d %H:%M} {BERLIN}"


def entry(start, end, grants=GRANTS):
    return {"user": "boss", "vm": "books", "from": words(start), "until": words(end), "grants": grants}


def drawn(entries, width=80, now=None, signs=True, asked=ASKED):
    lines = answers.lay_out(entries, asked, Screen(width, signs, now))
    return ["".join(piece.text for piece in line) for line in lines]


def bar(lines):
    (found,) = [line for line in lines if line.startswith("boss books")]
    return found.removeprefix("boss books  ")


def scale(lines):
    """Minutes that a column stands for, as the legend says."""
    number, unit = re.search(r"a column is (\d+) (minute|hour|day)", " ".join(lines)).groups()
    return int(number) * {"minute": 1, "hour": 60, "day": 1440}[unit]


WEEK = 7 * 1440
STRETCHES = st.lists(st.tuples(st.integers(0, WEEK - 1), st.integers(1, 1440)), min_size=1, max_size=4)


@given(STRETCHES, st.integers(40, 200))
def test_what_is_drawn_is_what_is_open(stretches, width):
    """A half of a column is filled if it is open at any moment of it: the shortest window shows."""
    ranges = [(start, min(start + length, WEEK)) for start, length in stretches]
    lines = drawn([entry(*each) for each in ranges], width)
    first_day = min(start for start, _ in ranges) // 1440 * 1440
    half = scale(lines) / 2
    halves = {"█": (1, 1), "▌": (1, 0), "▐": (0, 1), "·": (0, 0)}
    shown = [filled for sign in bar(lines) for filled in halves[sign]]
    for number, filled in enumerate(shown):
        begin, end = first_day + number * half, first_day + (number + 1) * half
        assert bool(filled) is any(start < end and begin < stop for start, stop in ranges)
    assert first_day + len(shown) * half >= max(stop for _, stop in ranges), "nothing is cut off"


def test_what_only_a_loan_opens_has_a_sign_of_its_own():
    lines = drawn([entry(0, 720, LOAN), entry(720, 1440)], 80)
    assert set(bar(lines)) == {"▒", "█"} and bar(lines).startswith("▒")


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_now_is_marked_in_the_zone_of_the_moments(hour):
    """Not in the machine's, and not in UTC."""
    now = instants.parse_moment(f"2026-11-24T{hour:02}:30", BERLIN)
    lines = drawn([entry(0, WEEK)], 80, now)
    place = (1440 + hour * 60 + 30) // scale(lines)
    assert lines[1].index("▼") - len("boss books  ") == place
    assert f"▼ now, Tue {hour:02}:30" in lines[-2] + lines[-1]


def test_now_before_the_first_window_is_in_sight():
    """Unless another moment was asked about."""
    now = instants.parse_moment("2026-11-20T12:00", BERLIN)
    assert "▼" in drawn([entry(0, 1440)], 80, now)[1]
    asked = Asked("timeline", {"at": "2026-11-23"})
    assert "▼" not in "".join(drawn([entry(0, 1440)], 80, now, asked=asked))


def test_days_stand_above_their_beginning():
    lines = drawn([entry(0, WEEK)], 80)
    columns = 1440 // scale(lines)
    before = len("boss books  ")
    for number, label in enumerate(("Mon 23", "Tue 24", "Wed 25", "Thu 26", "Fri 27", "Sat 28", "Sun 29")):
        place = before + number * columns
        assert lines[0][place:].startswith(label) and lines[1][place] == "+"


@pytest.mark.parametrize(
    "key, value",
    [("from", "soon"), ("until", "Mon 2026-02-30 18:00 Europe/Berlin"), ("from", "Mon 2026-11-23 18:00 UTC")],
)
def test_moments_that_cannot_be_drawn_are_a_table(key, value):
    """As of another version's minion: nothing is left out."""
    lines = drawn([entry(0, 60), {**entry(0, 60), key: value}], 140)
    assert lines[0].split() == ["user", "vm", "from", "until", "grants"]
    assert value in lines[3]


def test_long_names_leave_room_for_the_bars():
    lines = drawn([{**entry(0, WEEK), "user": "u" * 60}], 80)
    assert max(map(len, lines)) <= 80 and scale(lines) < 1440
