"""Who gets through the opener, from what is stored alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.accounts import Account
from spicegrants.policy.access import Access, Term
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import decide
from spicegrants.policy.loans_locks import ALL, NOTHING, USER, VM, Lock, Temporary
from spicegrants.policy.state_file import Stored, dump, load, load_one
from spicegrants.schedule.intervals import DAY as A_DAY
from spicegrants.viewer import admission
from unit.build import GID, inventory, policy
from unit.timed import CHANGES, MONDAY, TODAY

MYSELF, GUEST = Account("myself", 1021, 1021), Account("guest", 1023, 1023)
NOW = 1795500000


def stored(now=NOW, day=NOW // A_DAY * A_DAY, temporary=NOTHING, **changes):
    """What a run stores, by way of the file."""
    made = compile_policy(policy(**changes), inventory(unconfinable=""), (), (), temporary, now, day)
    addresses = {"mysrv": ("192.168.2.2",)}
    return load(dump(Stored(made.policy, addresses, made.accesses, "spicegrp", temporary=temporary, day=day)))


def refusal(kept, account=MYSELF, vm="debianx", now=NOW, gid=GID):
    return admission.refusal(kept, gid, account, vm, now)


def test_a_granted_console_opens():
    assert refusal(stored()) is None


@pytest.mark.parametrize(
    ("account", "vm"),
    [
        (MYSELF, "leaptest"),
        (GUEST, "debianx"),
        (MYSELF._replace(name="other"), "debianx"),
        (MYSELF._replace(uid=1999), "debianx"),
        (GUEST._replace(name="myself"), "debianx"),
        (MYSELF, "nosuch"),
        (MYSELF, "*"),
        (MYSELF, ""),
    ],
)
def test_what_is_not_granted_does_not(account, vm):
    """Another console, another user; the same name under another UID, the same UID under another name."""
    assert refusal(stored(), account, vm) == "it is not granted to you"


@pytest.mark.parametrize("lock", [Lock(ALL), Lock(USER, "myself"), Lock(VM, "debianx", "audit")])
def test_a_lock_beats_the_grant(lock):
    """Also where what is stored were to name the access all the same."""
    locked = stored(temporary=Temporary((), (lock,)))
    assert refusal(locked) is not None
    damaged = replace(locked, accesses=stored().accesses)
    assert "locked" in refusal(damaged)


def test_times():
    kept = stored(MONDAY, TODAY, **CHANGES)
    assert refusal(kept, now=MONDAY) is None and refusal(kept, now=MONDAY + 4 * 3600 - 1) is None
    assert refusal(kept, now=MONDAY - 1).startswith("it is closed; opens Mon 2026-11-23 18:00")
    assert refusal(kept, now=MONDAY + 4 * 3600).startswith("it is closed; opens Tue")
    # What may go on after its window may not be opened anew.
    mybro = Account("mybro", 1022, 1022)
    assert refusal(kept, mybro, "leaptest", MONDAY + 4 * 3600 + 60).startswith("it is closed, though what is open may")


def test_beyond_the_horizon_it_is_closed():
    """The schedule would open then; but no layer knows that yet."""
    kept = stored(MONDAY, TODAY, **CHANGES)
    assert refusal(kept, now=MONDAY + 7 * A_DAY) is not None


def test_a_clock_that_was_never_set_opens_nothing_that_has_times():
    kept = stored(now=1000, day=None, **CHANGES)
    assert refusal(kept, now=1000) is not None
    assert refusal(stored(now=1000, day=None), now=1000) is None


def test_not_where_viewers_are_not_confined():
    assert "not opened this way" in refusal(stored(viewer={"confine": False}))


def test_not_with_the_viewers_group_as_the_users_own():
    assert "primary group" in refusal(stored(), MYSELF._replace(gid=GID))


@pytest.mark.parametrize(
    "temporary", [NOTHING, *(Temporary((), (lock,)) for lock in (Lock(USER, "myself"), Lock(VM, "debianx")))]
)
@pytest.mark.parametrize("account", [MYSELF, MYSELF._replace(uid=1999), GUEST])
@pytest.mark.parametrize("vm", ["debianx", "leaptest", "nosuch"])
def test_what_is_read_for_one_console_decides_as_all_of_it(temporary, account, vm):
    """Of others' accesses, which the opener leaves out, nothing depends."""
    whole = replace(stored(MONDAY, TODAY, **CHANGES), temporary=temporary)
    one = load_one(dump(whole), account.name, vm)
    mine = {name for access in one.accesses for name in access.grants}
    assert {access.user for access in one.accesses} <= {account.name} and {*one.policy.grants} == mine
    for moment in (MONDAY - 1, MONDAY, MONDAY + 4 * 3600):
        assert refusal(one, account, vm, moment) == refusal(whole, account, vm, moment)


