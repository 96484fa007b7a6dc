"""Reports of checks: read once, and one that cannot be read is no check that found nothing."""

import json

import pytest

from spicegrants.core.errors import SpiceGrantError
from spicegrants.drift.live import check


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """The directory of reports."""
    monkeypatch.setattr(check, "REPORTS", str(tmp_path))
    return tmp_path


def test_they_are_gone_once_they_are_read(reports):
    (reports / "41").write_text(json.dumps({"left": ["x"]}), encoding="utf-8")
    (reports / ".new").write_text("not in place yet", encoding="utf-8")
    assert check.reports() == [{"left": ["x"]}] and check.reports() == []
    assert (reports / ".new").exists()


@pytest.mark.parametrize("make", [lambda path: path.write_text("{"), lambda path: path.symlink_to("elsewhere")])
def test_one_that_cannot_be_read_is_an_error(reports, make):
    make(reports / "42")
    (found,) = check.reports()
    assert found["errors"] == found["left"] and "cannot be read" in found["errors"][0]
    assert not list(reports.iterdir())


def test_no_handler_of_wrong_values_takes_them_along():
    """Errors of this package stand for themselves."""
    assert not issubclass(SpiceGrantError, ValueError)
