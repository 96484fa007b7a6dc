"""Loans and locks: what is refused, and what they do to who may open what."""

import re

import pytest

from spicegrants.core.errors import PolicyError
from spicegrants.policy import decision, loans_locks, wording
from spicegrants.policy.access import Drain
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import ALL, NOTHING, USER, VM, Loan, Lock, Temporary
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import contains
from unit.build import inventory, policy

NOW = 1795482000  # Tue 2026-11-24 01:00 UTC
HOUR = 3600
KNOWN = {"myself": 1021, "mybro": 1022, "guest": 1023, "root": 0}


def lend(
    user="guest",
    vm="debianx",
    duration="2h",
    reason=None,
    nopasswd=False,
    temporary=NOTHING,
    now=NOW,
    known=KNOWN,
    **time,
):
    declared = policy(time=time) if time else policy()
    return loans_locks.lend(temporary, declared, known, now, user, vm, duration, reason, nopasswd)


def lock(about, name="", reason=None, temporary=NOTHING):
    return loans_locks.lock(temporary, policy(), KNOWN, NOW, Lock(about, name, reason))


def unlock(temporary, about, name=""):
    return loans_locks.unlock(temporary, policy(), KNOWN, Lock(about, name))


def refusals(function, *args, **kwargs):
    with pytest.raises(PolicyError) as caught:
        function(*args, **kwargs)
    texts = [str(finding) for finding in caught.value.findings]
    assert all(finding.isprintable() for finding in texts)
    return texts


def compiled(temporary, declared=None, now=NOW, **changes):
    return compile_policy(
        declared or policy(), inventory(**changes), temporary=temporary, now=now, day=decision.day_of(now)
    )


def test_a_loan_lasts_as_long_as_was_said():
    assert lend(reason="year-end").loans == (Loan("guest", "debianx", NOW, NOW + 2 * HOUR, "year-end", uid=1023),)


@pytest.mark.parametrize(("duration", "seconds"), [("8h", 8 * HOUR), ("1s", 1), ("1h30m", 5400), ("480m", 8 * HOUR)])
def test_durations_of_loans(duration, seconds):
    assert lend(duration=duration).loans[0].end == NOW + seconds


@pytest.mark.parametrize("duration", ["0s", "0h0m", "8h1s", "9h", "31d", "9999d"])
def test_a_loan_of_nothing_or_over_its_cap(duration):
    assert refusals(lend, duration=duration) == [
        f"duration: '{duration}' is not between 1s and 8h, pillar's spice:time:longest_loan"
    ]


@pytest.mark.parametrize(
    "duration", ["-1h", "", "2", "2 h", "two hours", "2h\n", "1m1h", "1.5h", "99999999999s", "\uff12h"]
)
def test_a_loan_of_no_duration(duration):
    assert refusals(lend, duration=duration) == [f"duration: {duration!a} is no duration, as 2h or 1h30m"]


@pytest.mark.parametrize(
    "duration", [2, -1, 1.5, None, True, ["2h"], {"h": 2}, 16**5000], ids=lambda value: type(value).__name__
)
def test_a_loan_of_something_else(duration):
    (text,) = refusals(lend, duration=duration)
    assert text.startswith("duration: ") and text.endswith("is no duration, as 2h or 1h30m") and len(text) < 150


def test_the_cap_is_pillars():
    assert lend(duration="30d", longest_loan="30d").loans[0].end == NOW + 30 * 24 * HOUR
    assert refusals(lend, duration="2h", longest_loan="1h") == [
        "duration: '2h' is not between 1s and 1h, pillar's spice:time:longest_loan"
    ]
    assert refusals(lend, longest_loan="0s") == ["duration: nothing may be lent here: pillar says 'longest_loan: 0s'"]


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("vm", "debain", "vm: no vm 'debain', did you mean 'debianx'?"),
        ("vm", None, "vm: no vm None (NoneType)"),
        ("vm", ["debianx"], "vm: no vm a list"),
        ("user", "gust", "user: no user 'gust', did you mean 'guest'?"),
        ("user", "root", "user: root needs no loan: no client can hold root back"),
        ("user", None, "user: None (NoneType) must be text"),
        ("user", 1021, "user: 1021 (int) must be text"),
        ("reason", 5, "reason: 5 (int) must be text"),
        ("nopasswd", "yes", "nopasswd: must be true or false, not 'yes'"),
        ("now", 946684800, "clock: it says 2000-01-01T00:00:00Z: set it first"),
    ],
)
def test_a_loan_that_cannot_be(argument, value, message):
    (finding,) = refusals(lend, **{argument: value})
    assert finding.startswith(message)


@pytest.mark.parametrize("reason", ["", " a", "a\nb ALL=(ALL) ALL", "a\x1b[2J", "a\u202eb", "x" * 257, "\ud800"])
def test_a_reason_is_one_printable_line(reason):
    for function in (lend, lambda reason: lock(ALL, reason=reason)):
        (finding,) = refusals(function, reason=reason)
        assert finding.startswith("reason: ") and "one line of 1 to 256 printable characters" in finding


