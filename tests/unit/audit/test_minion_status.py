"""How a minion stands: fingerprints, what a run leaves behind, and what is said of it."""

import pytest

from spicegrants.audit import minion_status
from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.policy import merge, pillar
from spicegrants.policy.fingerprint import fingerprint
from unit.build import DESK_KEY, TICKETS, article, changed


def test_a_fingerprint_is_of_the_meaning():
    """Order and spelling do not matter, anything else does."""
    plain = pillar.parse_policy(article())
    turned = {key: dict(reversed(value.items())) for key, value in reversed(article().items())}
    spelled = changed(turned, servers__mysrv__ports=["20001-20010"], viewer={"group": "spicegrp"})
    assert fingerprint(pillar.parse_policy(spelled)) == fingerprint(plain)
    other = pillar.parse_policy(changed(article(), **{"grants__myself-debianx__nopasswd": True}))
    assert fingerprint(other) != fingerprint(plain)


def test_a_fingerprint_is_no_way_to_try_passwords():
    """It goes to the master and into its job cache; it says that there is a password, not which."""
    one, other = (
        fingerprint(pillar.parse_policy(changed(article(), vms__debianx__password=password)))
        for password in ("first-secret", "other-secret")
    )
    assert one == other != fingerprint(pillar.parse_policy(article()))


def test_a_fingerprint_is_of_what_a_desk_stores():
    """Else the master would call each desk behind whose pillar has the desks for the KVM hosts."""
    desks = {"desk-1": {"addresses": "192.168.2.5", "key": DESK_KEY}}
    declared = pillar.parse_policy(changed(article(), **TICKETS, desks=desks))
    stored = merge.combine(changed(article(), **TICKETS, desks=desks), None, True, None)
    assert fingerprint(declared) == fingerprint(stored)
    assert fingerprint(stored) != fingerprint(pillar.parse_policy(article()))


def test_since_is_kept_by_runs_that_end_alike_and_change_nothing():
    first = minion_status.after(None, 100, True, (), "a")
    assert (first.at, first.since) == (100, 100)
    assert minion_status.after(first, 200, False, (), "a").since == 100
    assert minion_status.after(first, 200, True, (), "a").since == 200, "it was not so until now"
    assert minion_status.after(first, 200, False, (), "b").since == 200
    failed = minion_status.after(first, 200, False, ("wrong",), "a")
    assert failed.since == 200
    assert minion_status.after(failed, 300, False, ("still wrong",), "a").since == 200


def test_notes_are_said_when_they_are_new_or_come_back():
    assert minion_status.unsaid(None, ["a", "b"]) == ["a", "b"], "nobody knows what was said"
    first = minion_status.after(None, 100, True, (), "p", ["a", "b"])
    assert minion_status.unsaid(first, ["b", "c"]) == ["c"]
    second = minion_status.after(first, 200, False, (), "p", ["b", "c"])
    assert minion_status.unsaid(second, ["a", "b", "c"]) == ["a"]
    failed = minion_status.after(second, 300, False, ("wrong",), "p")
    assert minion_status.unsaid(failed, ["a", "b", "c"]) == ["a"], "it may not have looked"


def test_what_a_former_version_left_is_read():
    run = minion_status.load(b'{"at": 1, "errors": [], "policy": null, "since": 0}')
    assert run == minion_status.Run(1, (), None, 0)


def test_what_is_left_behind_is_read_back():
    run = minion_status.Run(1, ("one", "two"), None, 0, ("three",))
    assert minion_status.load(minion_status.dump(run)) == run
    assert minion_status.load(None) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"at": 1}',
        b'{"at":1,"errors":[],"policy":[],"since":1}',
        b'{"at":1,"errors":[],"policy":null,"since":1,"notes":1}',
    ],
)
def test_damage_is_not_taken_for_nothing(content):
    with pytest.raises(LiveStateUnreadable):
        minion_status.load(content)


@pytest.mark.parametrize(
    ("policy", "errors", "drift", "wrong", "state", "since"),
    [
        ("a", (), [], [], "in sync", "1970-01-01T00:00:05Z"),
        ("b", (), [], [], "in sync", None),
        ("a", (), ["d"], [], "drifted", None),
        ("a", ("e",), ["d"], [], "failed", "1970-01-01T00:00:05Z"),
        ("a", (), [], ["now"], "failed", None),
        (None, (), [], [], "no policy", None),
        (None, ("e",), [], [], "failed", None),
    ],
)
def test_status(policy, errors, drift, wrong, state, since):
    found = minion_status.status(policy, minion_status.Run(9, errors, "a", 5), drift, wrong, ["user anne"], ["n"])
    assert (found["state"], found["since"]) == (state, since)
    assert found["errors"] == [*errors, *wrong] and (found["locks"], found["notes"]) == (["user anne"], ["n"])


@pytest.mark.parametrize(
    ("desk", "host", "worse"),
    [
        ("in sync", "in sync", "in sync"),
        ("in sync", "drifted", "drifted"),
        ("failed", "drifted", "failed"),
        ("no policy", "in sync", "no policy"),
        ("in sync", "failed", "failed"),
    ],
)
def test_a_desk_that_is_a_kvm_host_as_well(desk, host, worse):
    """The worse of both, and what is said of either."""
    made = {"policy": "a", "since": None, "last_run": None, "drift": [], "errors": [], "locks": ["vm a"], "notes": []}
    found = minion_status.joined(
        {**made, "state": desk, "errors": ["sudo: no"]},
        {**made, "policy": "b", "state": host, "errors": ["ssh: no"], "service": "runs"},
    )
    assert (found["state"], found["policy"]) == (worse, "a")
    assert (found["errors"], found["locks"]) == (["sudo: no", "host: ssh: no"], ["vm a", "host: vm a"])
