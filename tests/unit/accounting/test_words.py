"""What the opener says of an end: it counts for that end, and not for the next session's."""

import json
import time

import pytest

from spicegrants.accounting.live import recorder as recorders
from spicegrants.accounting.tracking import Over
from unit.accounting.test_tracking import NOW, begin, connection

SAID = json.dumps({"uid": 1021, "vm": "books", "why": "ben has opened it"}).encode()


@pytest.fixture
def recorder(monkeypatch):
    """A recorder whose clock is moved by hand, and which writes into a list."""
    clock, written = [1000.0], []
    monkeypatch.setattr(recorders.noted, "new_boot", lambda: "boot")
    monkeypatch.setattr(recorders.event_log, "append", lambda found, settings: written.extend(found))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(recorders.Recorder, "desired", lambda self, now: None)
    monkeypatch.setattr(recorders.Recorder, "note", lambda self: None)
    made = recorders.Recorder()
    made.clock, made.written = clock, written
    return made


def ends(recorder):
    """A session that the KVM host may have ended."""
    over = Over(begin(connection(1)), NOW, True)
    recorder.waiting.append((over, recorder.clock[0] + recorders._WORD))


def test_it_counts_for_the_end_that_waits_for_it(recorder):
    ends(recorder)
    recorder.write()
    assert recorder.written == []
    recorder.told(SAID)
    recorder.write()
    assert [event["why"] for event in recorder.written] == ["ben has opened it"]


def test_one_that_comes_late_is_not_about_the_next_session(recorder):
    ends(recorder)
    recorder.clock[0] += recorders._WORD
    recorder.write()
    recorder.told(SAID)
    recorder.clock[0] += recorders._WORD
    ends(recorder)
    recorder.write()
    recorder.clock[0] += recorders._WORD
    recorder.write()
    assert [event["why"] for event in recorder.written] == ["the viewer closed", "the viewer closed"]
