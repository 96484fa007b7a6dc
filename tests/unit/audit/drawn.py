"""Weeks to draw: the office of the examples, with loans, locks and hostile names."""

from spicegrants.audit import week
from spicegrants.policy.loans_locks import NOTHING, Loan, Lock, Temporary
from unit.policy.test_examples import moment, office

# On the Tuesday of that week: a loan alone, one that begins before a window and ends in it, and a lock.
TEMPORARY = Temporary(
    (
        Loan("anne", "books", moment("2026-11-24T13:00"), moment("2026-11-24T17:00"), "year-end"),
        Loan("boss", "books", moment("2026-11-24T16:30"), moment("2026-11-24T20:00")),
    ),
    (Lock("user", "maggie", "laptop is lost", moment("2026-11-24T10:00")),),
)


def drawn(now, days=7, temporary=NOTHING, at=None, user=None):
    """The week from a moment, now by default, on."""
    return week.drawn(office(now, temporary), "desk-1", user, moment(at or now), days)


# What is drawn in the golden files, and one of them in the docs.
WEEKS = {
    "office": lambda: drawn("2026-11-24T14:30", 7, TEMPORARY, at="2026-11-23T00:00"),
    "clock-back": lambda: drawn("2026-10-22T09:10"),
    "clock-forward": lambda: drawn("2027-03-27T09:10", 2),
    "exceptions": lambda: drawn("2026-12-20T09:10", 14),
    "month": lambda: drawn("2026-11-30T09:10", 31, at="2026-11-30T09:10"),
}
