"""How much is tried: of what could go on for ever, and of what is the same with other words."""

import pytest

# Set by conftest.py before any test is imported.
full = False


def amount(everything, usual):
    """The first in a full run of the suite, else the second."""
    return everything if full else usual


def first_of(params, count=1):
    """Parameters of a test: the first of them in each run, the others in a full one as well."""
    packed = [each if isinstance(each, tuple) else (each,) for each in params]
    return [pytest.param(*each, marks=[] if n < count else [pytest.mark.full]) for n, each in enumerate(packed)]


def its_turn(number, every, commit):
    """Whether the case of that number is among those that a commit plays: of each so many in a row it is one.

    A row begins one later than the row before, so that a commit does not always take the same of parameters that are
    combined with others.
    """
    return (number + number // every) % every == commit % every