@pytest.mark.parametrize("user", ["ALL", "%wheel", "#0", "a b", "guest\n", "", "-x", "Defaults"])
def test_a_user_whose_name_means_something_else_to_sudo(user):
    (finding,) = refusals(lend, user=user, known={**KNOWN, user: 4242})
    assert finding.startswith("user: ")


def test_all_that_is_wrong_is_said_at_once():
    assert len(refusals(lend, "gust", "debain", "-1h", "", 1, now=0)) == 6


def test_a_loan_replaces_one_of_the_same_user_and_vm():
    temporary = lend(temporary=lend(user="mybro", temporary=lend(duration="1h")), duration="3h", now=NOW + 60)
    assert temporary.loans == (
        Loan("guest", "debianx", NOW + 60, NOW + 60 + 3 * HOUR, uid=1023),
        Loan("mybro", "debianx", NOW, NOW + 2 * HOUR, uid=1022),
    )
    assert loans_locks.without_loan(temporary, "guest", "debianx").loans == temporary.loans[1:]
    assert loans_locks.without_loan(temporary, "guest", "leaptest") == temporary


def test_loans_that_have_ended_are_forgotten():
    temporary = lend()
    assert loans_locks.unended(temporary, NOW + 2 * HOUR - 1) == temporary
    assert loans_locks.unended(temporary, NOW + 2 * HOUR) == NOTHING


def test_a_loan_opens_until_its_end_and_nothing_else():
    desired = compiled(lend())
    decided = decision.decide(desired, "guest", "debianx", NOW)
    assert (decided.open, decided.until, decided.grants) == (True, NOW + 2 * HOUR, ("loan:guest:debianx",))
    assert wording.decision(desired.policy, decided) == "open until Tue 2026-11-24 03:00 UTC"
    assert decision.decide(desired, "guest", "debianx", NOW + 2 * HOUR - 1).open
    for moment in (NOW - 1, NOW + 2 * HOUR):
        assert not decision.decide(desired, "guest", "debianx", moment).open
    assert not decision.decide(desired, "guest", "leaptest", NOW).open
    assert [access for access in desired.accesses if access.user != "guest"] == list(compiled(NOTHING).accesses)


def test_a_loan_beside_a_grant_takes_nothing_from_it():
    """After the end of the loan the grant goes on."""
    decided = decision.decide(compiled(lend(user="myself")), "myself", "debianx", NOW)
    assert decided.open and decided.until is None and decided.grants == ("loan:myself:debianx", "myself-debianx")


def test_a_loan_that_has_ended_is_compiled_to_nothing():
    """On the day after; on its own day it is there, and closed."""
    desired = compiled(lend(), now=NOW + 2 * HOUR)
    assert not decision.decide(desired, "guest", "debianx", NOW + 2 * HOUR).open
    assert not any(desired.open_now(access) for access in desired.accesses if access.user == "guest")
    assert compiled(lend(), now=NOW + 26 * HOUR).accesses == compiled(NOTHING, now=NOW + 26 * HOUR).accesses


def test_a_loan_for_an_account_that_is_gone_costs_nobody_else_anything():
    temporary = lend(user="leaver", known={**KNOWN, "leaver": 4242})
    desired = compiled(temporary)
    assert [str(finding) for finding in desired.findings] == ["loan:leaver:debianx: no user 'leaver' on this machine"]
    assert desired.accesses == compiled(NOTHING).accesses


def test_a_loan_of_a_vm_that_pillar_names_no_more():
    declared = policy(vms__books={"server": "mysrv", "tls_port": 20006})
    temporary = loans_locks.lend(NOTHING, declared, KNOWN, NOW, "guest", "books", "1h", None, False)
    assert compiled(temporary).accesses == compiled(NOTHING).accesses
    assert decision.decide(compiled(temporary, declared), "guest", "books", NOW).open


def test_a_clock_that_was_never_set_opens_no_loan():
    desired = compile_policy(policy(), inventory(), temporary=lend(), now=1000, day=None)
    assert [str(finding) for finding in desired.findings] == [
        "clock: it says 1970-01-01T00:16:40Z, so it was never set: what has times is closed until it is"
    ]
    assert {access.user: desired.open_now(access) for access in desired.accesses} == {
        "guest": False,
        "mybro": True,
        "myself": True,
    }


