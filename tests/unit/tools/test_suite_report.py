"""What the command that runs the suite makes of pytest's lines and reports."""

import collections
from xml.etree import ElementTree

import pytest

import suite
from groups import parts


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("tests/unit/test_a.py::test_x[PASSED] ", []),
        ("[gw0] [ 12%] PASSED tests/unit/test_a.py::test_x[a FAILED b]@unit/test_a.py ", ["[12 %] 1 passed"]),
        ("tests/unit/test_a.py::test_x PASSED      [ 10%]", ["[10 %] 1 passed"]),
        ("[gw1] [  2%] FAILED tests/a.py::test_x ", ["[gw1] [  2%] FAILED tests/a.py::test_x ", "[2 %] 1 failed"]),
        (
            "FAILED tests/unit/test_a.py::test_x - assert 1 == 2",
            ["FAILED tests/unit/test_a.py::test_x - assert 1 == 2"],
        ),
        ("", []),
    ],
    ids=["begun", "by a worker", "alone", "failed", "summary", "empty"],
)
def test_progress_is_told_in_few_lines(line, shown):
    progress = suite.Progress()
    progress.shown = -suite.EVERY
    assert progress.lines(line) == shown


@pytest.mark.parametrize(
    ("name", "child", "outcome", "place"),
    [
        ("test_x@functional/test_a.py:nftables", "", "passed", "functional/test_a.py:nftables"),
        ("test_x[@]", "<skipped/>", "skipped", "functional/test_a.py::test_x[@]"),
        ("test_x[a@b]@functional/test_a.py", "<failure/>", "failed", "functional/test_a.py"),
        ("test_x", "<error/>", "failed", "functional/test_a.py::test_x"),
    ],
)
def test_a_case_of_a_report(name, child, outcome, place):
    text = f'<testcase classname="tests.functional.test_a" name="{name}" time="1.5">{child}</testcase>'
    case = suite.Case("suite", ElementTree.fromstring(text))  # noqa: S314
    assert (case.outcome, case.place, case.seconds) == (outcome, place, 1.5)


def test_a_lane_that_ends_badly_without_a_case_has_failed(tmp_path):
    lane = suite.Lane("daemons", ["pytest"], tmp_path)
    lane.code, lane.seconds = 2, 1.0
    table = [*suite.summary([lane], 1.0)]
    assert table[-2:] == [
        "\n0 passed, 1 failed, 0 skipped",
        "failed: daemons: pytest ended with 2, and its report names no case",
    ]
    assert table[-4].split() == ["daemons", "1", "0", "1", "0", "1"]


def test_failed_cases_are_named_last_with_their_reason(tmp_path):
    lane = suite.Lane("suite", ["pytest"], tmp_path)
    lane.code, lane.seconds = 1, 1.0
    failure = '<failure message="{}"/>'.format("&#10;".join(f"line {number}" for number in range(suite.REASON + 1)))
    rows = "".join(
        f'<testcase classname="a.b" name="{name}" time="1">{child}</testcase>'
        for name, child in [("test_x", failure), ("test_y", "")]
    )
    lane.cases = [suite.Case("suite", row) for row in ElementTree.fromstring(f"<rows>{rows}</rows>")]  # noqa: S314
    *_, total, named, reason = suite.summary([lane], 1.0)
    assert (total, named) == ("\n1 passed, 1 failed, 0 skipped", "failed: suite: a.b::test_x")
    assert reason.splitlines() == [f"    line {number}" for number in range(suite.REASON)]


@pytest.mark.parametrize(("may_be_empty", "code"), [(True, 0), (False, 5)])
def test_a_lane_without_tests(tmp_path, may_be_empty, code):
    """In a part of a run it is as good as passed; else somebody has named what is not there."""
    lines = []
    lane = suite.Lane("x", ["sh", "-c", "echo no tests ran; exit 5"], tmp_path, may_be_empty=may_be_empty)
    lane.run(lines.append)
    assert (lane.code, lane.failed, lane.cases, lines) == (code, int(code > 0), [], ["x: no tests ran"])


def test_parts_of_a_run_are_all_of_it_and_take_about_as_long():
    groups = [f"functional/test_{number}.py" for number in range(40)]
    dealt = parts(groups, 4)
    assert set(dealt) == set(groups)
    assert set(collections.Counter(dealt.values()).values()) == {10}
