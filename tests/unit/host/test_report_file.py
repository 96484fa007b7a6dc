"""Reports that root has written: only to places of root's alone, and over nothing but an earlier report."""

import os
import types

import pytest

from spicegrants.core.errors import SystemFault
from spicegrants.host import disk, report_file

MARK = "<!-- a report -->"
REPORT = f"<!DOCTYPE html>\n{MARK}\n"


@pytest.fixture
def roots(monkeypatch):
    """Have each directory taken for one of root's alone."""
    monkeypatch.setattr(disk, "replaceable", lambda path: None)


def place(path, argument="html"):
    return report_file.place(argument, str(path), MARK)


@pytest.mark.parametrize("path", ["week.html", "~/week.html", "", 7, True, None, ["/root/week.html"], "/root/a\n.html"])
def test_only_an_absolute_path_is_taken(path):
    with pytest.raises(SystemFault, match=r"html: .* is no absolute path, as /root/week\.html"):
        report_file.place("html", path, MARK)


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/cron.d/week", "/root/week.svg", "/root/.html", "/root/week.html/"]
)
def test_a_name_says_which_report_it_is(path):
    """So nobody who may only have reports written can make a file that means something to the system."""
    with pytest.raises(SystemFault, match=r"must end in \.html"):
        place(path)


def test_others_must_not_be_able_to_change_a_directory(tmp_path):
    """All of them are looked at: those of links, too."""
    for directory in ("/tmp", "/var/tmp", "/dev/shm", str(tmp_path)):  # noqa: S108 - they are refused
        with pytest.raises(SystemFault, match="html: others than root can put files into /"):
            place(f"{directory}/week.html")


def test_there_must_be_a_directory(tmp_path, roots):
    with pytest.raises(SystemFault, match=f"html: there is no directory {tmp_path}/none"):
        place(tmp_path / "none" / "week.html")


def test_an_earlier_report_is_replaced(tmp_path, roots):
    path = tmp_path / "week.html"
    assert place(path) == str(path)
    path.write_text(REPORT)
    assert place(path) == str(path)


@pytest.mark.parametrize("content", ["", "<html></html>\n", f"{MARK}\n", f"a\nb\n{MARK}\n", f"{'a' * 300}\n{MARK}\n"])
def test_another_file_is_not_replaced(tmp_path, roots, content):
    path = tmp_path / "week.html"
    path.write_text(content)
    with pytest.raises(SystemFault, match=r"week\.html is another file, and is not replaced"):
        place(path)


def test_what_is_no_file_is_not_replaced(tmp_path, roots):
    (tmp_path / "directory.html").mkdir()
    (tmp_path / "report").write_text(REPORT)
    (tmp_path / "link.html").symlink_to("report")
    os.mkfifo(tmp_path / "pipe.html")
    for name, word in (("directory", "is a directory"), ("link", "is a link or"), ("pipe", "a special file")):
        with pytest.raises(SystemFault, match=word):
            place(tmp_path / f"{name}.html")


def test_a_report_may_be_called_otherwise_than_its_argument(tmp_path, roots):
    assert report_file.place("file", str(tmp_path / "a.csv"), None, "csv") == str(tmp_path / "a.csv")
    with pytest.raises(SystemFault, match=r"file: '/root/a\.html' must end in \.csv, as /root/week\.csv"):
        report_file.place("file", "/root/a.html", None, "csv")


def test_what_has_no_mark_is_never_replaced(tmp_path, roots):
    path = tmp_path / "a.csv"
    path.write_text(REPORT)
    with pytest.raises(SystemFault, match=r"file: .*a\.csv is there already, and somebody may have written into it"):
        report_file.place("file", str(path), None, "csv")


@pytest.mark.parametrize(
    ("owner", "mode", "refused"), [(0, 0o755, False), (990, 0o700, False), (990, 0o770, True), (991, 0o700, True)]
)
def test_whom_a_master_runs_as_has_directories_as_well(monkeypatch, owner, mode, refused):
    """Which need not be root's, but then nobody else's."""
    monkeypatch.setattr(os, "geteuid", lambda: 990)
    monkeypatch.setattr(os, "lstat", lambda path: types.SimpleNamespace(st_uid=owner, st_mode=0o40000 | mode))
    assert (disk.replaceable("/srv/reviews/a.html") is not None) is refused


def test_it_is_for_whom_this_runs_as_and_for_nobody_else(tmp_path):
    path = tmp_path / "week.html"
    report_file.write({str(path): REPORT}, 0o600)
    status = path.stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o600, os.geteuid()) and path.read_text() == REPORT
