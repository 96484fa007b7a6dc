"""A run keeps Python from searching for cycles, and leaves it as it was."""

import gc
import weakref

import pytest

from spicegrants.host import gc_pause


class Ring:
    """Refers to itself: only the search for cycles finds that nobody else does."""

    def __init__(self):
        self.ring = self


def churn():
    """Make more values than any generation waits for."""
    return [[] for _ in range(3 * max(gc.get_threshold()) * 100)]


@pytest.fixture(params=[True, False], ids=["searching", "not searching"])
def searching(request):
    """Whether Python searches for cycles, before and after."""
    was = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("searching", [True], indirect=True)
def test_nothing_is_searched_meanwhile(searching):
    lost = weakref.ref(Ring())
    with gc_pause.unsearched():
        churn()
        assert lost() is not None
    churn()
    assert lost() is None


def test_it_is_left_as_it_was(searching):
    with gc_pause.unsearched():
        assert not gc.isenabled()
    assert gc.isenabled() is searching


def test_it_is_left_as_it_was_after_an_error(searching):
    with pytest.raises(KeyError), gc_pause.unsearched():
        raise KeyError
    assert gc.isenabled() is searching