@given(
    st.integers(0, 10 * A_DAY), st.sampled_from(["myself", "mybro", "guest"]), st.sampled_from(["debianx", "leaptest"])
)
def test_it_never_lets_through_what_the_policy_does_not(ahead, user, vm):
    kept = stored(MONDAY, TODAY, **CHANGES)
    account = inventory().users[user]
    moment = TODAY + ahead
    fresh = compile_policy(
        kept.policy, inventory(unconfinable=""), (), (), Temporary(), moment, moment // A_DAY * A_DAY
    )
    if refusal(kept, account, vm, moment) is None:
        assert decide(fresh, user, vm, moment).open


def test_whom_to_ask():
    """Of a console that is not theirs users learn nothing, not even whom its own users ask."""
    named = {"vms__debianx__contact": "Bob", "vms__leaptest__contact": "Tom"}
    kept = stored(viewer={"contact": "Anne"}, **named, **{"grants__myself-debianx__contact": "Eve"})
    one = load_one(dump(kept), "myself", "debianx")
    assert admission.whom(kept, MYSELF, "debianx") == admission.whom(one, MYSELF, "debianx") == "Eve"
    others = [(MYSELF, "leaptest"), (MYSELF, "nosuch"), (GUEST, "debianx"), (MYSELF._replace(uid=1999), "debianx")]
    assert {admission.whom(kept, account, vm) for account, vm in others} == {"Anne"}
    assert admission.whom(stored(**named), MYSELF, "debianx") == "Bob"
    assert admission.whom(stored(), MYSELF, "debianx") == "your administrator"


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (Lock(ALL), "sie ist gesperrt: alles"),
        (Lock(USER, "myself"), "sie ist gesperrt: Benutzer myself"),
        (Lock(VM, "debianx", "audit"), "sie ist gesperrt: VM debianx (audit)"),
    ],
)
def test_a_lock_in_german(lock, words):
    damaged = replace(stored(temporary=Temporary((), (lock,))), accesses=stored().accesses)
    assert admission.refusal(damaged, GID, MYSELF, "debianx", NOW, "de") == words


def test_the_rest_in_german():
    kept = stored(MONDAY, TODAY, **CHANGES)
    mybro = Account("mybro", 1022, 1022)
    said = {
        admission.refusal(kept, GID, MYSELF, "debianx", MONDAY - 1, "de"),
        admission.refusal(kept, GID, mybro, "leaptest", MONDAY + 4 * 3600 + 60, "de").partition(";")[0],
        admission.refusal(kept, GID, GUEST, "debianx", MONDAY, "de"),
        admission.whom(kept, GUEST, "debianx", "de"),
    }
    assert said == {
        "sie ist geschlossen; öffnet Mo 2026-11-23 18:00 Europe/Berlin",
        "sie ist geschlossen, doch was offen ist, darf weiterlaufen",
        "sie ist Ihnen nicht erlaubt",
        "Ihre Administration",
    }


def test_an_access_by_two_terms():
    terms = (Term((), NOW - 10, NOW + 10), Term((), NOW + 20, NOW + 30))
    access = Access("myself", 1021, "debianx", ("a", "b"), terms=terms)
    kept = replace(stored(), accesses=(access,))
    assert [refusal(kept, now=NOW + later) is None for later in (0, 10, 15, 20, 29, 30)] == [1, 0, 0, 1, 1, 0]
