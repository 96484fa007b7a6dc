"""The drawing of a week: whole files, nothing that breaks out of them, and nothing over something else.

``weeks`` has what is drawn, but for the picture in the docs. After a desired change: ``make golden``, and look at it in
a browser.
"""

import pathlib
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkout import ROOT
from spicegrants.audit import week_drawing
from spicegrants.audit.tables.text import printable
from spicegrants.audit.week import LOAN, LOCK, WINDOW, Bar, Mark, Row
from unit.audit.drawn import WEEKS, drawn

HERE = pathlib.Path(__file__).parent / "weeks"
PICTURE = ROOT / "docs" / "week.svg"
SVG = "{http://www.w3.org/2000/svg}"
FORMS = {"svg": week_drawing.svg, "html": week_drawing.page}
HOSTILE = "</title></svg><script>alert(1)</script>\"'><image href=http://x/>&amp;]]>\x1b[31m\x00\ud800\ufffe\u202e\n"


def parsed(text):
    """The tree that a real parser of XML makes of it."""
    return ElementTree.fromstring(text.replace("<!DOCTYPE html>\n", "", 1).encode())  # noqa: S314 - our own


@pytest.mark.parametrize(("name", "form"), [*((name, "svg") for name in WEEKS), ("office", "html")])
def test_golden(name, form, request):
    made = FORMS[form](WEEKS[name]())
    path = PICTURE if (name, form) == ("office", "svg") else HERE / f"{name}.{form}"
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WEEKS)
def test_the_page_draws_what_the_picture_does(name):
    """Each bar and each exception, with the same words; the picture has a title of its own as well."""
    drawn_by = {form: parsed(made(WEEKS[name]())) for form, made in FORMS.items()}
    words = {form: [each.text for each in tree.iterfind(f".//{SVG}title")] for form, tree in drawn_by.items()}
    assert words["html"] == words["svg"][1:] != []


def named(text):
    """A week in which each text is the same."""
    found = drawn("2026-11-24T14:30", 2)
    kinds = (WINDOW, LOAN, LOCK)
    bars = tuple(Bar(kind, found.start + hour * 3600, found.end, (text, text)) for hour, kind in enumerate(kinds))
    marks = tuple(Mark(found.start, found.days[0].end, opens, (text,)) for opens in (True, False))
    return found._replace(machine=text, rows=(Row(text, text, bars, marks),))


def shape(tree):
    """Elements and attributes, without the titles of cut names, which depend on the text."""
    return [(each.tag, sorted(each.attrib)) for each in tree.iter() if each.tag != f"{SVG}title"]


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text() | st.just(HOSTILE))
@example(text=HOSTILE)
@example(text="")
@example(text="\u0301" * 40)
@example(text="<" * 400)
def test_whatever_goes_in_comes_out_as_text(form, text):
    """No element, attribute or reference is made of it, and nothing in it turns text around or moves a cursor."""
    made = FORMS[form](named(text))
    tree = parsed(made)
    assert shape(tree) == shape(parsed(FORMS[form](named("text"))))
    assert all(letter.isprintable() or letter == "\n" for letter in made)
    titles = [each.text for each in tree.iterfind(f".//{SVG}rect[@class='window']/{SVG}title")]
    assert titles == [f"{printable(text)}\n{printable(text)}"]


def test_a_title_says_the_whole_of_what_is_cut():
    long = "a" * 80
    tree = parsed(week_drawing.svg(named(long)))
    (name,) = [each for each in tree.iter(f"{SVG}text") if each.get("class") == "user"]
    (title,) = name
    assert title.text == long and title.tail == "a" * 25 + "\N{HORIZONTAL ELLIPSIS}"


@pytest.mark.parametrize("form", FORMS)
def test_it_loads_nothing_and_runs_nothing(form):
    """No address but that which names SVG, no script, and colours of its own patterns only."""
    made = FORMS[form](named(HOSTILE))
    tree = parsed(made)
    tags = {each.tag.rpartition("}")[2] for each in tree.iter()}
    assert not tags & {"script", "image", "use", "a", "foreignObject", "iframe", "link", "object", "animate", "set"}
    names = {name for each in tree.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name.endswith(("href", "src"))]
    assert set(re.findall(r"url\(([^)]*)\)", made)) == {"#loan", "#lock"} and "@import" not in made
    if form == "html":
        assert "default-src 'none'; style-src 'unsafe-inline'" in made


