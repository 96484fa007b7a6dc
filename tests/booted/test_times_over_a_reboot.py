"""A window, a loan and a lock, on a machine that is switched off and on again in the middle of them."""

import time

from booted.trial import PATIENCE
from spicegrants import moments
from spicegrants.host.clock import AHEAD

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]


def test_all_three_hold_over_a_reboot(trial):
    """In the middle of a window, a loan and a lock: from the first moment on, to their own ends, without a minion."""
    window_end = int(time.time()) + 75
    trial.apply(myself_debianx={"valid_until": moments.iso(window_end), "warn": []})
    trial.workstation.salt("spice_grant.lend", "mybro", "debianx", "90s", "reason=year-end")
    loan_end = trial.loan()
    trial.workstation.salt("spice_grant.lock", "vm=leaptest", "reason=restored")
    trial.workstation.reboot()
    trial.no_salt()
    left = window_end - time.time()
    assert left > 5, "this machine is too slow for the trial"
    assert trial.tries("myself", 20002) == "open"
    assert trial.tries("mybro", 20002) == "open"
    assert trial.tries("mybro", 20004) == "Connection refused"
    window, loan = trial.session("myself", 20002), trial.session("mybro", 20002)
    assert trial.armed() == window_end - AHEAD
    assert 0 <= trial.ended(window, window_end) < PATIENCE
    assert trial.tries("myself", 20002) == "Connection refused"
    assert trial.tries("mybro", 20002) == "open"
    assert 0 <= trial.ended(loan, loan_end) < PATIENCE
    assert trial.tries("mybro", 20002) == "Connection refused"
    assert trial.tries("mybro", 20004) == "Connection refused"
    assert "through" not in trial.workstation.tried()
    trial.no_salt()
    trial.workstation.salt("spice_grant.unlock", "vm=leaptest")
    assert trial.tries("mybro", 20004) == "open"
