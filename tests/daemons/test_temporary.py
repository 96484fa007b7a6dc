"""Loans and locks where there is a master: it hears of them, and is not needed for them."""

import time

import pytest
from daemons.conftest import PATIENCE

pytestmark = pytest.mark.usefixtures("enforced")


@pytest.fixture
def enforced(master, minion):
    """What pillar declares is in force; what a test lends and locks ends with it."""
    cli = master.salt_cli(timeout=PATIENCE)
    assert cli.run("state.apply", "spice", minion_tgt=minion.id).returncode == 0
    yield
    cli.run("spice_grant.end_loan", "visitor", "debianx", minion_tgt=minion.id)
    cli.run("spice_grant.unlock", all=True, minion_tgt=minion.id)


def heard(event_listener, tag, since):
    """Wait for an event of the minion on the master's bus; return its data."""
    matched = event_listener.wait_for_events([("master", tag)], after_time=since, timeout=60)
    assert not matched.missed
    (event,) = matched.matches
    return event.data["id"], event.data["data"]


def test_the_master_hears_of_loans_and_locks(master, minion, event_listener):
    """Each is an event on its bus, from the minion that it holds on."""
    cli, since = master.salt_cli(timeout=PATIENCE), time.time()
    done = cli.run("spice_grant.lend", "visitor", "debianx", "1h", reason="on call", minion_tgt=minion.id)
    assert (done.returncode, done.data["event"]) == (0, True)
    source, event = heard(event_listener, "spice_grant/loan", since)
    assert source == minion.id
    desired = {"action": "lend", "user": "visitor", "vm": "debianx", "duration": "1h", "reason": "on call"}
    assert {key: event[key] for key in desired} == desired
    since = time.time()
    assert cli.run("spice_grant.lock", all=True, minion_tgt=minion.id).data["event"] is True
    assert heard(event_listener, "spice_grant/lock", since)[1]["about"] == "everything"


def test_a_loan_needs_no_master(master, minion):
    """With the master gone root lends on the machine itself; once back it finds the loan, and a highstate keeps it."""
    with master.stopped():
        done = minion.salt_call_cli().run("--local", "spice_grant.lend", "visitor", "debianx", "1h")
        assert (done.returncode, done.data["errors"]) == (0, [])
    cli = master.salt_cli(timeout=PATIENCE)
    deadline = time.monotonic() + 90
    while cli.run("test.ping", minion_tgt=minion.id).returncode != 0:
        assert time.monotonic() < deadline
    (state,) = cli.run("state.apply", "spice", minion_tgt=minion.id).data.values()
    assert (state["result"], state["changes"]) == (True, {})
    (loan,) = cli.run("spice_grant.loans", minion_tgt=minion.id).data
    assert (loan["user"], loan["vm"]) == ("visitor", "debianx")
