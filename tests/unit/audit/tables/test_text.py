"""Text on a terminal: escaped, measured, wrapped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.audit.tables.text import columns, escaped, harmless, padded, printable, wrapped

LETTERS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab é会\u0301"), max_size=60)


@pytest.mark.parametrize(
    "value, spelled",
    [
        (None, "none"),
        (True, "yes"),
        (20002, "20002"),
        ("\x1b]0;evil\x07\r", "\\x1b]0;evil\\x07\\r"),
        ("\u202emoc.\u200f", "\\u202emoc.\\u200f"),
        ("\u0301x", "\\u0301x"),
        (["a", 1, []], "a, 1, none"),
        ({"path": "/x", "uid": 0}, "path: /x, uid: 0"),
        ("x" * 2000, "x" * 1000 + "..."),
    ],
)
def test_printable(value, spelled):
    assert printable(value) == spelled


def test_a_number_that_python_does_not_spell():
    assert printable([10**6000]) == "a huge number"


def test_data_that_lead_nowhere():
    """Lists in lists: there is an end."""
    value = []
    for _ in range(100_000):
        value = [value]
    assert printable(value) == "..."


def test_columns():
    assert [columns(text) for text in ("abc", "é", "会計", "e\u0301", "")] == [3, 1, 4, 1, 0]
    assert padded("会計", 6) == "会計  "


def test_harmless_data_keep_their_form():
    data = {"a\x1b": ["b\nc\x07", 1, None, ("d",)]}
    assert harmless(data) == {"a\\x1b": ["b\nc\\x07", 1, None, ["d"]]}


@given(LETTERS.map(escaped), st.integers(2, 30))
def test_wrapped(text, width):
    """Nothing is lost but the blank at which a line is broken, and each line fits."""
    lines = wrapped(text, width)
    assert max(map(columns, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrapped(text, columns(text) + 2) == [text]


def test_a_sentence_is_broken_at_blanks():
    assert wrapped("opens 192.168.2.2 port 20002 to myself", 18) == ["opens 192.168.2.2", "port 20002 to", "myself"]
