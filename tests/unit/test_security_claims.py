"""docs/security.md names the test of each claim: what it names must be there."""

import re

import pytest

from checkout import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(
    r"`((?:article|attacks|booted|coexistence|daemons|faults|fleet|functional|lifecycle|unit)/\w+(?:/\w+)?(?:\.py)?)`",
    TEXT,
)
TESTS = re.findall(r"`(test_\w+)`", TEXT)


@pytest.fixture(scope="module")
def defined():
    """The names of all tests that there are."""
    files = (ROOT / "tests").glob("*/test_*.py")
    return {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("path", sorted(set(NAMED)))
def test_what_is_named_is_there(path):
    """A file, or a directory of attacks, by its path below ``tests``."""
    found = ROOT / "tests" / path
    assert found.is_file() if found.suffix else any(found.glob("*.py"))


@pytest.mark.parametrize("name", sorted(set(TESTS)))
def test_a_test_that_is_named_is_there(name, defined):
    """Whatever file it is in."""
    assert name in defined


def test_every_claim_names_what_shows_it():
    """In each table with such a column no row leaves it empty."""
    showing = False
    for line in TEXT.splitlines():
        if not line.startswith("|"):
            showing = False
        elif line.rstrip().endswith("| shown by |"):
            showing = True
        elif showing and not line.startswith("|---"):
            assert re.search(r"`[\w/]*test_\w+(\.py)?`|`[\w/]+\.py`|`attacks/\w+`", line.rsplit(" | ", 1)[-1]), line
