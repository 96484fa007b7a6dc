"""The README gets somebody to their first console: it is short, and what it shows is what the repository has."""

import re

import pytest
import yaml

from checkout import ROOT
from readme import blocks, commands

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short():
    assert len(README.splitlines()) <= 150, "docs/ has pages for the rest"
    assert [line for line in README.splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("name", ["spice.sls", "top.sls"])
def test_its_pillar_is_that_of_the_repository(name):
    """Which the demo and the tests apply."""
    shown = {block.splitlines()[0]: block for block in blocks("Quick start", "yaml")}
    expected = (ROOT / "pillar" / name).read_text(encoding="utf-8")
    assert yaml.safe_load(shown[f"# /srv/pillar/{name}"]) == yaml.safe_load(expected)


def test_its_pillar_is_where_the_minions_file_looks():
    """That file does not say, so it is where Salt looks by default; the checkout is where it is cloned to."""
    cloned, made, copied, *_ = commands("Quick start")
    assert made == ["mkdir", "-p", "/etc/pki/spice", "/etc/salt/minion.d", "/srv/pillar"]
    assert copied[:2] == ["cp", f"{cloned[3]}/etc/minion.d/spice-grant.conf"]
    settings = yaml.safe_load((ROOT / "etc" / "minion.d" / "spice-grant.conf").read_text(encoding="utf-8"))
    assert f"{cloned[3]}/salt" in settings["file_roots"]["base"] and "pillar_roots" not in settings


def test_its_targets_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named >= {"demo", "docs", "test"}
    assert [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