@pytest.mark.parametrize(
    ("made", "closed"),
    [
        ((USER, "guest"), {("guest", "debianx"), ("guest", "leaptest")}),
        ((VM, "debianx"), {("guest", "debianx"), ("myself", "debianx")}),
        ((ALL,), {("guest", "debianx"), ("guest", "leaptest"), ("myself", "debianx"), ("mybro", "leaptest")}),
    ],
)
def test_a_lock_beats_grants_and_loans(made, closed):
    temporary = lock(*made, reason="audit", temporary=lend(temporary=lend(vm="leaptest")))
    desired = compiled(temporary)
    everything = {(access.user, access.vm) for access in (*desired.accesses, *(one for one, _ in desired.locked))}
    assert {(access.user, access.vm) for access, _ in desired.locked} == closed
    for user, vm in everything:
        decided = decision.decide(desired, user, vm, NOW)
        assert decided.open is ((user, vm) not in closed)
        assert ("locked: " in wording.decision(desired.policy, decided)) is ((user, vm) in closed)
    # And once it is taken away, all is as before: the loans too.
    assert compiled(unlock(temporary, *made)) == compiled(lend(temporary=lend(vm="leaptest")))


def test_what_a_lock_says():
    decided = decision.decide(compiled(lock(VM, "debianx", "audit")), "myself", "debianx", NOW)
    assert wording.decision(policy(), decided) == "locked: vm debianx (audit)"
    assert decided.grants == ("myself-debianx",)


def test_a_lock_ends_what_may_go_on_after_a_grant():
    gone = policy(**{"grants__myself-debianx": ...})
    drain = Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("myself-debianx",))
    sessions = frozenset({(1021, "192.168.2.2", 20002)})
    free, locked = (
        compile_policy(gone, inventory(sessions=sessions), (), [drain], temporary, NOW, decision.day_of(NOW))
        for temporary in (NOTHING, lock(USER, "myself"))
    )
    assert free.draining == (drain,) and locked.draining == locked.leaving == ()


@pytest.mark.parametrize(
    ("about", "name", "message"),
    [
        (USER, "gust", "user: no user 'gust', did you mean 'guest'?"),
        (USER, "", "user: '' is not a usable account name"),
        (USER, None, "user: None (NoneType) must be text"),
        (USER, "a\nb", "user: 'a\\nb' is not a usable account name"),
        (VM, "debain", "vm: no vm 'debain', did you mean 'debianx'?"),
        (VM, "", "vm: no vm ''"),
        (VM, None, "vm: no vm None (NoneType)"),
    ],
)
def test_a_lock_with_a_slip_in_its_name_is_refused(about, name, message):
    """It would lock nothing."""
    (finding,) = refusals(lock, about, name)
    assert finding.startswith(message)


def test_a_lock_replaces_one_about_the_same():
    temporary = lock(USER, "guest", "new", lock(VM, "debianx", None, lock(USER, "guest", "old")))
    assert [(one.about, one.name, one.reason) for one in temporary.locks] == [
        (USER, "guest", "new"),
        (VM, "debianx", None),
    ]
    assert all(one.since == NOW for one in temporary.locks)
    assert unlock(temporary, ALL) == temporary
    assert unlock(temporary, USER, "guest").locks == temporary.locks[1:]


@pytest.mark.parametrize(
    ("about", "name", "message"),
    [(USER, "gust", "user: no user 'gust', did you mean 'guest'?"), (VM, "debain", "vm: no vm 'debain', did you mean")],
)
def test_nothing_stays_locked_by_a_slip_in_a_name(about, name, message):
    with pytest.raises(PolicyError, match=re.escape(message)):
        unlock(lock(USER, "guest"), about, name)
    # What was locked once can be unlocked, also when it is not there any more.
    gone = Temporary((), (Lock(about, name),))
    assert unlock(gone, about, name) == Temporary()


def test_a_loan_that_there_is_not_cannot_be_ended():
    with pytest.raises(PolicyError, match="loan: 'debain' is not lent to 'guest'; lent is debianx to guest"):
        loans_locks.end_loan(lend(), "guest", "debain")
    assert loans_locks.end_loan(lend(), "guest", "debianx") == Temporary()


def test_locks_of_which_some_have_reasons_are_sorted():
    temporary = lock(ALL, "", None, lock(ALL, "", "one", lock(VM, "leaptest", None, lock(VM, "debianx", "b"))))
    assert len(temporary.locks) == 3


def test_the_name_of_a_loan_cannot_be_that_of_a_grant():
    with pytest.raises(PolicyError, match="is not a usable name"):
        policy(**{"grants__loan:guest:debianx": {"user": "guest", "vm": "debianx"}})


@pytest.mark.parametrize(
    "limits", [{"valid_until": "2027-03-31"}, {"valid_from": "2020-01-01"}, {"schedule": "always"}]
)
def test_rules_open_nothing_that_has_times_to_a_kernel_that_boots_with_a_clock_of_long_ago(limits):
    """What is loaded at a boot was worked out when the clock was right."""
    declared = policy(
        time={"zone": "UTC"},
        schedules={"always": {"days": "mon-sun", "hours": "00:00-24:00"}},
        **{f"grants__myself-debianx__{key}": value for key, value in limits.items()},
    )
    found = compiled(NOTHING, declared)
    opened = next(found.times(access).opened for access in found.accesses if access.user == "myself")
    assert contains(opened, NOW) and not any(contains(opened, moment) for moment in (0, 1000, EARLIEST - 1))
