"""What a fleet answered: judged, with answers of any shape."""

import pytest

from spicegrants.audit import fleet
from spicegrants.audit.fleet import Answer, Declared
from spicegrants.policy import merge


def stands(state="in sync", policy="aaa", **more):
    return Answer({"state": state, "policy": policy, "since": None, "drift": [], "errors": [], **more})


def judged(answer, declares=None):
    (row,) = fleet.status(["m"], {"m": answer} if answer else {}, {"m": declares} if declares else {})
    return row["state"], row["why"]


@pytest.mark.parametrize(
    ("answer", "declares", "expected"),
    [
        (None, None, ("not answering", "")),
        (None, Declared(None, ("spice: wrong",)), ("not answering", "pillar: spice: wrong")),
        (stands(), None, ("in sync", "")),
        (stands(), Declared("aaa"), ("in sync", "")),
        (stands(), Declared("bbb"), ("behind", "pillar declares bbb")),
        (stands(), Declared(None), ("behind", "pillar declares nothing")),
        (stands("no policy", None), Declared(None), ("in sync", "")),
        (stands("no policy", None), None, ("no policy", "")),
        (stands("no policy", None), Declared("bbb"), ("behind", "pillar declares bbb")),
        (stands("drifted", drift=["opens", "shuts"]), Declared("aaa"), ("drifted", "opens; shuts")),
        (stands("drifted", drift=["opens"]), Declared("bbb"), ("behind", "pillar declares bbb; opens")),
        (stands("failed", errors=["red"]), Declared("bbb"), ("failed", "red")),
        (stands(), Declared(None, ("spice:vms: wrong",)), ("failed", "pillar: spice:vms: wrong")),
        (stands("failed", errors="not a list"), None, ("failed", "not a list")),
    ],
)
def test_how_a_minion_stands(answer, declares, expected):
    assert judged(answer, declares) == expected


ODD = ["'spice_grant.status' is not available.", None, [], {}, {"state": ["x"]}, {"state": "fine"}, 7, "\x1b[2J" * 200]


@pytest.mark.parametrize("data", ODD)
def test_an_answer_of_any_shape_is_reported_and_breaks_nothing(data):
    """As of an older version: it has no such function, or another one of that name."""
    answers = {"odd": Answer(data), "good": stands()}
    rows = fleet.status(["good", "odd"], answers, {"odd": Declared("aaa")})
    assert [row["state"] for row in rows] == ["in sync", "strange answer"]
    rows += fleet.accesses(["odd"], answers, vm="books")
    rows += fleet.runs(["odd"], answers, merge.sentences)
    assert fleet.confirmations(["odd"], answers)["confirmed"] == []
    for row in rows:
        assert all(isinstance(value, str) and value.isprintable() and len(value) < 500 for value in row.values())


def test_who_may_open_what():
    entry = {"user": "anne", "vm": "books", "state": "open", "grants": {"anne-books": {}}, "port": 1}
    answers = {"a": Answer([entry, {**entry, "vm": "web"}]), "b": Answer([]), "c": Answer("no policy", 1)}
    rows = fleet.accesses(["a", "b", "c", "d"], answers, vm="books")
    assert [(row["minion"], row["user"], row["vm"], row["grants"]) for row in rows] == [
        ("a", "anne", "books", "anne-books"),
        ("c", "", "", ""),
        ("d", "", "", ""),
    ]
    assert [row["state"] for row in rows] == ["open", "strange answer: no policy", "not answering"]
    assert fleet.unknown(rows) and not fleet.unknown(rows[:1])
    assert [row["vm"] for row in fleet.accesses(["a"], answers, user="anne")] == ["books", "web"]


def test_what_is_said_of_a_grant_is_shown_with_it():
    fields = {"ticket": "IT-1", "when": "always", "owner": "it", "reason": "year-end", "contact": "Anne"}
    entry = {"user": "anne", "vm": "books", "state": "open", "grants": {"a": fields, "b": {"when": "always"}, "c": 5}}
    (row,) = fleet.accesses(["m"], {"m": Answer([entry])}, vm="books")
    assert row["grants"] == "a (year-end, owner it, ticket IT-1, contact Anne), b, c"


@pytest.mark.parametrize("more", [{"minion": "other"}, {7: "x"}, {"user": ["anne"]}, {"grants": 5}, {"state": {}}])
def test_an_access_with_odd_keys_or_values_hinders_no_other(more):
    """A minion says what it likes, but in its own name only."""
    entry = {"user": "anne", "vm": "books", "state": "open", "grants": {}}
    rows = fleet.accesses(["a", "b"], {"a": Answer([{**entry, **more}]), "b": Answer([entry])}, vm="books")
    assert [row["minion"] for row in rows] == ["a", "b"] and rows[1]["user"] == "anne"
    assert all(isinstance(value, str) for row in rows for value in row.values())


