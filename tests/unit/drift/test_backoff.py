"""When to look, by given moments."""

from spicegrants.drift import backoff
from spicegrants.drift.backoff import LONGEST, QUIET, Pace


def test_the_first_sign_is_followed_at_once():
    assert backoff.next_look(Pace()) < 0


def test_what_found_something_is_followed_at_once():
    assert backoff.next_look(backoff.after(Pace(0, 5), True, 100)) == 100


def test_looks_in_a_row_that_find_nothing_come_the_less_often():
    found, now, gaps = Pace(), 0.0, []
    for _ in range(6):
        found = backoff.after(found, False, now)
        gaps.append(backoff.next_look(found) - now)
        now = backoff.next_look(found)
    assert gaps == [1, 2, 4, 8, 8, 8] and max(gaps) == LONGEST


def test_after_a_quiet_time_it_starts_anew():
    assert backoff.after(Pace(0, 6), False, QUIET) == Pace(QUIET, 7)
    assert backoff.after(Pace(0, 6), False, QUIET + 1) == Pace(QUIET + 1, 1)