@pytest.mark.parametrize("form", FORMS)
def test_it_says_in_its_second_line_what_it_is(form):
    assert FORMS[form](named(HOSTILE)).splitlines()[1] == week_drawing.MARK


def test_each_kind_has_a_filling_of_its_own_and_is_in_the_legend():
    """Colour alone would not do on paper: one is full, the others have patterns of lines."""
    tree = parsed(week_drawing.svg(drawn("2026-11-24T14:30", 1)))
    legend = [each.text for each in tree.iter(f"{SVG}text")]
    words = ["open by a grant", "lent", "locked", "exception of a schedule: closed"]
    assert [word for word in legend if word in words] == words
    fillings = dict(re.findall(r"\.(window|loan|lock)\{fill:([^;]*)", week_drawing.svg(named("x"))))
    assert fillings == {"window": "#2b6ca3", "loan": "url(#loan)", "lock": "url(#lock)"}
    assert {each.get("id") for each in tree.iter(f"{SVG}pattern")} == {"loan", "lock"}


def many(rows, days):
    """A week with so many rows, whose names are as long as they may be."""
    found = drawn("2026-11-24T14:30", days)
    some = [each for each in found.rows if each.bars]
    more = (some[number % len(some)]._replace(user=f"user-{number:025}") for number in range(rows))
    return found._replace(rows=tuple(more))


@pytest.mark.parametrize("days", [1, 2, 7, 14, 31])
@pytest.mark.parametrize("rows", [1, 6, 60])
def test_nothing_stands_over_something_else_or_outside(rows, days):
    """Words of a line do not overlap, as wide as a common font draws them, and all is in the picture."""
    tree = parsed(week_drawing.svg(many(rows, days)))
    width, height = float(tree.get("width")), float(tree.get("height"))
    lines = {}
    for group in tree.findall(f"{SVG}g"):
        dx, dy = map(float, re.findall(r"[\d.]+", group.get("transform")))
        for text in group.findall(f"{SVG}text"):
            kind = (text.get("class") or "").split()
            words = (text.text or "") + "".join(each.tail or "" for each in text)
            size = 6.2 if {"hour", "inwindow", "inlock", "before"} & {*kind} else 8 if "date" in kind else 7.3
            if "title" in kind:
                size = 12
            wide, x, y = len(words) * size, float(text.get("x")) + dx, float(text.get("y")) + dy
            middle = {"middle", "inwindow", "inlock", "moment"} & {*kind}
            first = x - wide / 2 if middle else x - wide if "before" in kind else x
            lines.setdefault(y, []).append((first, first + wide, words))
            assert first >= 0 and first + wide <= width + 4 and 0 < y < height, words
    for line in lines.values():
        line.sort()
        for (_, end, word), (start, _, other) in zip(line, line[1:]):
            assert end <= start + 1, (word, other)


def test_sixty_rows_have_heads_again_and_again():
    """So that one who scrolls or turns a page sees the days."""
    tree = parsed(week_drawing.page(many(60, 7)))
    heads = [each for each in tree.iter(f"{SVG}text") if each.text == "Wed"]
    assert len(heads) == 4
    users = [each for each in tree.iter(f"{SVG}text") if each.get("class") == "user"]
    assert len(users) == 60


def test_now_is_marked_only_where_it_is():
    assert "now, 14:30" in week_drawing.svg(drawn("2026-11-24T14:30", 1))
    assert "now, " not in week_drawing.svg(drawn("2026-11-24T14:30", 1, at="2026-11-25T00:00"))


def test_an_office_without_grants_is_drawn_too():
    found = drawn("2026-11-24T14:30")._replace(rows=())
    assert "No grant of this machine opens anything." in week_drawing.svg(found)
    assert "No grant of this machine opens anything." in week_drawing.page(found)
