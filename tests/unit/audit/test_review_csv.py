"""The review as a spreadsheet: nothing in it is calculated, and decisions come back as they were meant."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.audit import review_csv
from spicegrants.audit.review_row import COLUMNS, row
from unit.audit import reviewed
from unit.audit.reviewed import HOSTILE
from unit.audit.test_review import golden

ANNE = row("anne", "books", ["desk-1", "desk-2"], grants={"anne-books": {"when": "always"}, "ops/books": {}})


def test_golden(request):
    # Read as it is: the lines of a CSV end with two characters.
    golden(request, "office.csv", review_csv.written(reviewed.compared().rows).replace("\r\n", "\n"))


def decided(*words, rows=(ANNE,), comment="", delimiter=",", encoding="utf-8"):
    """What is read of a review in which somebody has written decisions."""
    lines = list(csv.reader(io.StringIO(review_csv.written(rows).lstrip("\ufeff"), newline="")))
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(lines[0])
    for line, word in zip(lines[1:], words):
        writer.writerow([*line[:-2], word, comment])
    return review_csv.read(stream.getvalue().encode(encoding))


@given(st.text())
@example("=1+1")
@example("'=1+1")
@example("''")
@example("\t=1")
@example("\N{FULLWIDTH EQUALS SIGN}1")
def test_a_cell_is_harmless_and_comes_back(cell):
    made = review_csv.harmless(cell)
    assert not made.startswith(("=", "+", "-", "@", "\t", "\r", "\N{FULLWIDTH EQUALS SIGN}"))
    assert review_csv.meant(made) == cell


TEXTS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co", "Zs", "Mn", "Me")), min_size=1
)


@given(user=TEXTS, vm=TEXTS, grant=TEXTS.map(lambda text: text.replace(",", ".")), comment=TEXTS)
def test_names_and_comments_come_back(user, vm, grant, comment):
    """Whatever letters, quotes and delimiters they have."""
    found = decided(
        "revoke", rows=[row(user, vm, ["desk-1"], grants={grant: {}})], comment=review_csv.harmless(comment)
    )
    assert found.revoked == [review_csv.Decision(2, user, vm, (grant,), (), ("desk-1",), comment)]


@given(st.lists(st.builds(row, st.text(), st.text(), st.lists(st.text())), max_size=4))
@example([row(HOSTILE, HOSTILE, [HOSTILE], why=HOSTILE, grants={HOSTILE: {"owner": HOSTILE}})])
def test_no_cell_of_a_review_is_calculated(rows):
    """And each row is one record, whatever is in it."""
    made = review_csv.written(rows)
    records = list(csv.reader(io.StringIO(made.lstrip("\ufeff"), newline="")))
    assert len(records) == len(rows) + 1 and all(len(each) == len(COLUMNS) + 2 for each in records)
    for record in records:
        assert all(cell.isprintable() and not cell.startswith(("=", "+", "-", "@")) for cell in record)


@pytest.mark.parametrize("word", ["revoke", "Revoke", " REVOKE "])
def test_what_is_revoked_is_read_in_letters_of_any_size(word):
    grants = ("anne-books", "ops/books")
    expected = review_csv.Decision(2, "anne", "books", grants, (), ("desk-1", "desk-2"), "left")
    assert decided(word, comment="left") == review_csv.Decisions([expected], 0, 0, [])


def test_what_is_kept_or_left_open_is_counted():
    rows = [ANNE, {**ANNE, "user": "boss"}, {**ANNE, "user": "guest"}]
    assert decided("keep", "", "KEEP", rows=rows) == review_csv.Decisions([], 2, 1, [])


@pytest.mark.parametrize("word", ["revok", "yes", "keep?", "revoke keep", "=revoke", "\u202e"])
def test_anything_else_is_a_finding_with_its_line(word):
    found = decided("keep", word, rows=[ANNE, {**ANNE, "user": "boss"}])
    assert (found.revoked, found.kept) == ([], 1)
    ((path, message),) = found.findings
    assert path == "line 3" and message.endswith("is none of keep, revoke and nothing") and message.isprintable()


def test_decisions_that_contradict_each_other():
    found = decided("keep", "revoke", rows=[ANNE, ANNE])
    assert [*map(str, found.findings)] == ["line 3: says revoke, and line 2 keep"] and found.revoked == []


@pytest.mark.parametrize("each", [row("", "", ["desk-3"], flags=["desk silent"]), row("anne", "books", ["desk-1"])])
def test_what_names_nothing_cannot_be_revoked(each):
    (finding,) = decided("revoke", rows=[each]).findings
    assert str(finding) == "line 2: names no vm and grant: there is nothing in it to be revoked"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_as_spreadsheets_store_it(delimiter, encoding):
    (found,) = decided("revoke", comment="gek\u00fcndigt", delimiter=delimiter, encoding=encoding).revoked
    assert (found.user, found.comment) == ("anne", "gek\u00fcndigt")


@pytest.mark.parametrize(
    "content", [b"", b"root:x:0:0\n", b"user,vm\n", b"\xff\x00", b'"', b"user,user,vm,groups,grants,desks,decision"]
)
def test_another_file_is_a_finding_that_says_nothing_of_it(content):
    found = review_csv.read(content)
    (finding,) = found.findings
    assert finding.path == "line 1" and "is no head of a review" in finding.message and "root" not in finding.message


def test_what_cannot_be_read_on_is_a_finding():
    text = f'user,vm,groups,grants,desks,decision\nanne,books,,g,a,revoke\n"{"x" * 200_000}",b,,g,a,keep\n'
    found = review_csv.read(text.encode())
    assert [each.user for each in found.revoked] == ["anne"]
    assert found.findings[0].path == "line 3" and "cannot be read" in found.findings[0].message


@given(
    st.binary()
    | st.text().map(lambda text: ("user,vm,groups,grants,desks,decision\n" + text).encode("utf-8", "replace"))
)
def test_whatever_comes_back_is_read(content):
    found = review_csv.read(content)
    assert all(str(finding).isprintable() for finding in found.findings)
