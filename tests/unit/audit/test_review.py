"""The review of grants: what a row says, flags, what desks say together, and what is different from an earlier one."""

import json
import pathlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.audit import review, review_document
from spicegrants.audit.fleet import Answer
from spicegrants.audit.review_row import FLAGS, flat, is_note, row, sound
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.schedule import instants
from unit.audit import reviewed
from unit.audit.reviewed import HOSTILE, NOW, RECORDED, at, left, made, refusal, session
from unit.build import article, changed
from unit.policy.test_examples import moment

HERE = pathlib.Path(__file__).parent / "reviews"


def golden(request, name, text):
    """Compare a text with a file, or write it."""
    path = HERE / name
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def only(rows, user, vm="debianx"):
    (found,) = [each for each in rows if (each["user"], each["vm"]) == (user, vm)]
    return found


def test_golden_of_one_desk(request):
    golden(request, "desk.json", json.dumps(reviewed.rows(), indent=1) + "\n")


def test_golden_as_json(request):
    golden(request, "office.json", review_document.dumped(reviewed.compared()))


# Rows of a desk


@pytest.mark.parametrize(
    ("grant", "flags"),
    [
        ({}, ["no owner", "no end"]),
        ({"owner": "it"}, ["no end"]),
        ({"owner": "it", "valid_until": "2020-03-01T00:00Z"}, []),
        ({"valid_until": "2020-01-02T12:00:01Z"}, ["no owner"]),
        ({"valid_until": "2020-01-02T12:00:00Z"}, ["ended", "no owner"]),
    ],
)
def test_flags_of_what_is_declared(grant, flags):
    data = changed(article(), **{"grants__myself-debianx": {"user": "myself", "vm": "debianx", **grant}})
    used = review.Facts({("myself", "debianx"): review.Use("2020-01-01T00:00:00Z")}, {}, ())
    assert only(made(data, known=used), "myself")["flags"] == flags


def test_flags_of_the_user():
    facts = review.Facts({}, {"myself": "its account has expired"}, {"myself"}, recorded=False)
    found = only(made(known=facts), "myself")
    assert found["flags"] == ["as good as root", "user disabled", "no owner", "no end"]
    assert found["why"] == "its account has expired"
    assert "never used" in only(made(), "myself")["flags"], "unless there is no record"


def test_a_loan_has_an_end_and_needs_no_owner():
    start = instants.seconds("2020-01-02T10:00:00Z")
    found = only(made(temporary=Temporary((Loan("guest", "debianx", start, start + 9000, "year-end"),))), "guest")
    assert found["flags"] == ["never used"]
    (about,) = found["grants"].values()
    assert (about["loan"], about["reason"], about["valid_until"]) == (True, "year-end", "2020-01-02T12:30:00Z")


def test_what_is_locked_says_so():
    found = only(made(temporary=Temporary((), (Lock("user", "myself", "left"),))), "myself")
    assert found["why"] == "user myself is locked (left)" and found["grants"]


def test_a_group_is_named_with_its_grant():
    data = changed(article(), grants__family={"group": "family", "vm": "debianx", "owner": "it"})
    found = only(made(data), "myself")
    assert found["groups"] == ["family"] and [*found["grants"]] == ["family", "myself-debianx"]
    assert found["grants"]["family"] == {"when": "always", "owner": "it", "group": "family"}
    assert flat(found)["owner"] == "family: it"


@pytest.mark.parametrize(
    ("grant", "user", "why"),
    [
        ({"user": "ghost", "vm": "debianx"}, "ghost", "no user 'ghost' on this machine"),
        ({"group": "nobodys", "vm": "debianx"}, "", "no group 'nobodys' on this machine"),
        ({"group": "family", "vm": "debianx", "except": ["mybro", "myself"]}, "", "nobody is in group family"),
    ],
)
def test_a_grant_that_gives_nobody_anything_has_a_row(grant, user, why):
    found = only(made(changed(article(), grants__gone=grant)), user)
    assert found["flags"] == ["gives nothing", "no owner", "no end"] and why in found["why"]
    assert [*found["grants"]] == ["gone"]


def test_a_console_without_an_address_gives_nothing():
    found = only(made(addresses={}), "myself")
    assert "gives nothing" in found["flags"]


def test_grants_that_give_nothing_to_the_same_user_share_a_row():
    data = changed(left(owner="it"), grants__other={"user": "ghost", "vm": "debianx", "reason": "backup"})
    found = only(made(data), "ghost")
    assert [*found["grants"]] == ["gone", "other"] and flat(found)["reason"] == "other: backup"


# What the record tells


def test_uses_count_since_a_moment_and_the_last_is_of_any_time():
    found = review.uses(RECORDED, reviewed.OPEN, at("2026-11-20T12:00"), at(NOW))
    charlie = found["charlie", "books"]
    assert (charlie.last, charlie.sessions, charlie.refusals) == (at(NOW), 2, 3), "one is open"
    assert charlie.stretches[-1] == (at("2026-11-24T08:10"), at(NOW))
    assert found["anne", "web"] == review.Use(at("2026-06-01T10:00"))
    assert found["maggie", "web"] == review.Use(None, 0, 1)


