"""What a KVM host takes away by what is stored and declared alone: never too little, first only what is certain."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicegrants.hypervisor import closing, host_file, rights
from spicegrants.hypervisor.host_file import Stored
from spicegrants.policy import pillar
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from unit.build import DESK_KEY, HOST_KEY, OTHER_KEY, changed

NOW = 1795543920  # 2026-11-24 19:12 in Berlin
USERS, VMS = ("anne", "ben", "cora"), ("books", "ledger", "web")
DESK = {"addresses": ["192.168.2.22"], "key": DESK_KEY}
OTHER = {"addresses": ["192.168.2.23"], "key": OTHER_KEY}
PILLAR = {
    "servers": {
        "mysrv": {"host": "a.example", "addresses": ["192.168.2.2"], "ports": "20001-20010"},
        "other": {"host": "b.example", "addresses": ["192.168.2.3"], "ports": "20001-20010"},
    },
    "vms": {"books": {"server": "mysrv", "tls_port": 20003}, "ledger": {"server": "mysrv", "tls_port": 20004}},
    "schedules": {"evenings": {"days": "mon-fri", "hours": "18:00-22:00", "zone": "Europe/Berlin"}},
    "grants": {
        "anne": {"user": "anne", "vm": "books"},
        "ben": {"user": "ben", "vm": "books", "schedule": "evenings"},
        "staff": {"group": "staff", "vm": "ledger"},
    },
    "desks": {"desk-1": DESK, "desk-2": OTHER},
}
PILLAR = changed(PILLAR, servers__mysrv__minion="kvm1", servers__mysrv__host_key=HOST_KEY)
LOAN = Loan("cora", "ledger", NOW - 60, NOW + 3600)
LOCK = Lock("user", "ben", None, NOW)
LENT = Temporary((LOAN,))


def policy(**changes):
    return pillar.parse_policy(changed(PILLAR, **changes))


def kept(declared=None, temporary=LENT):
    return Stored("kvm1", declared or policy(), {"books": "a-uuid"}, temporary)


def member(user, group):
    return group == "staff" and user in ("anne", "cora")


ACCOUNTS = rights.Accounts(member, str)


def may(stored, minion="kvm1"):
    """Who may have a ticket for what, at which desk, as the service decides it."""
    found = set()
    for vm in stored.policy.consoles_of(minion):
        for user in USERS:
            if rights.decide(stored.policy, stored.temporary, ACCOUNTS, user, vm, NOW).open:
                found |= {(desk, user, vm) for desk in stored.policy.desks}
    return found


def at_both(*pairs):
    return {(desk, *pair) for desk in ("desk-1", "desk-2") for pair in pairs}


ALL = at_both(("anne", "books"), ("ben", "books"), ("anne", "ledger"), ("cora", "ledger"))
assert may(kept()) == ALL


@pytest.mark.parametrize(
    ("changes", "certain", "provable"),
    [
        # As it was; and what comes is not given by this.
        ({}, ALL, ALL),
        ({"grants__cora": {"user": "cora", "vm": "books"}}, ALL, ALL),
        # What has gone.
        ({"grants__anne": ...}, ALL - at_both(("anne", "books")), ALL - at_both(("anne", "books"))),
        # A loan is no grant: it stays.
        (
            {"grants__staff": ...},
            ALL - at_both(("anne", "ledger")),
            ALL - at_both(("anne", "ledger")),
        ),
        ({"desks__desk-2": ...}, {each for each in ALL if each[0] != "desk-2"}, None),
        (
            {"vms__books": ..., "grants__anne": ..., "grants__ben": ...},
            at_both(("anne", "ledger"), ("cora", "ledger")),
            None,
        ),
        ({"vms__books__server": "other"}, at_both(("anne", "ledger"), ("cora", "ledger")), None),
        ({"servers__mysrv__minion": "kvm2"}, set(), None),
        # Whom it leaves out from now on.
        ({"grants__staff__except": ["anne"]}, ALL - at_both(("anne", "ledger")), None),
        # What may be meant still, and cannot be shown to be.
        ({"grants__anne": {"group": "staff", "vm": "books"}}, ALL, ALL - at_both(("anne", "books"))),
        ({"grants__ben__schedule": ...}, ALL, ALL - at_both(("ben", "books"))),
        ({"schedules__evenings__hours": "17:00-22:00"}, ALL, ALL - at_both(("ben", "books"))),
        ({"grants__anne__valid_until": "2026-12-24T00:00Z"}, ALL, ALL - at_both(("anne", "books"))),
        ({"grants__anne__on_end": "drain"}, ALL, ALL - at_both(("anne", "books"))),
        ({"vms__books__tls_port": 20005}, ALL, at_both(("anne", "ledger"), ("cora", "ledger"))),
        ({"vms__books__domain": "other"}, ALL, at_both(("anne", "ledger"), ("cora", "ledger"))),
        ({"desks__desk-2__addresses": ["192.168.2.99"]}, ALL, {each for each in ALL if each[0] != "desk-2"}),
        # Another name for the same, and what decides nothing.
        ({"grants__anne": ..., "grants__anne-2": {"user": "anne", "vm": "books"}}, ALL, ALL),
        ({"grants__anne__reason": "year-end", "vms__books__contact": "Anne"}, ALL, ALL),
    ],
)
def test_what_stays(changes, certain, provable):
    declared = policy(**changes)
    before = kept()
    assert may(closing.certain(before, declared, "kvm1")) == certain
    assert may(closing.provable(before, declared, "kvm1")) == (certain if provable is None else provable)


def test_before_the_first_run_nothing_stays_and_nothing_is_made():
    assert closing.certain(Stored(), policy(), "kvm1") == closing.provable(Stored(), policy(), "kvm1") == Stored()


def test_loans_locks_and_domains_are_not_pillars_to_take():
    before = kept(temporary=Temporary((LOAN,), (LOCK,)))
    for after in (closing.certain, closing.provable):
        found = after(before, policy(grants={}), "kvm1")
        assert (found.temporary, found.uuids, found.minion) == (before.temporary, before.uuids, "kvm1")


# Anything

grants = st.builds(
    lambda whom, vm, more: {**whom, "vm": vm, **more},
    st.sampled_from([{"user": user} for user in USERS] + [{"group": "staff"}, {"group": "staff", "except": ["anne"]}]),
    st.sampled_from(VMS[:2]),
    st.sampled_from(
        [{}, {"schedule": "evenings"}, {"valid_until": "2026-11-24T18:00Z"}, {"valid_from": "2027-01-01T00:00Z"}]
    ),
)
policies = st.builds(
    lambda found, gone, moved, hours: pillar.parse_policy(
        changed(
            PILLAR,
            grants=dict(found),
            **({f"desks__{gone}": ...} if gone else {}),
            vms__books__tls_port=moved,
            schedules__evenings__hours=hours,
        )
    ),
    st.dictionaries(st.sampled_from("abcd"), grants, max_size=4),
    st.sampled_from(["", "desk-1", "desk-2"]),
    st.sampled_from([20003, 20005]),
    st.sampled_from(["18:00-22:00", "08:00-12:00"]),
)


@settings(max_examples=300)
@given(policies, policies, st.booleans())
def test_nothing_is_opened_and_what_is_provable_is_both_stored_and_declared(before, declared, lent):
    stored = kept(before, Temporary((LOAN,)) if lent else Temporary())
    certain, provable = (take(stored, declared, "kvm1") for take in (closing.certain, closing.provable))
    becomes = replace(stored, policy=declared)
    assert may(provable) <= may(certain) <= may(stored)
    assert may(provable) <= may(becomes)
    # A run that goes on ends nothing that it gives again: whoever has a grant before and after keeps it meanwhile.
    assert may(stored) & may(becomes) <= may(certain)
    for found in (certain, provable):
        assert host_file.load(host_file.dump(found)) == found


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        (Temporary(), Temporary(), False),
        (Temporary(), Temporary((LOAN,)), False),
        (Temporary((), (LOCK,)), Temporary(), False),
        (Temporary((LOAN,)), Temporary(), True),
        (Temporary((LOAN,)), Temporary((LOAN._replace(end=NOW + 60),)), True),
        (Temporary(), Temporary((), (LOCK,)), True),
        (Temporary((LOAN,), (LOCK,)), Temporary((LOAN,), (LOCK, LOCK._replace(name="anne"))), True),
    ],
)
def test_what_takes_something_away(before, after, less):
    assert closing.takes_away(kept(temporary=before), kept(temporary=after)) is less


def test_a_policy_that_is_another_may_take_something_away():
    assert closing.takes_away(kept(), kept(policy(grants__anne=...)))


def test_what_is_taken_away_in_words():
    before = kept(temporary=Temporary((LOAN,), ()))
    after = closing.certain(before, policy(grants__anne=..., **{"desks__desk-2": ...}), "kvm1")
    after = replace(after, temporary=Temporary((), (LOCK,)))
    assert [change.what for change in closing.words(before, after)] == [
        "removes the grant of books to anne",
        "ends the loan of ledger to cora",
        "locks user ben",
        "removes desk desk-2",
    ]
    assert closing.words(before, before) == []
