"""docs/security.md names the test of each claim: it is there, and the row says whether only a full run plays it."""

import ast
import re

import pytest

from attacks.catalogue import attacks
from checkout import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMED = re.findall(
    r"`((?:article|attacks|booted|coexistence|daemons|faults|fleet|functional|lifecycle|unit)/\w+(?:/\w+)?(?:\.py)?)`",
    TEXT,
)
TESTS = re.findall(r"`(test_\w+)`", TEXT)
FULL = "pytest.mark.full"
# Ends the cell of a claim that 'make test' does not prove.
MARKED = "(full)"


def read(path):
    """What a file of tests defines: by name of a test, whether each run plays it."""
    text = path.read_text(encoding="utf-8")
    whole = f"pytestmark = {FULL}" not in text
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in found if node.name.startswith("test_")]
    return {node.name: whole and FULL not in map(ast.unparse, node.decorator_list) for node in tests}


@pytest.fixture(scope="module")
def defined():
    """All tests that there are, by file."""
    return {path.relative_to(ROOT / "tests"): read(path) for path in (ROOT / "tests").glob("*/**/test_*.py")}


@pytest.fixture(scope="module")
def each_run(defined):
    """All that a claim may name, and whether each run plays it."""
    found = {name: usual for tests in defined.values() for name, usual in tests.items()}
    found.update({str(path): any(tests.values()) for path, tests in defined.items()})
    for attack in attacks():
        usual = "nftables" in attack.forms
        for name in (f"attacks/{attack.group}/{attack.name}.py", f"attacks/{attack.group}", f"{attack.name}.py"):
            found[name] = found.get(name, False) or usual
    return {**found, "faults/proof.py": True}


def claims(title="shown by"):
    """Rows of all tables with such a last column: the claim, and the cell."""
    showing = False
    for line in TEXT.splitlines():
        if not line.startswith("|"):
            showing = False
        elif line.rstrip().endswith(f"| {title} |"):
            showing = True
        elif showing and not line.startswith("|---"):
            yield line.strip("| ").split(" | ")[0], line.rsplit(" | ", 1)[-1].rstrip("| ")


@pytest.mark.parametrize("path", sorted(set(NAMED)))
def test_what_is_named_is_there(path):
    """A file, or a directory of attacks, by its path below ``tests``."""
    found = ROOT / "tests" / path
    assert found.is_file() if found.suffix else any(found.glob("*.py"))


@pytest.mark.parametrize("name", sorted(set(TESTS)))
def test_a_test_that_is_named_is_there(name, each_run):
    """Whatever file it is in."""
    assert name in each_run


@pytest.mark.parametrize(("claim", "cell"), [*claims()])
def test_each_claim_says_what_shows_it_and_in_which_run(claim, cell, each_run):
    """A claim that no test of the usual run shows says so."""
    shown = re.findall(r"`([\w/]*\w+(?:\.py)?)`", cell)
    played = [each_run[name] for name in shown if name in each_run]
    assert played, "nothing shows it"
    assert cell.endswith(MARKED) is not any(played), shown


def test_each_run_shows_what_the_readme_says_is_stopped():
    """Its list, in its own words and order; the table says more of each, and none of it is left to a full run."""
    listed = README.partition("\nStopped, for every account")[2].partition("\nNot stopped")[0]
    items = [" ".join(item.split()).rstrip(";.") for item in listed.split("\n- ")[1:]]
    rows = [*claims("shown in each run by")]
    assert [claim.startswith(item) for item, (claim, _) in zip(items, rows)] == [True] * len(items), (items, rows)
    assert len(items) == len(rows) > 0


@pytest.mark.parametrize(("claim", "cell"), [*claims("shown in each run by")])
def test_what_the_readme_says_is_stopped_is_shown(claim, cell, each_run):
    """By tests of the usual run, each of them."""
    shown = re.findall(r"`([\w/]*\w+(?:\.py)?)`", cell)
    assert shown and all(each_run[name] for name in shown)