ODD = [
    {"at": at(NOW), "event": "opened", "session": ["a"], "user": "anne", "vm": "web"},
    {"at": at(NOW), "event": "ended", "session": "b", "user": {}, "vm": "web"},
    {"at": at(NOW), "event": "refused", "user": "anne", "vm": 7},
    {"at": at(NOW), "event": "refused", "user": "anne", "vm": "web", "count": "many"},
    {"at": at(NOW), "event": "refused", "user": None, "vm": "web"},
    {"at": at(NOW), "event": "refused"},
    {"at": at(NOW), "event": "other"},
]


@pytest.mark.parametrize("event", ODD)
def test_an_odd_line_of_the_record_counts_for_nothing(event):
    assert review.uses([event], [], at("2026-11-01T00:00"), at(NOW)) == {}


def test_sessions_of_the_last_days_are_in_the_row():
    """With windows that lie in whole days of the policy's zone, of which this is the last."""
    found = only(reviewed.rows(), "charlie", "books")
    assert [each["from"] for each in found["used"]] == [at(f"2026-11-{day}") for day in ("19T08:02", "20T07:30")] + [
        at("2026-11-24T08:10")
    ]
    assert found["windows"][0] == {"kind": "window", "from": at("2026-11-18T08:00"), "until": at("2026-11-18T18:00")}
    kinds = {kind for each in reviewed.rows() for kind in (window["kind"] for window in each["windows"])}
    assert kinds == {"window", "loan", "lock"}


def test_what_is_long_ago_is_counted_and_not_drawn():
    recorded = session("a", "boss", "books", "2026-09-01T18:30", "2026-09-01T19:00")
    found = only(reviewed.rows(known=reviewed.facts(recorded, [])), "boss", "books")
    assert (found["sessions"], found["used"]) == (1, [])


# A fleet


def test_desks_are_put_together():
    found = review.merged(("desk-1", "desk-2", "desk-3"), reviewed.answers())
    charlie = only(found, "charlie", "books")
    assert charlie["desks"] == ["desk-1", "desk-2"]
    assert (charlie["sessions"], charlie["refusals"], charlie["last_used"]) == (3, 3, at(NOW))
    assert "never used" not in charlie["flags"], "it was used on one of them"
    assert only(found, "anne", "books")["desks"] == ["desk-1"]
    assert only(found, "maggie", "web")["why"].startswith("desk-1: user maggie is locked (laptop is lost); its")
    assert only(found, "ralph", "analysis")["grants"]["ralph-analysis"]["owner"] == "boss | accounting"
    assert found[-1] == row("", "", ["desk-3"], why="not answering", flags=["desk silent"])


def test_windows_of_desks_are_joined():
    one, other = (
        row("anne", "web", [], windows=[{"kind": "window", "from": at(start), "until": at(end)}])
        for start, end in (("2026-11-24T08:00", "2026-11-24T12:00"), ("2026-11-24T10:00", "2026-11-24T18:00"))
    )
    found = only(review.merged("ab", {"a": Answer([one]), "b": Answer([other])}), "anne", "web")
    assert found["windows"] == [{"kind": "window", "from": at("2026-11-24T08:00"), "until": at("2026-11-24T18:00")}]


def test_a_minion_speaks_in_its_own_name_only():
    lie = row("anne", "web", ["desk-2", "desk-3"])
    (found,) = review.merged(["desk-1"], {"desk-1": Answer([lie])})
    assert found["desks"] == ["desk-1"]


@pytest.mark.parametrize("data", ["'spice_grant.review' is not available.", None, {}, 7, HOSTILE, True])
def test_an_answer_that_is_none_is_a_note(data):
    (found,) = review.merged(["desk-1"], {"desk-1": Answer(data)})
    assert is_note(found) and found["flags"] == ["desk silent"] and found["why"].startswith("strange answer")
    assert found["why"].isprintable()


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, {"user": ["anne"], "vm": "web"}, {"user": "anne"}])
def test_a_row_that_is_none_is_counted_and_hinders_no_other(odd):
    found = review.merged(["desk-1"], {"desk-1": Answer([odd, row("anne", "web", [])])})
    assert [each["user"] for each in found] == ["anne", ""]
    assert found[1]["why"] == "1 of its rows cannot be read"


