"""Answers as they are shown: whole texts at two widths, and anything else without an error.

``answers`` has what was asked and answered, and beside it what is shown. After a desired change: ``make golden``, and
look at the difference.
"""

import pathlib
import unicodedata

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.audit.tables import answers
from spicegrants.audit.tables.layout import NARROWEST, STYLES, Asked, Screen
from spicegrants.audit.tables.text import columns

HERE = pathlib.Path(__file__).parent / "answers"
CASES = sorted(path.stem for path in HERE.glob("*.yaml"))
# 2026-11-24 19:12 in Berlin.
NOW = 1795543920


def plain(lines):
    return "".join("".join(piece.text for piece in line) + "\n" for line in lines)


def shown(case, width, signs=True):
    """What people see of a case."""
    found = yaml.safe_load((HERE / f"{case}.yaml").read_text(encoding="utf-8"))
    function, *arguments = found["asked"] or [""]
    screen = Screen(width, signs, NOW)
    if case.startswith("runner-"):
        return plain(answers.of_fleet(found["answer"], screen))
    return plain(answers.lay_out(found["answer"], answers.asked(function, arguments), screen))


@pytest.mark.parametrize("case", CASES)
def test_golden(case, request):
    path = HERE / f"{case}.txt"
    made = "".join(f"{f' {width} columns ':=^{width}}\n{shown(case, width)}" for width in (80, 140))
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [NARROWEST, 80, 140, 240])
def test_it_fits(case, width):
    assert max(map(columns, shown(case, width).splitlines())) <= width


@pytest.mark.parametrize("case", ["timeline", "timeline-year", "verify-good", "verify-differs"])
def test_without_other_signs_than_asciis(case):
    assert shown(case, 80, signs=False).isascii()
    assert not shown(case, 80).isascii()


# Anything

TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(["\x1b[2J", "a\nb", "\u202eevil", "会計", "e\u0301" * 9, ""]))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
MOMENTS = st.one_of(
    st.dates().map(lambda day: f"Mon {day} 18:00 Europe/Berlin"),
    st.sampled_from(["Tue 2026-11-24 18:00 Europe/Berlin", "Tue 2026-11-31 18:00 UTC", "Tue 2026-11-24 24:61 UTC"]),
)
KEYS = [needed for needed, _ in (*answers.LISTS, *answers.MAPPINGS)]
KEYS += [{"foreign", "verdict", "chain"}, {"foreign", "user", "viewer", "what"}]
KEYS += [{"retcode", "minions"}, {"retcode", "errors"}, {"retcode", "confirmed", "failed", "not confirmed"}]
ROWS = [{"minion", "user", "vm", "state", "grants"}, {"minion", "state"}, {"minion", "result"}]
ROWS += [needed for needed, _ in answers.OF_FLEET]
FURTHER = ["open", "grants", "addresses", "nopasswd", "loan", "windows", "times", "policy", "why", "last_run"]


def mappings(needed):
    """Mappings that look like an answer by their keys, with anything for values."""
    values = st.one_of(JSON, MOMENTS)
    further = dict.fromkeys([key for key in FURTHER if key not in needed], values)
    return st.fixed_dictionaries(dict.fromkeys(sorted(needed), values), optional=further)


ENTRIES = st.one_of([st.lists(mappings(needed), min_size=1, max_size=4) for needed in [*KEYS, *ROWS]])
FLEETS = st.one_of(
    st.fixed_dictionaries({"retcode": st.integers(0, 1), "minions": ENTRIES}),
    st.fixed_dictionaries(
        {
            "retcode": st.integers(0, 1),
            "confirmed": st.lists(JSON),
            "failed": st.dictionaries(TEXTS, JSON),
            "not confirmed": st.lists(JSON),
        },
        optional={"hosts": st.lists(JSON)},
    ),
    st.fixed_dictionaries({"retcode": st.integers(0, 1), "errors": st.lists(JSON)}),
    st.fixed_dictionaries(
        {"retcode": st.integers(0, 1), "review": st.lists(mappings(answers.REVIEWED), max_size=3) | JSON},
        optional={"changes": st.lists(mappings({"what", "user", "vm", "fields"}), max_size=2) | JSON},
    ),
    st.fixed_dictionaries({"retcode": st.integers(0, 1), **dict.fromkeys(("written", "rows", "silent"), JSON)}),
)
LIKE_ANSWERS = st.one_of(JSON, ENTRIES, FLEETS, *[mappings(needed) for needed in KEYS])
ASKED = st.one_of(st.just(Asked()), st.builds(answers.asked, TEXTS, JSON)) | st.builds(
    answers.asked,
    st.sampled_from([f"spice_grant.{name}" for name in ("list", "timeline", "explain", "denials", "other")]),
    st.lists(st.one_of(JSON, st.sampled_from(["user=eve", "vm=x", "at=1", {"__kwarg__": True, "user": "eve"}]))),
)
SCREENS = st.builds(Screen, st.integers(NARROWEST, 200), st.booleans(), st.sampled_from([None, 0, NOW]))


