"""The same files served by a master: sync, apply to all minions, edit pillar, apply again."""

import json

import pytest
from daemons.conftest import PATIENCE


@pytest.fixture
def salt(master, minion):
    """Run an execution function on the minion, through the master; return data and exit code."""

    def run(*command, **kwargs):
        done = master.salt_cli(timeout=PATIENCE).run(*command, minion_tgt="*", **kwargs)
        return (done.data.get(minion.id) if isinstance(done.data, dict) else done.data), done.returncode

    return run


def result(data):
    """Return the one state's result of a run."""
    (state,) = data.values()
    return state


def test_apply_enforces_what_pillar_declares(salt):
    """salt '*' state.apply spice, twice; verify on the minion proves it."""
    salt("state.apply", "spice.absent")
    first, code = salt("state.apply", "spice")
    assert (result(first)["result"], code) == (True, 0), first
    assert set(result(first)["changes"]["grants"]) == {"myself-debianx", "mybro-leaptest"}
    second, _ = salt("state.apply", "spice")
    assert (result(second)["result"], result(second)["changes"]) == (True, {})
    proof, code = salt("spice_grant.verify")
    assert (proof["ok"], proof["differences"]) == (None, []) and code != 0, "no server answers, so nothing was proven"
    assert proof["matrix"]["mybro"]["debianx"]["viewer group"] == "denied"
    assert proof["matrix"]["mybro"]["leaptest"]["viewer group"] == "unreachable"


def test_edited_pillar_is_followed(salt, pillar_root):
    """A grant taken out of the pillar is gone after the next run, and one added is there."""
    salt("state.apply", "spice")
    path = pillar_root / "spice.sls"
    before = path.read_text()
    path.write_text(
        before.replace("mybro-leaptest: {user: mybro, vm: leaptest", "visitor-leaptest: {user: visitor, vm: leaptest")
    )
    try:
        changed, _ = salt("state.apply", "spice")
        assert set(result(changed)["changes"]["grants"]) == {"mybro-leaptest", "visitor-leaptest"}
        users = {entry["user"] for entry in salt("spice_grant.list")[0]}
        assert users == {"myself", "visitor"}
    finally:
        path.write_text(before)


def test_wrong_pillar_changes_nothing_and_fails(salt, pillar_root):
    """A typo in the pillar fails the run by name, and the rules stay as they were."""
    salt("state.apply", "spice")
    kept = salt("spice_firewall.rules")
    path = pillar_root / "spice.sls"
    before = path.read_text()
    path.write_text(before.replace("vm: leaptest", "vm: leaptset"))
    try:
        failed, code = salt("state.apply", "spice", _timeout=60)
        assert code != 0
        assert result(failed)["result"] is False
        assert "spice:grants:mybro-leaptest:vm: no vm 'leaptset', did you mean 'leaptest'?" in result(failed)["comment"]
        assert salt("spice_firewall.rules") == kept
    finally:
        path.write_text(before)


def test_functions_of_the_minion_answer_the_master(salt):
    """Queries from the master, by way of JSON."""
    salt("state.apply", "spice")
    answer, _ = salt("spice_grant.explain", "mybro", "debianx")
    assert answer["answer"] == "may not open"
    rules, _ = salt("spice_firewall.rules")
    assert {(rule["user"], rule["port"]) for rule in rules} == {("myself", 20002), ("mybro", 20004)}
    assert json.dumps(rules)
