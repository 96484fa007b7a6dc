"""The record: who was in which console, from when to when, how much went through, and why it ended."""

import json

import pytest

from functional.clients import TALK, running, say
from functional.office import BOTH, changed, sentences
from functional.recorder import RECORD, events, recording, waited
from scenes import ADDRESS, GROUP, article

PILLAR = article(BOTH)
# Of the same file system, so that there can be hard links.
PRECIOUS = "/var/log/precious"


def talk(office, user="myself", port=20002):
    """A connection of a user's to a console."""
    return running(office.client, TALK, ADDRESS, port, user=user, group=GROUP)


@pytest.mark.salt
def test_a_session_from_its_beginning_to_its_end(shared):
    with recording(shared):
        with talk(shared) as viewer:
            assert viewer.stdout.readline().strip() == "open"
            (opened,) = waited(shared, "opened")
            assert say(viewer, "hello") == "answered"
            (row,) = shared.minion.call("spice_grant.sessions", open=True)
            assert (row["user"], row["vm"], row["until"], row["open"]) == ("myself", "debianx", None, True)
        (ended,) = waited(shared, "ended")
    known = {"user": "myself", "uid": 1021, "vm": "debianx", "server": "mysrv", "address": ADDRESS, "port": 20002}
    assert {name: opened[name] for name in known} == {name: ended[name] for name in known} == known
    assert opened["session"] == ended["session"] and opened["grants"] == ["myself-debianx"]
    # "hello" and its line end; twelve at first, the answer, and the end of the connection, which the kernel counts.
    assert (ended["sent"], ended["received"]) == (6, 19) and ended["why"] == "the viewer closed"
    (row,) = shared.minion.call("spice_grant.sessions")
    assert (row["from"], row["until"], row["sent"], row["open"]) == (ended["start"], ended["at"], 6, False)
    used = {entry["user"]: entry["last_used"] for entry in shared.minion.call("spice_grant.list")}
    assert used == {"myself": ended["at"], "mybro": None}


def ended(office):
    """The end of the only session."""
    (event,) = waited(office, "ended")
    return event


@pytest.fixture
def recorded(shared):
    """The office where the recorder runs, and nothing is in the record yet."""
    for path in ("/var/log/spice-grant/events.jsonl", "/var/lib/spice-grant/recorder/sessions.json"):
        shared.client.path(path).unlink(missing_ok=True)
    with recording(shared) as process:
        shared.recorder = process
        yield shared


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        ("spice_grant.lock", {"user": "myself", "reason": "left"}, "it was locked: user myself (left)"),
        ("spice_grant.revoke", {"user": "myself", "vm": "debianx"}, "the grant was revoked"),
    ],
)
def test_why_a_session_had_to_end(recorded, function, arguments, why):
    with talk(recorded) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        waited(recorded, "opened")
        recorded.minion.call(function, **arguments)
        assert ended(recorded)["why"] == why
    kind = "lock" if "lock" in function else "policy"
    (event,) = events(recorded, kind)
    assert event["by"] and (kind == "policy" or (event["user"], event["reason"]) == ("myself", "left"))


def test_a_loan_that_ends(recorded):
    recorded.minion.call("spice_grant.lend", "nogrant", "debianx", "1h")
    with talk(recorded, "nogrant") as viewer:
        assert viewer.stdout.readline().strip() == "open"
        (opened,) = waited(recorded, "opened")
        assert opened["grants"] == ["loan:nogrant:debianx"]
        recorded.minion.call("spice_grant.end_loan", "nogrant", "debianx")
        assert ended(recorded)["why"] == "the loan ended"
    assert [event["what"] for event in events(recorded, "loan")] == [
        "debianx is lent to nogrant",
        "the loan of debianx to nogrant is over",
    ]


def test_a_recorder_that_was_killed_goes_on_where_it_was(recorded):
    with talk(recorded) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        waited(recorded, "opened")
        recorded.recorder.kill_tree()
        with recording(recorded):
            assert say(viewer, "still there?") == "answered"
            assert recorded.minion.call("spice_grant.sessions")[0]["open"] is True
            viewer.kill_tree()
            event = ended(recorded)
            assert (event["sent"], len(events(recorded, "opened"))) == (13, 1)


def test_what_ends_while_nobody_records_has_an_end_all_the_same(recorded):
    with talk(recorded) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        waited(recorded, "opened")
        recorded.recorder.kill_tree()
    with recording(recorded):
        event = ended(recorded)
    assert event["why"] == "nobody saw it" and event["bytes_known"] is False and event["seen"] <= event["at"]


def test_what_was_open_when_the_machine_went_off(recorded):
    with talk(recorded) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        waited(recorded, "opened")
        recorded.recorder.kill_tree()
        path = "/var/lib/spice-grant/recorder/sessions.json"
        noted = json.loads(recorded.client.read(path))
        recorded.client.write(path, json.dumps({**noted, "boot": "another"}), mode=0o600)
    with recording(recorded):
        assert ended(recorded)["why"] == "this machine went off"


@pytest.mark.salt
def test_an_unfinished_line_stays_by_itself(recorded):
    """As power leaves it; and a line that somebody changed is missed."""
    path = recorded.client.path("/var/log/spice-grant/events.jsonl")
    recorded.minion.call("spice_grant.lock", user="mybro")
    with path.open("a") as stream:
        stream.write('{"at": "2026-')
    recorded.minion.call("spice_grant.unlock", user="mybro")
    recorded.minion.call("spice_grant.lock", user="myself")
    found = recorded.minion.call("spice_grant.events")
    assert [event.get("what") for event in found[:3]] == [
        "user mybro is locked",
        "user mybro is unlocked",
        "user myself is locked",
    ]
    assert [event["why"] for event in found[3:]] == ["/var/log/spice-grant: 1 line(s) are damaged"]
    path.write_text(path.read_text().replace("mybro is unlocked", "mybro is unfolded"))
    complaints = [event["why"] for event in recorded.minion.call("spice_grant.events") if event["event"] == "complaint"]
    assert "/var/log/spice-grant: before 1 line(s) something was changed or taken out" in complaints
    recorded.minion.call("spice_grant.unlock", user="myself")


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_record_that_is_a_link_is_not_followed(recorded, kind):
    path = recorded.client.path("/var/log/spice-grant/events.jsonl")
    recorded.minion.call("spice_grant.lock", user="mybro")
    recorded.client.write(PRECIOUS, "precious\n", mode=0o600)
    path.unlink()
    recorded.client.run(["ln", *(["-s"] if kind == "link" else []), PRECIOUS, RECORD])
    report = recorded.minion.call("spice_grant.unlock", user="mybro")
    assert any("audit: " in warning for warning in report["warnings"]) and report["changes"]
    assert recorded.client.read(PRECIOUS) == "precious\n"
    path.unlink()


def test_it_can_be_switched_off(shared):
    """Then nothing is written, and the recorder is gone; what was written stays."""
    shared.minion.call("spice_grant.lock", user="mybro")
    before = events(shared)
    off = changed(PILLAR, audit={"enabled": False})
    planned = shared.apply(off, test=True)["changes"]
    assert "audit: removes /usr/local/lib/spice-grant/recorder" in sentences(planned)
    assert shared.applied(off)["changes"] == planned and shared.apply(off)["changes"] == {}
    shared.minion.call("spice_grant.unlock", user="mybro")
    assert events(shared) == before
    assert "audit: creates /usr/local/lib/spice-grant/recorder" in sentences(shared.applied(PILLAR)["changes"])
    assert len(events(shared)) == len(before) + 1
