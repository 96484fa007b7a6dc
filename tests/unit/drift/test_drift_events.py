"""What a look found, as events."""

import json

from spicegrants.drift import drift_events
from spicegrants.drift.flapping import Look, Record

CHANGES = {
    "grants": {"myself-debianx": {"firewall": ["opens it"]}},
    "layers": {"viewer": ["restricts it"], "policy": ["restores it"]},
}
WHAT = ["viewer: restricts it", "policy: restores it", "myself-debianx: firewall: opens it"]
NFT = (71, "nft")


def report(**fields):
    """What a look leaves that repaired all it found."""
    plain = {"changes": CHANGES, "errors": [], "left": [], "held": [], "acted": True, "noticed": ["/etc/x"]}
    return {**plain, **fields}


def events_of(fields, records=None, who=()):
    """The events about a report."""
    look = Look(frozenset(WHAT) | set(fields["left"]), frozenset(fields["left"]), frozenset(fields["held"]), who)
    found = drift_events.events(fields, look, records or {})
    assert json.loads(json.dumps(found)) == found
    return {event["tag"]: event for event in found}


def test_drift_and_repair():
    events = events_of(report(errors=["x: no such user"]), who=(NFT, NFT))
    assert list(events) == ["drift", "repaired"]
    for event in events.values():
        assert event["layers"] == ["policy", "firewall", "viewer"]
        assert sorted(event["what"]) == sorted(WHAT) and event["changes"] == CHANGES
    assert events["drift"]["who"] == [{"pid": 71, "comm": "nft"}]
    assert events["drift"]["noticed"] == ["/etc/x"] and events["drift"]["repairing"] is True
    assert events["repaired"]["errors"] == ["x: no such user"]


def test_drift_that_is_only_reported():
    events = events_of(report(left=WHAT, acted=False))
    assert list(events) == ["drift"] and events["drift"]["repairing"] is False


def test_what_could_not_be_repaired():
    events = events_of(report(left=WHAT[:1], errors=["viewer: read-only file system"]))
    assert list(events) == ["drift", "failed"]
    assert events["failed"]["what"] == WHAT[:1] and events["failed"]["errors"] == ["viewer: read-only file system"]


def test_a_look_that_did_not_come_off():
    event = drift_events.events(
        report(changes={}, left=["nft is gone"], errors=["nft is gone"]),
        Look(frozenset(["nft is gone"]), frozenset(["nft is gone"])),
        {},
    )
    assert event == [{"tag": "failed", "layers": [], "what": ["nft is gone"], "errors": ["nft is gone"]}]


def test_nothing_is_told_of_nothing_and_of_what_is_left_alone():
    assert drift_events.events(report(changes={}), Look(frozenset()), {}) == []
    assert events_of(report(left=WHAT, held=WHAT, acted=False)) == {}


def test_a_fight_names_whom_the_kernel_named():
    records = {WHAT[0]: Record((1, 2, 3), False, True, 60, 63, (NFT, (72, "x"))), WHAT[1]: Record((3,))}
    event = events_of(report(), records)["fight"]
    assert event["what"] == WHAT[:1] and (event["times"], event["pause"]) == (3, 60)
    assert event["who"] == [{"pid": 71, "comm": "nft"}, {"pid": 72, "comm": "x"}]
