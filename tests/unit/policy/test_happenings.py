"""What a run has changed, as the record tells it."""

from dataclasses import replace

from spicegrants.policy import happenings
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.policy.state_file import Stored

NOW = 1795543920
LOAN = Loan("anne", "books", NOW, NOW + 3600, "year-end", uid=1021)
LOCK = Lock("user", "anne", "left", NOW)
BEFORE = Stored()
SAME = ("a", "a")


def told(after, prints=SAME, before=BEFORE):
    return happenings.of_run(before, after, prints, ["firewall: opens it"])


def with_temporary(*, loans=(), locks=()):
    return replace(BEFORE, temporary=Temporary(tuple(loans), tuple(locks)))


def test_a_loan_and_its_end():
    lent = with_temporary(loans=[LOAN])
    about = {"user": "anne", "uid": 1021, "vm": "books", "reason": "year-end"}
    until = "2026-11-24T19:12:00Z"
    assert told(lent) == [("loan", {**about, "what": "books is lent to anne", "until": until})]
    assert told(BEFORE, before=lent) == [("loan", {**about, "what": "the loan of books to anne is over"})]
    longer = with_temporary(loans=[LOAN._replace(end=NOW + 7200)])
    assert [fields["until"] for _, fields in told(longer, before=lent)] == ["2026-11-24T20:12:00Z"]
    assert [kind for kind, _ in told(lent, before=lent)] == ["repair"]


def test_a_lock_and_its_end():
    locked = with_temporary(locks=[LOCK, Lock("all")])
    assert told(locked) == [
        ("lock", {"user": "anne", "reason": "left", "what": "user anne is locked"}),
        ("lock", {"reason": None, "what": "everything is locked"}),
    ]
    assert [fields["what"] for _, fields in told(BEFORE, before=locked)] == [
        "user anne is unlocked",
        "everything is unlocked",
    ]


def test_the_policy():
    for prints, what in (
        ((None, "a"), "a policy was set"),
        (("a", "b"), "the policy changed"),
        (("a", None), "all was removed"),
    ):
        ((kind, fields),) = told(BEFORE, prints)
        assert (kind, fields["what"], fields["before"], fields["after"]) == ("policy", what, *prints)


def test_members_of_a_group():
    """Who may open what is another matter than the policy."""
    ((kind, fields),) = told(replace(BEFORE, accesses=("somebody",)))
    assert (kind, fields["what"]) == ("policy", "who may open what changed")


def test_what_somebody_altered():
    ((kind, fields),) = told(BEFORE)
    assert (kind, fields["changes"]) == ("repair", ["firewall: opens it"])
    assert happenings.of_run(BEFORE, BEFORE, SAME, []) == []
