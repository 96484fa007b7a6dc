"""Cases that take turns: each has one, and no commit plays none."""

import pytest

from amount import its_turn


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("count", [5, 6, 17])
def test_each_case_has_a_turn_and_each_commit_plays_its_share(count, every):
    played = [{number for number in range(count) if its_turn(number, every, commit)} for commit in range(every)]
    assert sorted(number for numbers in played for number in numbers) == [*range(count)]
    assert all(count // every <= len(numbers) <= count // every + 1 for numbers in played)


def test_of_two_parameters_that_are_combined_a_commit_plays_all_of_each():
    pairs = [(one, other) for one in range(3) for other in range(3)]
    played = [pair for number, pair in enumerate(pairs) if its_turn(number, 3, 0)]
    assert {one for one, _ in played} == {other for _, other in played} == {0, 1, 2}
