"""What people see of the answers: real salt-call chooses our outputter, and colours, width and data are Salt's own."""

import json
import re

import pytest
import yaml

from amount import first_of
from readme import blocks

# Functions and arguments, and what their answer shows in any case.
SHOWN = [
    (["spice_grant.list"], "2 accesses: 2 open"),
    (["spice_grant.verify", "user=mybro"], "As the policy says: 2 pairs of user and vm tried, 1 open, 1 closed."),
    (["spice_grant.explain", "mybro", "debianx"], "mybro may not open debianx: no grant of debianx means mybro."),
    (["spice_firewall.rules"], "2 rules of ours"),
    (["spice_grant.timeline", "myself", "days=2"], "a column is"),
    (["spice_grant.who", "debianx"], "1 access: 1 open"),
    (["spice_grant.loans"], "No loans:"),
    (["spice_grant.locks"], "No locks:"),
    (["spice_grant.status"], "state     in sync"),
    (["spice_sudoers.rules"], "4 rules of ours"),
    (["spice_viewer.status"], "/usr/bin/remote-viewer: owner root:spicegrp, mode 0750"),
]


@pytest.mark.salt
@pytest.mark.parametrize("words, expected", first_of(SHOWN, 4))
def test_salt_call_shows_a_table(looked_at, words, expected):
    """By itself, within 80 columns and without colours, as nothing is a terminal here."""
    shown = looked_at.minion.salt_call(*words, check=False).stdout
    first, *lines = shown.splitlines()
    assert first == "local:" and expected in shown
    assert max(map(len, lines)) <= 80 and "\x1b" not in shown


@pytest.mark.parametrize("out", ["json", "yaml"])
def test_other_outputters_have_the_data(looked_at, out):
    """Unchanged, as the function returned it."""
    shown = looked_at.minion.salt_call("spice_grant.explain", "mybro", "debianx", f"--out={out}").stdout
    data = looked_at.minion.call("spice_grant.explain", "mybro", "debianx")
    assert {"json": json.loads, "yaml": yaml.safe_load}[out](shown) == {"local": data}
    assert "answer:\n" in looked_at.minion.salt_call("spice_grant.explain", "mybro", "debianx", "--out=nested").stdout


def test_colours_are_salts(looked_at):
    """As Salt is told; without them the text is the same."""
    plain = looked_at.minion.salt_call("spice_grant.list").stdout
    coloured = looked_at.minion.salt_call("spice_grant.list", "--force-color").stdout
    assert "\x1b[0;32mopen" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_operations_shows_what_really_comes(looked_at):
    """Each command there, with its output, but for what is the machine's: the group's number, and the backstop."""
    (block,) = blocks("How answers are shown", "console", "docs/operations.md")
    for shown in block.split("# salt-call ")[1:]:
        typed, _, output = shown.partition("\n")
        came = re.sub(r"GID \d+", "GID 990", looked_at.minion.salt_call(*typed.split()).stdout)
        # Lines may end elsewhere.
        parts = [re.sub(r"backstop .*?routing", "", text, flags=re.DOTALL).split() for text in (came, output)]
        assert parts[0] == parts[1]
