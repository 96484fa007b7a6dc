"""What a master keeps for minions that were off: the last word on each lock, whatever its cache holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.audit import pending
from spicegrants.audit.pending import LOCK, UNLOCK, Order
from unit.strategies import junk, text

ANNE = Order("desk-1", LOCK, {"user": "anne", "reason": "left"}, 1795478400)
BOOKS = Order("desk-2", UNLOCK, {"vm": "books"}, 1795478460)
ALL = Order("desk-1", LOCK, {"all": True}, 1795478401)


def test_an_order_comes_back():
    for each in (ANNE, BOOKS, ALL):
        assert pending.order([*each]) == each


@given(st.one_of(junk, st.lists(junk, max_size=5)))
def test_what_is_no_order_is_none(kept):
    found = pending.order(kept)
    assert found is None or [*found] == [*kept]


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        ["desk-1", "cmd.run", {"cmd": "id"}, 1],
        ["desk-1", LOCK, "anne", 1],
        ["desk-1", LOCK, {}, 1.5],
        ["desk-1", LOCK, {}, True],
        [1, LOCK, {}, 1],
    ],
)
def test_no_other_function_is_ever_called(kept):
    assert pending.order(kept) is None


def test_the_last_word_on_a_lock_replaces_the_one_before():
    """Whatever the reason; another minion's, user's or vm's stays."""
    again = ANNE._replace(function=UNLOCK, given={"user": "anne"}, since=0)
    assert again.key == ANNE.key
    others = [
        ANNE._replace(minion="desk-2"),
        ANNE._replace(given={"user": "ben"}),
        ANNE._replace(given={"vm": "anne"}),
        ALL,
    ]
    assert len({ANNE.key, *(each.key for each in others)}) == 5


@given(text, text, text, text)
def test_keys_are_plain_and_no_two_are_one(minion, user, other_minion, other):
    one, two = (Order(name, LOCK, {"user": each}, 1) for name, each in ((minion, user), (other_minion, other)))
    assert one.key.isalnum() and len(one.key) == 32
    assert (one.key == two.key) is ((minion, user) == (other_minion, other))


def test_rows():
    assert pending.rows([BOOKS, ALL, ANNE]) == [
        {
            "minion": "desk-1",
            "about": "user anne",
            "since": "Tue 2026-11-24 00:00 UTC",
            "reason": "left",
            "host": False,
            "state": "pending",
        },
        {
            "minion": "desk-1",
            "about": "everything",
            "since": "Tue 2026-11-24 00:00:01 UTC",
            "reason": "",
            "host": False,
            "state": "pending",
        },
        {
            "minion": "desk-2",
            "about": "vm books",
            "since": "Tue 2026-11-24 00:01 UTC",
            "reason": "",
            "host": False,
            "state": "pending: to be unlocked",
        },
    ]


def test_what_is_the_same_is_asked_together():
    """The oldest first; another reason is another lock."""
    same = ANNE._replace(minion="desk-9", since=ANNE.since + 5)
    other = ANNE._replace(minion="desk-3", given={"user": "anne", "reason": "ill"}, since=1)
    assert pending.together([same, ANNE, other]) == [(other, [other]), (ANNE, [ANNE, same])]
