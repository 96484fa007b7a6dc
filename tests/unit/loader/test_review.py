"""The runner's review: as Salt loads it, beside the rest of the runner, and what it does with what minions answer."""

import os

import pytest
import salt.config
import yaml
from salt.exceptions import NotImplemented
from salt.loader.lazy import LazyLoader

from checkout import ROOT
from spicegrants.audit.live import asking
from spicegrants.core.errors import SystemFault
from spicegrants.host import disk
from unit.audit import reviewed
from unit.build import article
from unit.loader.test_api import load

pytestmark = pytest.mark.salt


def test_two_files_are_one_runner(tmp_path):
    """Whichever of its functions is called first."""
    opts = salt.config.master_config(None)
    opts.update(root_dir=str(tmp_path), cachedir=str(tmp_path))
    for first, second in (("status", "review"), ("apply_review", "who")):
        loader = LazyLoader([str(ROOT / "_runners")], opts, tag="runners")
        assert callable(loader[f"spice_grant.{first}"]) and callable(loader[f"spice_grant.{second}"])


class Master:
    """A master whose minions are those of a review; no pillar is known of any but desk-1."""

    asked = ()

    def __init__(self, salt, opts):
        pass

    def matching(self, tgt, tgt_type):
        return {"desk-1", "desk-2"}

    def ask(self, function, arg, kwarg, *which):
        Master.asked = (function, kwarg, which)
        if which[0] == "nobody":
            raise SystemFault("no minion")
        found = reviewed.answers()
        return ({"desk-1", "desk-2"}, found) if which[0] == "both" else ({"desk-1", "desk-2", "desk-3"}, found)

    def pillar(self, minion):
        if minion != "desk-1":
            raise SystemFault("Rendering failed")
        return {"spice": {**article(), "grants": {"anne-web": {"user": "anne", "vm": "web"}}}}


@pytest.fixture
def runner(monkeypatch):
    """The runner, with such a master, where each directory is root's alone."""
    module = load(ROOT / "_runners" / "spice_grant_review.py")
    monkeypatch.setattr(module, "__opts__", {}, raising=False)
    monkeypatch.setattr(asking, "Master", Master)
    monkeypatch.setattr(disk, "replaceable", lambda path: None)
    return module


def test_a_table(runner):
    found = runner.review(tgt="both")
    assert found["outputter"] == "spice_grant" and found["data"]["retcode"] == 0
    assert [row["user"] for row in found["data"]["review"]] == ["anne", "anne", "boss", "charlie", "maggie", "ralph"]
    assert Master.asked == ("spice_grant.review", {"since": "90d"}, ("both", "glob", None, None, False))
    found = runner.review()["data"]
    assert found["retcode"] == 1 and found["review"][-1]["desks"] == ["desk-3"]


@pytest.mark.parametrize("form", ["html", "csv", "json"])
def test_a_file_is_for_its_owner_alone(runner, tmp_path, form):
    path = str(tmp_path / f"review.{form}")
    found = runner.review(format=form, file=path)["data"]
    assert found == {"retcode": 1, "written": path, "rows": 6, "silent": ["desk-3"]}
    status = os.stat(path)
    assert (status.st_mode & 0o7777, status.st_uid) == (0o600, os.geteuid())
    if form == "csv":
        with pytest.raises(NotImplemented, match="is there already, and somebody may have written into it"):
            runner.review(format=form, file=path)
    else:
        assert runner.review(format=form, file=path)["data"]["written"] == path


def test_an_earlier_one_is_compared(runner, tmp_path):
    path = str(tmp_path / "review.json")
    runner.review(format="json", file=path, tgt="both")
    assert runner.review(since=path, tgt="both")["data"]["changes"] == []
    runner.review(format="html", file=str(tmp_path / "review.html"), since=path)
    assert "Nothing but use." in (tmp_path / "review.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "htm"}, "format: 'htm' is none of table, html, csv, json, did you mean 'html'?"),
        ({"format": "html"}, "file: name one for html, csv and json, as /root/review.html, and none for a table"),
        ({"file": "/root/a.html"}, "file: name one for html, csv and json"),
        ({"format": "html", "file": "review.html"}, "file: 'review.html' is no absolute path, as /root/week.html"),
        ({"format": "html", "file": "/root/a.csv"}, "file: '/root/a.csv' must end in .html"),
        ({"since": "/etc/shadow"}, "since: '/etc/shadow' must end in .json, as /root/review.json"),
        ({"since": "a.json"}, "since: 'a.json' is no absolute path"),
        ({"since": "/nonexistent/a.json"}, "since: there is no file /nonexistent/a.json"),
        ({"tgt": "nobody"}, "no minion"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(runner, arguments, words):
    with pytest.raises(NotImplemented) as caught:
        runner.review(**arguments)
    assert str(caught.value).startswith(words)


def test_another_file_is_no_earlier_review(runner, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"secret": 7}')
    with pytest.raises(NotImplemented) as caught:
        runner.review(since=str(path))
    assert str(caught.value) == f"since: {path}: it is no review in JSON, as spice_grant.review writes it"


def test_decisions_become_a_pillar(runner, tmp_path):
    """Of the desks that the row names, as far as their pillars are known."""
    path = tmp_path / "review.csv"
    runner.review(format="csv", file=str(path))
    text = path.read_bytes().decode()
    (line,) = [each for each in text.split("\r\n") if each.startswith("anne,web,")]
    path.write_bytes(text.replace(line, f"{line[:-1]}revoke,").encode())
    found = runner.apply_review(str(path))
    assert found["outputter"] == "spice_grant" and found["data"]["retcode"] == 1
    assert yaml.safe_load(found["data"]["pillar"]) == {"spice": {"grants": {}}}
    assert "# anne-web goes: line 3 revokes web of anne" in found["data"]["pillar"]
    assert "desk-2: no pillar: Rendering failed" in found["data"]["pillar"]
    with pytest.raises(NotImplemented, match=r"file: there is no file /root/none\.csv"):
        runner.apply_review("/root/none.csv")
