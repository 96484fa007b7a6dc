"""What the suite promises of itself: with each Salt, every entrance is used; the quick run proves what it must."""

import ast
import re

import pytest

from checkout import ROOT

TESTS = ROOT / "tests"
MARK = "pytest.mark.salt"
# What the states call: no call by itself.
INNER = {"spice_grant.apply", "spice_grant.absent", "spice_grant.remove"}
# By function, what calls it in the tests.
LAYER = ("spice_{layer}.plan", "spice_{layer}.apply")
HELPERS = {
    "spice_grant.verify": ["shared.verify("],
    "spice_grant.denials": ["denials(shared"],
    **dict.fromkeys(("spice_firewall.plan", "spice_sudoers.plan"), LAYER[:1]),
    **dict.fromkeys(("spice_firewall.apply", "spice_sudoers.apply"), LAYER[1:]),
}


def functions(directory):
    """Names of all public functions of Salt's modules in a directory, as Salt calls them."""
    for path in sorted((ROOT / directory).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        found = re.search(r'^__virtualname__ = "(\w+)"', text, re.MULTILINE)
        name = found.group(1) if found else path.stem
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{name}.{node.name.rstrip('_')}"


def marked():
    """Texts of all tests that every Salt plays, and of what stands beside them where a whole module is marked."""
    for path in sorted([*TESTS.glob("unit/**/test_*.py"), *TESTS.glob("functional/test_*.py")]):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if f"pytestmark = {MARK}" in text:
            yield text
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and MARK in map(ast.unparse, node.decorator_list):
                yield ast.get_source_segment(text, node)


@pytest.fixture(scope="module")
def played():
    """All of it."""
    return "\n".join(marked())


@pytest.mark.parametrize("name", sorted({*functions("_modules")}))
def test_every_salt_calls_each_function(name, played):
    """By name or by a helper's, but for what only the engine calls."""
    if name in INNER or name.partition(".")[0] in INNER:
        assert name not in played
    else:
        assert any(word in played for word in (name, *HELPERS.get(name, ())))


@pytest.mark.parametrize("form", ["present", "absent", "removed"])
def test_every_salt_plays_each_state(form, played):
    """By name."""
    assert form in {name.partition(".")[2] for name in functions("_states")}
    assert re.search(rf'"{form}"|spice_grant\.{form}|spice\.{form}', played)


@pytest.mark.parametrize("word", ["_beacons", "reactor", "spicecheck", "survive_in_words_only_root_reads"])
def test_every_salt_plays_what_is_no_function(word, played):
    """The beacon, what reacts to its events, the check of pillar, and values that Salt masks."""
    assert word in played
