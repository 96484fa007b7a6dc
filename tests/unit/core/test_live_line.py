"""The line that shows how far long work is: what is drawn, how often, and that it is gone at the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import terminals
from spicegrants.core.live_line import LiveLine


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def drawn():
    """What was written."""
    return []


@pytest.fixture
def line(clock, drawn):
    return LiveLine(drawn.append, clock, lambda: 40)


def test_a_count_is_drawn_over_the_one_before_and_is_gone_at_the_end(line, drawn):
    line.count("minions", 0, 1500)
    line.count("minions", 1500, 1500)
    assert drawn == ["\rminions: 0 of 1,500", "\rminions: 1,500 of 1,500"]
    line.clear()
    assert drawn[-1] == "\r" + " " * 23 + "\r"
    assert terminals.left("".join(drawn)) == [""]


def test_a_shorter_text_leaves_nothing_of_a_longer_one(line, drawn):
    line.show("longer text")
    line.show("short")
    assert terminals.left("".join(drawn)) == ["short"]


def test_after_the_first_second_it_says_how_long_the_work_has_gone_on(line, clock, drawn):
    for seconds in (0.9, 0.1, 61):
        clock.now += seconds
        line.count("file systems", 0, 2)
    assert drawn == ["\rfile systems: 0 of 2", "\rfile systems: 0 of 2 (1 s)", "\rfile systems: 0 of 2 (62 s)"]


def test_small_steps_are_drawn_ten_times_a_second_and_no_more(line, clock, drawn):
    for done in range(100):
        line.count("files", done, 1_000_000)
        clock.now += 0.01
    assert len(drawn) == 10


def test_where_the_next_step_may_be_long_in_coming_the_last_one_is_drawn(line, drawn):
    """All come at one moment: what stands there is never behind by more than a hundredth, and at the end by none."""
    shown = set()
    for done in range(1001):
        line.count("minions", done, 1000)
        shown.add(int(drawn[-1].split()[1].replace(",", "")))
        assert done - max(shown) < 10
    assert {*range(981, 1001)} <= shown and len(drawn) < 125


def test_other_work_is_drawn_at_once(line, drawn):
    line.count("connections", 0, 4000)
    line.count("users' attempts", 0, 4000)
    assert drawn[-1] == "\rusers' attempts: 0 of 4,000"


def test_without_a_terminal_nothing_is_written(clock):
    line = LiveLine(None, clock, lambda: 40)
    line.count("minions", 1, 2)
    line.show("text")
    line.clear()


def test_what_was_not_drawn_is_not_cleared(line, drawn):
    line.clear()
    assert drawn == []


@given(st.lists(st.text(), max_size=5), st.integers(0, 200))
def test_whatever_is_shown_is_one_line_without_escapes_that_fits(texts, columns):
    """Names of mounts, and lines of other programs, are anybody's."""
    drawn = []
    line = LiveLine(drawn.append, Clock(), lambda: columns)
    for text in texts:
        line.show(text)
    line.clear()
    for written in drawn:
        body = written.strip("\r")
        assert len(body) <= max(columns - 1, 0)
        assert all(" " <= letter <= "~" for letter in body)
    assert terminals.left("".join(drawn)) == [""]
