"""A state's comment fits a screen, and what was cut is beside it: not among the changes, as nothing of it changed."""

import pytest
from salt.exceptions import CommandExecutionError

from unit.loader.test_api import ROOT, load


@pytest.fixture
def applied(monkeypatch):
    """Apply the state over a report of the execution module, or over what it raises."""
    states = load(ROOT / "_states" / "spice_grant.py")

    def state(report):
        def call(**arguments):
            if isinstance(report, Exception):
                raise report
            return report

        monkeypatch.setattr(states, "__opts__", {"test": False}, raising=False)
        monkeypatch.setattr(states, "__salt__", {"spice_grant.apply": call}, raising=False)
        return states.present("spice")

    return state


@pytest.mark.parametrize("number, cut", [(9, False), (10, True), (24, True)])
def test_errors_and_notes(applied, number, cut):
    report = {"changes": {}, "errors": ["first"], "warnings": [f"note {each}" for each in range(number - 1)]}
    result = applied(report)
    lines = result["comment"].splitlines()
    whole = ["Not all of it is enforced:", "first", *(f"Note: note {each}." for each in range(number - 1))]
    assert len(lines) == 10 and result["changes"] == {}
    assert lines == ([*whole[:9], f"and {len(whole) - 9} more: see sentences, with --out=json"] if cut else whole)
    assert result.get("sentences") == (whole if cut else None)


def test_findings_of_a_wrong_pillar(applied):
    findings = [f"spice:vms:x{number}: 'tls_port' is missing" for number in range(23)]
    result = applied(CommandExecutionError("\n".join(findings)))
    assert result["result"] is False and result["changes"] == {}
    assert result["comment"].splitlines()[-1] == "and 14 more: see sentences, with --out=json"
    assert result["sentences"][1:] == findings[1:]
