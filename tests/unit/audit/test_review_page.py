"""The page that an auditor signs: a whole file, nothing that breaks out of it, and all that it must show."""

import base64
import hashlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.audit import review_page, review_week
from spicegrants.audit.review import Change
from spicegrants.audit.review_row import FLAGS, row
from unit.audit import reviewed
from unit.audit.reviewed import HOSTILE, at
from unit.audit.test_review import golden
from unit.audit.test_week_drawing import SVG, parsed


def test_golden(request):
    golden(request, "office.html", review_page.page(reviewed.compared()))


def cells(tree, head):
    """The texts of a table's body, by what its first row of heads begins with."""
    for table in tree.iter("table"):
        if [each.text or "" for each in table.iter("th")][: len(head)] == list(head):
            return [["".join(each.itertext()) for each in line] for line in table.find("tbody")]
    return None


def test_it_shows_each_access_with_its_flags():
    tree = parsed(review_page.page(reviewed.compared()))
    shown = {(line[0], line[1]): line for line in cells(tree, ("user", "vm", "through"))}
    assert [*shown] == [
        *(("anne", "books"), ("anne", "web"), ("boss", "books"), ("charlie", "books"), ("maggie", "web")),
        ("ralph", "analysis"),
    ]
    ralph = shown["ralph", "analysis"]
    assert ralph[5] == "analysis for the agency, confidential, ORDER-2026-17"
    assert ralph[6] == "Thu 2027-04-01 00:00"
    assert shown["boss", "books"][6] == "loan:boss:books: Tue 2026-11-24 20:00"
    assert "as good as root" in ralph[11] and "keep" in ralph[12] and "revoke" in ralph[12]
    assert shown["charlie", "books"][8:10] == ["3", "3"]


def test_it_says_what_is_not_known_and_what_is_different():
    tree = parsed(review_page.page(reviewed.compared()))
    assert cells(tree, ("desk", "flag"))[0][0] == "desk-3"
    assert [line[:2] for line in cells(tree, ("what", "user"))] == [
        ["removed", "guest"],
        ["changed", "maggie"],
        ["added", "ralph"],
        ["not known", "visitor"],
    ]
    same = reviewed.whole()._replace(earlier="2026-11-01T00:00:00Z")
    assert "Nothing but use." in review_page.page(same)
    assert "What is different" not in review_page.page(reviewed.whole())


def test_the_figures_on_top():
    tables = [
        each for each in parsed(review_page.page(reviewed.compared())).iter("table") if each.get("class") == "summary"
    ]
    lines = [["".join(each.itertext()) for each in line] for table in tables for line in table.iter("tr")]
    named = {words.strip("\N{WARNING SIGN}\N{VARIATION SELECTOR-15} "): number for number, words in lines}
    assert (named["minions were asked"], named["of them did not say, or not all"]) == ("3", "1")
    assert (named["users"], named["consoles"], named["rows to decide on"]) == ("5", "3", "6")
    assert (named["sessions"], named["refusals"]) == ("4", "4")
    assert (named["as good as root"], named["user disabled"], named["no owner"]) == ("1", "1", "4")


def test_sessions_lie_over_windows():
    """Each within its row, at the feet of the bars, and after them, so that nothing hides it."""
    drawn = review_week.drawn(reviewed.whole(), "desks")
    (charlie,) = [each for each in drawn.rows if each.user == "charlie"]
    assert [bar.kind for bar in charlie.bars] == ["window"] * 5 and len(charlie.sessions) == 3
    assert charlie.sessions[0].words[0] == "charlie was in books"
    tree = parsed(review_page.page(reviewed.whole()))
    kinds = [each.get("class") for each in tree.iter(f"{SVG}rect") if each.get("class") in ("window", "session")]
    assert kinds.count("session") == 5, "four, and one in the legend"
    legend = [each.text for each in tree.iter(f"{SVG}text")][:5]
    assert legend == ["open by a grant", "lent", "locked", "session", "now"]


def test_it_is_to_be_signed_and_printed():
    made = review_page.page(reviewed.whole())
    tree = parsed(made)
    assert [line[0] for line in cells(tree, ("", "name", "date", "signature"))] == ["Reviewed by", "Approved by"]
    assert "thead{display:table-header-group}" in made and "@page" in made
    assert all(table.find("thead") is not None for table in tree.iter("table") if table.get("class") != "summary")


def test_flags_need_no_colour():
    """Each is a word in a frame; what is grave has a sign and a thicker frame as well."""
    made = review_page.page(reviewed.whole())
    assert [flag for flag in FLAGS if f">{flag}</span>" not in made and f" {flag}</span>" not in made] == []
    assert made.count("\N{WARNING SIGN}") == len(re.findall('class="flag grave"', made)) > 0


def hostile(words):
    """A review in which each text is the same."""
    windows = [{"kind": "window", "from": at("2026-11-24T08:00"), "until": at("2026-11-24T18:00")}]
    about = dict.fromkeys(("when", "owner", "reason", "ticket", "valid_until", "group"), words)
    many = {"groups": [words], "grants": {words: about}, "flags": [f"f{words}"], "why": f"w{words}", "zone": words}
    each = row(f"u{words}", f"v{words}", [words], **many, windows=windows, used=windows)
    silent = row("", "", [words], why=words, flags=["desk silent"])
    change = Change("changed", each, {words: (words, words)})
    whole = reviewed.whole()
    return whole._replace(rows=[each, silent], since=words, earlier=words, changes=(change,))


def shape(tree):
    return [(each.tag, sorted(each.attrib)) for each in tree.iter() if each.tag != f"{SVG}title"]


@given(words=st.text() | st.just(HOSTILE))
@example(words=HOSTILE)
@example(words="")
def test_whatever_goes_in_comes_out_as_text(words):
    """No element, attribute or reference is made of it, and nothing in it turns text around or moves a cursor."""
    made = review_page.page(hostile(words))
    assert shape(parsed(made)) == shape(parsed(review_page.page(hostile("text"))))
    assert all(letter.isprintable() or letter == "\n" for letter in made)


def test_it_loads_nothing_and_runs_nothing():
    """Its policy allows the one style that it has, by its digest, and nothing else."""
    made = review_page.page(hostile(HOSTILE))
    tree = parsed(made)
    tags = {each.tag.rpartition("}")[2] for each in tree.iter()}
    assert not tags & {"script", "img", "image", "use", "a", "foreignObject", "iframe", "link", "object", "form"}
    names = {name for each in tree.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name.endswith(("href", "src")) or name == "style"]
    (style,) = re.findall("<style>(.*?)</style>", made)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy}"' in made and "url(http" not in style and "@import" not in style
    assert made.splitlines()[1] == review_page.MARK


@pytest.mark.parametrize("rows", [[], [row("", "books", ["desk-1"], groups=["family"], flags=["gives nothing"])]])
def test_where_nobody_has_anything_there_is_no_drawing(rows):
    made = review_page.page(reviewed.whole()._replace(rows=rows))
    assert "<svg" not in made
    assert ("nobody of family" in made) is bool(rows) and ("Nobody may open anything." in made) is not bool(rows)


def test_many_desks_are_said_in_short():
    whole = reviewed.whole()._replace(desks=2)
    assert "<td>all 2</td>" in review_page.page(whole)