def ran(result, changes=None, comment="said", retcode=0):
    return Answer(
        {"spice_|-x_|-x_|-present": {"result": result, "changes": changes or {}, "comment": comment}}, retcode
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ran(True), ("succeeded", "", "")),
        (ran(True, {"layers": {"sudo": ["lets anne"]}}), ("succeeded", "sudo: lets anne", "")),
        (ran(None, {"layers": {"sudo": ["lets anne"]}}), ("would change", "sudo: lets anne", "")),
        (ran(False), ("failed", "", "said")),
        (ran(True, retcode=2), ("failed", "", "exit code 2")),
        (ran(True, "odd"), ("succeeded", "odd", "")),
        (
            ran(True, {"virt-viewer": {"old": "", "new": "11.0"}}),
            ("succeeded", "{'virt-viewer': {'old': '', 'new': '11.0'}}", ""),
        ),
        *((ran(odd), ("failed", "", "said")) for odd in ("no", "True", 0, 1, [], {})),
        (
            Answer(["Data failed to compile:", "Rendering failed"]),
            ("failed", "", "Data failed to compile:; Rendering failed"),
        ),
        (Answer({}), ("failed", "", "{}")),
        (None, ("not answering", "", "")),
    ],
)
def test_what_a_run_did(answer, expected):
    (row,) = fleet.runs(["m"], {"m": answer} if answer else {}, merge.sentences)
    assert (row["result"], row["changes"], row["why"]) == expected


def test_only_a_whole_success_confirms():
    good = {"changes": {}, "errors": [], "comment": "anne is locked."}
    answers = {
        "good": Answer(good),
        "red": Answer({**good, "errors": ["sudo: no"]}, 1),
        "code": Answer(good, 1),
        "old": Answer("'spice_grant.lock' is not available.", 254),
        "half": Answer({"errors": []}),
    }
    found = fleet.confirmations([*answers, "down"], answers)
    assert found["confirmed"] == ["good"] and found["not confirmed"] == ["down"]
    assert set(found["failed"]) == {"red", "code", "old", "half"} and found["failed"]["red"] == "sudo: no"
    assert found["hosts"] == []


def test_who_holds_something_as_a_kvm_host_is_named():
    """Only of those who confirmed it; what else a minion says there does not count."""
    good = {"changes": {}, "errors": []}
    answers = {
        "desk": Answer({**good, "host": False}),
        "kvm": Answer({**good, "host": True}),
        "kvm-red": Answer({**good, "host": True, "errors": ["firewall: no"]}, 1),
        "odd": Answer({**good, "host": "yes"}),
    }
    found = fleet.confirmations(answers, answers)
    assert (found["confirmed"], found["hosts"]) == (["desk", "kvm", "odd"], ["kvm"])


def test_the_hosts_that_desks_name():
    answers = {
        "a": {"asks": "kvm1"},
        "b": {"asks": None},
        "c": {"asks": ["kvm2"]},
        "d": "no",
        "e": {},
        "f": {"asks": "kvm1"},
    }
    assert fleet.hosts_named({name: Answer(data) for name, data in answers.items()}) == {"kvm1"}


def test_loans_and_locks_of_minions():
    lock = {"about": "user anne", "since": "Tue", "extra": 1}
    answers = {"a": Answer([lock, {**lock, "host": True}]), "b": Answer([]), "c": Answer("\x1b no policy", 1)}
    rows = fleet.entries(["a", "b", "c", "d"], answers, ("about", "since", "reason"))
    assert [(row["minion"], row["about"], row["reason"], row["host"]) for row in rows] == [
        ("a", "user anne", "", False),
        ("a", "user anne", "", True),
        ("c", "", "", False),
        ("d", "", "", False),
    ]
    assert [row["state"] for row in rows] == ["", "", "strange answer: \\x1b no policy", "not answering"]


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [(None, [7]), (3, [3, 3, 1]), ("3", [3, 3, 1]), ("50%", [3, 3, 1]), ("1%", [1] * 7), ("100%", [7]), (99, [7])],
)
def test_groups(batch, sizes):
    names = [f"m{number}" for number in range(7)]
    made = fleet.groups(reversed(names), batch)
    assert [len(group) for group in made] == sizes and [name for group in made for name in group] == names
    assert fleet.groups([], batch) == []


@pytest.mark.parametrize("batch", [0, -1, True, "", "%", "x", "1.5", "0%"])
def test_no_groups(batch):
    with pytest.raises(ValueError, match="batch"):
        fleet.groups(["m"], batch)
