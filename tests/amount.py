"""How much is tried of what could go on for ever."""

# Set by conftest.py before any test is imported.
full = False


def amount(everything, usual):
    """The first in a full run of the suite, else the second."""
    return everything if full else usual
