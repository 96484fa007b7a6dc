"""A window, a loan and a lock, on a machine that is switched off and on again in the middle of them."""

import time

import pytest

from booted.trial import PATIENCE
from soon import soon
from spicegrants.expiry.live.clock import AHEAD
from spicegrants.schedule import instants

pytestmark = pytest.mark.full

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]


def test_all_three_hold_over_a_reboot(trial):
    """In the middle of a window, a loan and a lock: from the first moment on, to their own ends, without a minion."""

    def prepare(end):
        trial.apply(myself_debianx={"valid_until": instants.iso(end), "warn": []})
        left = end - int(time.time()) + 15
        trial.workstation.salt("spice_grant.lend", "mybro", "debianx", f"{left}s", "reason=year-end")
        trial.workstation.salt("spice_grant.lock", "vm=leaptest", "reason=restored")
        trial.workstation.reboot()

    window_end = soon(prepare, 45, margin=10)
    loan_end = trial.loan()
    trial.no_salt()
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
