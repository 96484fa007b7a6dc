"""The page of the demo: whatever goes in comes out as text, nothing is loaded, and what differs is seen."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import demo_page
from demo_page import CLOSED, DIFFERENT, OPEN, Cell, Picture, Step

HOSTILE = "</pre><script>alert(1)</script>\"'><img src=http://x/>&amp;\x1b[31m\x00\ud800\ufffe"
OPENED = {"granted": True, "viewer group": "open", "own program": "denied", "sudo": "allowed"}
SHUT = {"granted": False, "viewer group": "denied", "own program": "denied", "sudo": "refused"}


def page(text="text", holds=True, found=CLOSED):
    """A page in which each text is the same."""
    cell = Cell(text, text, CLOSED, found, ((text, text),))
    return demo_page.Page(
        holds=holds,
        facts=((text, text),),
        drawing="<svg/>",
        steps=(Step(text, text, text, text, text, 1.25, holds),),
        declared=text,
        before=(cell,),
        proof=(cell,),
        differences=(text,),
        week="<svg/>",
        pictures=(Picture(text, b"\x89PNG"),),
    )


def parsed(made):
    """The tree of a page."""
    return ElementTree.fromstring(demo_page.render(made).removeprefix("<!DOCTYPE html>"))  # noqa: S314 - our own


@given(st.text(min_size=1) | st.just(HOSTILE))
def test_whatever_goes_in_comes_out_as_text(text):
    """No element, attribute or reference is made of it, and the file can be written."""
    tree = parsed(page(text))
    shape = [(element.tag, sorted(element.attrib)) for element in tree.iter()]
    assert shape == [(element.tag, sorted(element.attrib)) for element in parsed(page()).iter()]
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)
    assert tree.find(".//li/details/pre").text == shown
    demo_page.render(page(text)).encode()


def test_it_loads_nothing_and_runs_nothing():
    text = demo_page.render(page(HOSTILE))
    assert all(source.startswith("data:image/") for source in re.findall(r'<[^>]*\b(?:src|href)="([^"]*)', text))
    assert "<script" not in text and "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text


def test_pictures_are_in_it():
    sources = [image.get("src") for image in parsed(page()).iter("img")]
    held = [base64.b64decode(source.partition(";base64,")[2]) for source in sources]
    assert held == [b"<svg/>", b"\x89PNG", b"<svg/>"]


def test_expected_and_found_are_judged_apart():
    """By the grants of the pillar, whatever verify says is granted."""
    matrix = {"b": {"y": OPENED, "x": SHUT}, "a": {"x": OPENED, "y": {"granted": True, "skipped": "a window began"}}}
    found = list(demo_page.cells(matrix, {("b", "y"), ("a", "y")}))
    assert [(cell.user, cell.vm, cell.expected, cell.found, cell.holds) for cell in found] == [
        ("a", "x", CLOSED, OPEN, False),
        ("a", "y", OPEN, DIFFERENT, False),
        ("b", "x", CLOSED, CLOSED, True),
        ("b", "y", OPEN, OPEN, True),
    ]
    assert found[1].ways[0] == ("viewer through sudo", "not tried")


@pytest.mark.parametrize(
    "way", [{"viewer group": "denied"}, {"own program": "open"}, {"own program": "not stopped"}, {"sudo": "refused"}]
)
def test_a_console_is_open_by_the_viewer_alone_or_it_is_something_else(way):
    (cell,) = demo_page.cells({"a": {"x": {**OPENED, **way}}}, {("a", "x")})
    assert (cell.found, cell.holds) == (DIFFERENT, False)


def test_what_does_not_hold_is_seen():
    text = demo_page.render(page(holds=False, found=OPEN))
    assert "THE PROOF DOES NOT HOLD: 0 of 1 pairs" in text and "✗ Not true: text" in text
    assert '<td class="wrong">✗ expected closed, found open' in text
    good = demo_page.render(page())
    assert "The proof holds: 1 of 1 pairs" in good and "✗" not in good