@given(LIKE_ANSWERS, ASKED, SCREENS)
@example([], Asked(), Screen(80))
@example([{}], Asked(), Screen(80))
@example({"retcode": 0, "minions": []}, Asked(), Screen(80))
def test_anything_fits_the_width_and_moves_no_cursor(answer, asked, screen):
    for lines in (answers.lay_out(answer, asked, screen), answers.of_fleet(answer, screen)):
        for line in lines or ():
            assert all(piece.style in STYLES for piece in line)
            text = "".join(piece.text for piece in line)
            assert columns(text) <= screen.width, text
            assert text.isprintable(), ascii(text)
            assert not [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf")]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        False,
        "Minion did not return. [No response]",
        {"spice_grant.list": "is not available."},
        ["Rendering SLS failed"],
        [{"user": "myself"}],
        [{"user": "myself", "vm": "debianx", "state": "open", "grants": {}}, "and a text"],
        {"state": "in sync"},
        {"retcode": 0, "minions": {"desk-1": True}},
    ],
)
def test_what_is_no_known_answer_is_left_to_salt(answer):
    assert answers.lay_out(answer, Asked("list"), Screen(80)) is None
    assert answers.of_fleet(answer, Screen(80)) is None


def test_what_was_asked():
    """By place or by name, as salt-call and as salt keep it; of functions that are not ours nothing."""
    meant = Asked("explain", {"user": "eve", "vm": "debianx"}, "spice_grant")
    for arguments in (["eve", "debianx"], ["vm=debianx", "eve"], ["eve", {"__kwarg__": True, "vm": "debianx"}]):
        assert answers.asked("spice_grant.explain", arguments) == meant
    assert answers.asked("spice_grant.denials", ["2h"]).arguments == {"since": "2h"}
    assert answers.asked("jobs.lookup_jid", ["1"]) == answers.asked(["spice_grant.list"], []) == Asked()


def test_a_proposed_pillar_is_shown_as_it_is():
    """As it is to go into a file: no line is broken, however long it is, and nothing moves a cursor."""
    pillar = f"# {'word ' * 40}\nspice:\n  grants: {{}}\n"
    assert answers.as_text({"retcode": 0, "pillar": pillar}) == pillar
    assert answers.as_text({"retcode": 0, "pillar": "a\x1b[2J\n"}) == "a\\x1b[2J\n"
    for other in (None, [], {"pillar": pillar}, {"retcode": 0, "pillar": 7}, {"retcode": 0, "pillar": "", "x": 1}):
        assert answers.as_text(other) is None


def test_what_deviates_comes_first():
    """In the order of the whole texts: locks and loans, minions that did not answer, rules that nobody has."""
    for case, words in (
        ("list", ["anne", "boss", "myself"]),
        ("runner-status", ["not answering", "drifted", "in sync"]),
        ("runner-who", ["desk-2", "desk-1"]),
        ("runner-lock", ["failed", "not confirmed", "confirmed"]),
        ("sudoers-rules", ["%accounting", "myself"]),
        ("denials", ["16:03:20Z", "17:03:20Z"]),
        ("runner-review", ["ralph", "maggie", "anne"]),
    ):
        starts = [shown(case, 140).index(f"\n{word}" if case != "denials" else word) for word in words]
        assert starts == sorted(starts), case


@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_denial_is_last_whichever_a_minion_lists_first(turned):
    found = yaml.safe_load((HERE / "denials.yaml").read_text(encoding="utf-8"))["answer"]
    lines = plain(answers.lay_out(found[::-1] if turned else found, Asked("denials"), Screen(140)))
    assert lines == shown("denials", 140)
    assert lines.splitlines()[-1].startswith("2026-11-24T17:03:20Z")