TEXTS = st.one_of(st.text(max_size=20), st.just(HOSTILE), st.sampled_from(["anne", "books", at(NOW)]))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
DATA = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
WINDOWS = st.lists(st.fixed_dictionaries(dict.fromkeys(("kind", "from", "until"), DATA)), max_size=2)
VALUES = {
    "grants": st.one_of(DATA, st.dictionaries(TEXTS, st.dictionaries(TEXTS, DATA, max_size=3), max_size=2)),
    **dict.fromkeys(("windows", "used"), st.one_of(DATA, WINDOWS)),
}
ROWS = st.fixed_dictionaries(
    {"user": st.one_of(TEXTS, DATA), "vm": st.one_of(TEXTS, DATA)},
    optional={name: VALUES.get(name, DATA) for name in row("", "", ()) if name not in ("user", "vm")},
)
ANSWERS = st.one_of(DATA, st.lists(st.one_of(DATA, ROWS), max_size=4))


@given(ANSWERS, ANSWERS)
def test_whatever_minions_and_old_files_say_is_reported(one, other):
    """Rows have what rows have, in printable lines, and can be put together, compared and written."""
    found = review.merged(["a", "b"], {"a": Answer(one), "b": Answer(other)})
    old = review_document.loaded(json.dumps({"made by": "spice_grant.review", "rows": other}).encode())
    whole = review_document.Review(moment(NOW), at(NOW), 2, found)
    if not isinstance(old, str):
        whole = whole.compared(old)
    for each in found:
        assert set(each) == set(row("", "", ()))
        assert all(text.isprintable() for text in flat(each).values())
        assert sound(each) == each, "what was read once is the same when it is read again"
    again = review_document.loaded(review_document.dumped(whole).encode())
    assert review.difference(again.rows, whole.rows) == []


# Two reviews


def changes(old, new):
    return [(each.what, each.row["user"], dict(each.fields)) for each in review.difference(old, new)]


def test_added_removed_and_changed():
    assert changes(reviewed.earlier().rows, reviewed.whole().rows) == [
        ("removed", "guest", {}),
        ("changed", "maggie", {"groups": ("family", ""), "flags": ("", "user disabled, no owner, no end")}),
        ("added", "ralph", {}),
        ("not known", "visitor", {}),
    ]


def test_use_is_no_change():
    before = row("anne", "web", ["a"], last_used=None, flags=["never used"])
    after = row("anne", "web", ["a"], last_used=at(NOW), sessions=3, refusals=1, used=[{}], windows=[{}])
    assert changes([before], [after]) == []


@pytest.mark.parametrize(
    ("field", "value", "was", "now"),
    [
        ("owner", "it", "", "it"),
        ("ticket", "T-1", "", "T-1"),
        ("when", "by schedule work", "always", "by schedule work"),
        ("valid_until", "2027-01-01T00:00:00Z", "", "2027-01-01T00:00:00Z"),
    ],
)
def test_a_change_of_a_grant_names_the_field(field, value, was, now):
    before, after = (
        row("anne", "web", ["a"], grants={"g": {"when": "always", **about}}) for about in ({}, {field: value})
    )
    ((what, _, fields),) = changes([before], [after])
    assert what == "changed" and fields == {field.replace("_", " "): (was, now)}


def test_a_desk_that_is_silent_now_has_not_lost_anything():
    before = [row("anne", "web", ["a", "b"]), row("boss", "web", ["b"])]
    silent = row("", "", ["b"], flags=["desk silent"])
    assert changes(before, [row("anne", "web", ["a"]), silent]) == [("not known", "boss", {})]
    assert changes(before, [row("anne", "web", ["a"])]) == [
        ("changed", "anne", {"desks": ("a, b", "a")}),
        ("removed", "boss", {}),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]", b"{}", b'{"made by": 7, "rows": []}']
)
def test_what_is_no_review_is_said(content):
    assert isinstance(review_document.loaded(content), str)


def test_of_a_damaged_or_newer_review_the_rest_counts():
    document = {"made by": "spice_grant.review", "version": 2, "at": HOSTILE, "rows": [7, row("anne", "web", ["a"])]}
    found = review_document.loaded(json.dumps(document).encode())
    assert [each["user"] for each in found.rows] == ["anne"] and found.at.isprintable()
    assert len(found.complaints) == 2 and "newer version" in found.complaints[1]


def test_its_json_says_in_its_second_line_what_it_is():
    assert review_document.dumped(reviewed.whole()).splitlines()[1] == review_document.MARK


def test_each_flag_has_a_meaning_in_the_docs():
    text = (pathlib.Path(__file__).parents[3] / "docs" / "reviews.md").read_text(encoding="utf-8")
    assert [flag for flag in FLAGS if f"| {flag} |" not in text] == []


@example(refusal("charlie", "books", NOW))
@given(st.dictionaries(st.sampled_from(["session", "user", "vm", "start", "count", "grants"]), DATA))
def test_whatever_a_line_of_the_record_has_breaks_nothing(fields):
    for kind in ("opened", "ended", "refused"):
        event = {**fields, "at": at(NOW), "event": kind}
        for use in review.uses([event], [], at("2026-11-01T00:00"), at(NOW)).values():
            assert isinstance(use, review.Use)
