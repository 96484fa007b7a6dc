"""Good pillars with something odd in them: what a slip of the pen makes of one, and what an attacker would try."""

import copy

from hypothesis import strategies as st
from unit.strategies import hostile, junk, pillars

# Reads like a digit, a letter, a blank or an end of line to somebody.
_CLOSE = ["\uff11", "\u0661", "\u0430", "\u00a0", "\u200b", "\u2028", "\x00", "\n", "\r", "\x1b[8m", "\ud800"]
_MARKS = [*'#!,:=\\*?[]()"%@$`;&|<>{}~^', " ", "--", "/", "..", "-", "0", "9", "A", ":0", "/24", "%eth0"]
_NUMBERS = [0, 1, -1, 22, 65535, 65536, 2**31, 2**32 + 20002, 10**30, -(10**30), True, 1.0, float("nan"), float("inf")]
_WORDS = ["ALL", "root", "0", "#0", "%root", "spicegrp", "Defaults", "::", "224.0.0.1", "1-65535", "0-0", "127.0.0.1"]


def spots(value):
    """Where in nested data something can be changed: pairs of a container and a key."""
    found = []
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *spots(value[key])]
    return found


@st.composite
def odd_text(draw, text):
    """Text with something put in, cut off or spelled otherwise."""
    at = draw(st.integers(0, len(text)))
    put = draw(st.sampled_from([*_MARKS, *_CLOSE]))
    forms = [text[:at] + put + text[at:], text[:at], text.upper(), text.swapcase(), text * 9, text + text]
    return draw(st.one_of(st.sampled_from([*forms, f" {text}", f"{text}\n", *_WORDS]), hostile))


@st.composite
def odd(draw, value):
    """Draw something close to a value, or something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(junk, st.sampled_from(_NUMBERS)))
    if isinstance(value, str):
        return draw(odd_text(value))
    if isinstance(value, bool):
        return draw(st.sampled_from([not value, "yes", "false", 1, 0, None]))
    if isinstance(value, int):
        near = [value + 1, value - 1, str(value), f"{value}-{value + 9}", f"{value}-1", value + 65536, -value]
        return draw(st.sampled_from([*near, *_NUMBERS]))
    if isinstance(value, float):
        return draw(st.sampled_from(_NUMBERS))
    if isinstance(value, list):
        return draw(st.sampled_from([value + value, value[::-1], [value], [], value[0] if value else None, *value]))
    return draw(st.sampled_from([{}, [], None, list(value) if isinstance(value, dict) else [], [value]]))


@st.composite
def mutated(draw):
    """Draw the pillar's ``spice``, changed in none to three places."""
    data = draw(pillars())
    for _ in range(draw(st.integers(0, 3))):
        places = spots(data)
        if not places:
            break
        inner, key = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["odd", "odd", "swap", "copy", "move"]))
        if how == "odd":
            inner[key] = draw(odd(inner[key]))
        elif how == "swap":
            # By something of the same kind from elsewhere: another vm, another user, another server's port.
            same = [other[name] for other, name in places if type(other[name]) is type(inner[key])]
            inner[key] = copy.deepcopy(same[draw(st.integers(0, len(same) - 1))])
        elif isinstance(inner, dict) and isinstance(key, str):
            value = inner[key] if how == "copy" else inner.pop(key)
            inner[draw(odd_text(key))] = copy.deepcopy(value)
    return data
