"""How much is tried: of what could go on for ever, and of what is the same with other words."""

import pytest

from checkout import commit

# Set by conftest.py before any test is imported.
full = False


def amount(everything, usual):
    """The first in a full run of the suite, else the second."""
    return everything if full else usual


def first_of(params, count=1):
    """Parameters of a test: the first of them in each run, the others in a full one as well."""
    packed = [each if isinstance(each, tuple) else (each,) for each in params]
    return [pytest.param(*each, marks=[] if n < count else [pytest.mark.full]) for n, each in enumerate(packed)]


def by_turns(params, every=3):
    """Named parameters of a test: each in a full run; in another one those whose turn it is, by the commit."""
    turn = commit() % every
    return [
        pytest.param(*each, id=name, marks=[] if number % every == turn else [pytest.mark.full])
        for number, (name, each) in enumerate(params.items())
    ]
