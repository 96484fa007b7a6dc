"""Plain data as YAML: each reader takes it for what it was."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.core.yaml_text import spelled

TEXTS = st.text() | st.sampled_from(["no", "Yes", "~", "", "12", "1e3", "0x10", "a: b", "- a", "# a", "'", "\\x"])
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(DATA)
@example("\x1b\u202e\U0001f600\U000e0001\ud800\n\t")
@example(1e300)
def test_it_is_read_as_it_was(value):
    made = spelled(value)
    assert made.isprintable() and yaml.safe_load(made) == value


@pytest.mark.parametrize(
    ("value", "text"), [("books", "books"), ("a.b_c-d", "a.b_c-d"), ("off", '"off"'), ("15m", '"15m"')]
)
def test_words_stand_as_people_write_them(value, text):
    assert spelled(value) == text
